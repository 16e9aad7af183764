"""One raster file's bytes to arrays: without GDAL where the file is plain, by GDAL from memory where it is not.

Flows in: bytes. Flows out: a `Raster`, or a PatchError. Nothing here ever opens a path, so nothing that a file says
of other files is followed: its claims are checked first (`tiff_header`), GDAL's GTiff driver alone sees it, and a file
that names overviews outside itself is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import rasterio
from numpy.typing import NDArray
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile

from pipelines.errors import PatchError
from pipelines.pixels.plain_tiff import Bounds, read_plain
from pipelines.pixels.tiff_header import DEFAULT_LIMITS, Limits, check_claims

GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_CACHEMAX": 64,
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
}


@dataclass(frozen=True)
class Raster:
    """Pixels (bands, height, width) in the file's own dtype, and what the file says of them.

    `names` are the bands' descriptions, None where not all have one; `crs` is an authority code or WKT or empty;
    `bounds` is (left, bottom, right, top) in its units.
    """

    pixels: NDArray[Any]
    names: tuple[str, ...] | None = None
    crs: str = ""
    bounds: Bounds | None = None
    nodata: float | None = None


def read_raster(data: bytes) -> Raster:
    """Decode one file.

    Raises:
        PatchError: it is damaged, cut off, no GeoTIFF, refers to other files, or claims more than it may.
    """
    plain = read_plain(data)
    if plain is not None:
        return Raster(plain.pixels[None], None, f"EPSG:{plain.epsg}" if plain.epsg else "", plain.bounds)
    with open_bytes(data) as source:
        kinds = set(source.dtypes)
        if len(kinds) > 1:
            raise PatchError(f"bands have different types ({', '.join(sorted(kinds))})")
        return Raster(source.read(), described(source), *place(source), source.nodata)


@contextmanager
def open_bytes(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Iterator[DatasetReader]:
    """A file open in GDAL, after its claims were checked.

    Raises:
        PatchError: see `check_claims`; or GDAL cannot read it, there or inside the block.
    """
    check_claims(data, limits)
    with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with MemoryFile(data) as memory, memory.open(driver="GTiff") as source:
                if source.tags(ns="OVERVIEWS"):
                    hint = "Export it without external overviews."
                    raise PatchError("file refers to overviews outside itself", hint=hint)
                yield source
        except (RasterioError, CRSError, UnicodeDecodeError):  # the last: text in it that is none
            raise PatchError(
                "file is damaged or cut off: its pixels cannot be decoded", hint="Send the whole file again."
            ) from None


def described(source: DatasetReader) -> tuple[str, ...] | None:
    """The bands' descriptions; None unless every band has one."""
    names = tuple(text for text in source.descriptions if text)
    return names if len(names) == source.count else None


def place(source: DatasetReader) -> tuple[str, Bounds | None]:
    """Authority code or WKT of the file's coordinates, and its bounds; ("", None) where it has no place."""
    if source.crs is None:
        return "", None
    code = source.crs.to_epsg()
    left, bottom, right, top = source.bounds
    return (f"EPSG:{code}" if code else source.crs.to_wkt()), (left, bottom, right, top)
