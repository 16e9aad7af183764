"""One raster file's bytes to arrays: without GDAL where the file is plain, by GDAL from memory where it is not.

Flows in: bytes. Flows out: a `Raster`, or a PatchError. Nothing here ever opens a path, so nothing that a file says
of other files is followed: its claims are checked first (`tiff_header`), GDAL's GTiff driver alone sees it, and a file
that names overviews outside itself is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile

from pipelines.errors import PatchError
from pipelines.pixels.encoding import Measured
from pipelines.pixels.meaning import Line
from pipelines.pixels.pictures import picture_driver
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
    `bounds` is (left, bottom, right, top) in its units. `holes`, of the pixels' shape, is True where the file says by
    a value, a mask or an alpha band that nothing was measured; None where it says so of no pixel. `lines` are the
    bands' scales and offsets, None where no band has any.
    """

    pixels: NDArray[Any]
    names: tuple[str, ...] | None = None
    crs: str = ""
    bounds: Bounds | None = None
    holes: NDArray[np.bool_] | None = None
    lines: tuple[Line, ...] | None = None

    def band(self, place: int) -> Measured:
        """One band, from 0."""
        return Measured(
            self.pixels[place],
            None if self.holes is None else self.holes[place],
            None if self.lines is None else self.lines[place],
        )


def read_raster(data: bytes) -> Raster:
    """Decode one file.

    Raises:
        PatchError: it is damaged, cut off, no GeoTIFF, refers to other files, or claims more than it may.
    """
    plain = read_plain(data)
    if plain is not None:
        return Raster(plain.pixels[None], None, f"EPSG:{plain.epsg}" if plain.epsg else "", plain.bounds)
    with open_image(data) as source:
        return decode(source)


def decode(source: DatasetReader) -> Raster:
    """All bands of an open file, without an alpha band.

    Raises:
        PatchError: its bands have different types.
    """
    kinds = set(source.dtypes)
    if len(kinds) > 1:
        raise PatchError(f"bands have different types ({', '.join(sorted(kinds))})")
    pixels, names, lines = source.read(), described(source), _lines(source)
    flags = {flag for each in source.mask_flag_enums for flag in each} - {MaskFlags.all_valid}
    alpha = _alpha(source, pixels)
    if MaskFlags.alpha in flags and alpha is None:  # a fourth band beside red, green, blue is taken for one by GDAL
        holes = None if source.nodata is None else pixels == source.nodata
    else:
        holes = source.read_masks() == 0 if flags else None
    if alpha is not None:
        kept = [place for place in range(source.count) if place != alpha]
        pixels, holes = pixels[kept], None if holes is None else holes[kept]
        names = tuple(names[place] for place in kept) if names else _names(source, kept)
        lines = tuple(lines[place] for place in kept) if lines else None
    return Raster(pixels, names, *place(source), holes if holes is not None and holes.any() else None, lines)


def _alpha(source: DatasetReader, pixels: NDArray[Any]) -> int | None:
    """Which band is an alpha band, from 0: one that says so, has no other name, and is nothing or everything."""
    last = source.count - 1
    if not last or source.colorinterp[last] != ColorInterp.alpha or pixels.dtype.kind != "u":
        return None
    if (source.descriptions[last] or "alpha").strip().lower() not in ("alpha", "mask"):
        return None
    band = pixels[last]
    return last if ((band == 0) | (band == np.iinfo(band.dtype).max)).all() else None


def _lines(source: DatasetReader) -> tuple[Line, ...] | None:
    lines = tuple(Line(*each) for each in zip(source.scales, source.offsets, strict=True))
    if any(not np.isfinite(line.scale) or not line.scale or not np.isfinite(line.offset) for line in lines):
        raise PatchError("a band's declared scale is no number, or 0", hint="Export it again with the right one.")
    return lines if any(line != Line() for line in lines) else None


@contextmanager
def open_bytes(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Iterator[DatasetReader]:
    """A file open in GDAL, after its claims were checked.

    Raises:
        PatchError: see `check_claims`; or GDAL cannot read it, there or inside the block.
    """
    check_claims(data, limits)
    with _opened(data, "GTiff") as source:
        yield source


@contextmanager
def open_image(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Iterator[DatasetReader]:
    """Likewise, of an archive's file, which may be a JPEG 2000 or a PNG.

    Raises:
        PatchError: see `open_bytes` and `picture_driver`.
    """
    driver = picture_driver(data, limits)
    if not driver:
        check_claims(data, limits)
    with _opened(data, driver or "GTiff") as source:
        yield source


@contextmanager
def _opened(data: bytes, driver: str) -> Iterator[DatasetReader]:
    with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with MemoryFile(data) as memory, memory.open(driver=driver) as source:
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
    return _names(source, range(source.count))


def _names(source: DatasetReader, places: Sequence[int]) -> tuple[str, ...] | None:
    names = tuple(text for place in places if (text := source.descriptions[place]))
    return names if len(names) == len(places) else None


def place(source: DatasetReader) -> tuple[str, Bounds | None]:
    """Authority code or WKT of the file's coordinates, and its bounds; ("", None) where it has no place."""
    if source.crs is None:
        return "", None
    code = source.crs.to_epsg()
    left, bottom, right, top = source.bounds
    return (f"EPSG:{code}" if code else source.crs.to_wkt()), (left, bottom, right, top)
