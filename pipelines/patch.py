"""One patch from files or from an upload to arrays, each band at its native resolution, keyed by name.

Flows in: a BigEarthNet patch folder (trusted, on disk), or the bytes of a GeoTIFF stack (from anybody).
Flows out: a `Patch`, or a PatchError whose message a user can act on.

Uploads are opened from memory only, by GDAL's GTiff driver only, after their header was checked and after
their OVERVIEWS metadata was looked at: `OVERVIEW_FILE` there makes GDAL fetch other files.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.transform import from_bounds

from pipelines.bands import ALL_BANDS, SENTINEL2
from pipelines.errors import PatchError, nearest
from pipelines.tiff import DEFAULT_LIMITS, Limits, check_claims

GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_CACHEMAX": 64,
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
}

SENSELESS_REFLECTANCE = 30_000
"""Digital numbers above this (reflectance 3.0) on the median of a band are no reflectance × 10,000."""

BRIGHT_REFLECTANCE = 16_000
"""Digital numbers above this (reflectance 1.6) are rarer than clouds and snow make them."""


@dataclass(frozen=True)
class Patch:
    """Pixels by band name, uint16 reflectance × 10,000, each (size, size) at its own resolution.

    `crs` is an authority code or WKT or empty; `bounds` is (left, bottom, right, top) in its units.
    """

    pixels: dict[str, NDArray[np.uint16]]
    crs: str = ""
    bounds: tuple[float, float, float, float] | None = None
    warnings: tuple[str, ...] = field(default=())


def read_folder(folder: Path, bands: Sequence[str] = ALL_BANDS) -> Patch:
    """Read one BigEarthNet patch folder: `<patch_id>/<patch_id>_<band>.tif`, one band a file.

    Raises:
        PatchError: a band's file is missing, unreadable, of the wrong size or type, or all bands are empty.
    """
    pixels: dict[str, NDArray[np.uint16]] = {}
    crs, bounds = "", None
    with rasterio.Env(**GDAL_OPTIONS):
        for band in bands:
            path = folder / f"{folder.name}_{band}.tif"
            if not path.is_file():
                raise PatchError("missing band file", where=band)
            try:
                with rasterio.open(path, driver="GTiff") as source:
                    _check_band_file(source, band)
                    pixels[band] = source.read(1)
                    if not crs:
                        crs, bounds = _place(source)
            except RasterioError:
                raise PatchError("unreadable band file", where=band) from None
    if not any(array.any() for array in pixels.values()):
        raise PatchError("all bands are empty")
    return Patch(pixels, crs, bounds)


def _check_band_file(source: DatasetReader, band: str) -> None:
    size = SENTINEL2[band].size
    if source.count != 1 or source.shape != (size, size):
        raise PatchError("wrong size", where=band)
    if source.dtypes[0] != "uint16":
        raise PatchError("wrong type", where=band)


def _place(source: DatasetReader) -> tuple[str, tuple[float, float, float, float] | None]:
    if source.crs is None:
        return "", None
    code = source.crs.to_epsg()
    left, bottom, right, top = source.bounds
    return (f"EPSG:{code}" if code else source.crs.to_wkt()), (left, bottom, right, top)


def read_stack(
    data: bytes,
    *,
    wanted: Sequence[str] = ALL_BANDS,
    size: int | None = None,
    names: Sequence[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Patch:
    """Decode an uploaded GeoTIFF whose bands share one grid, and keep the bands that are wanted.

    Args:
        data: the file's bytes.
        wanted: band names to keep, in the order of the result.
        size: side in pixels the image must have, if it matters.
        names: what the file's bands are, in file order; else their descriptions say it; else twelve bands
            are taken for the twelve of BigEarthNet, and as many as `wanted` for those, each with a warning.

    Raises:
        PatchError: one of the many ways in which a file can be wrong; see its subclasses.
    """
    check_claims(data, limits)
    with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with MemoryFile(data) as memory, memory.open(driver="GTiff") as source:
                return _decode(source, wanted, size, names)
        except RasterioError:
            raise PatchError(
                "file is damaged or cut off: its pixels cannot be decoded", hint="Send the whole file again."
            ) from None


def _decode(source: DatasetReader, wanted: Sequence[str], size: int | None, names: Sequence[str] | None) -> Patch:
    if source.tags(ns="OVERVIEWS"):
        raise PatchError("file refers to overviews outside itself", hint="Export it without external overviews.")
    if size is not None and source.shape != (size, size):
        raise PatchError(
            f"image is {source.width}×{source.height} px, the model takes {size}×{size} px",
            hint=f"Cut the image into patches of {size}×{size} px at 10 m.",
        )
    kind = np.dtype(source.dtypes[0])
    if kind.kind not in "uif" or kind.itemsize not in (2, 4):  # 8 bits hold a picture, no reflectance
        raise PatchError(f"pixels are {kind}", hint="Export reflectance × 10,000 as uint16.")
    found, notes = _band_names(source, wanted, names)
    missing = [band for band in wanted if band not in found]
    if missing:
        raise PatchError(
            f"file has {source.count} bands ({', '.join(found)}); the model needs {', '.join(missing)} too",
            hint="Export the bands listed at /v1/models, in that order, or name them with ?bands=….",
        )
    pixels: dict[str, NDArray[np.uint16]] = {}
    for band in wanted:
        pixels[band], more = _reflectance(source.read(found.index(band) + 1), band)
        notes += more
    if not any(array.any() for array in pixels.values()):
        raise PatchError("all pixels are empty (0)", hint="Send a patch that lies inside the scene.")
    crs, bounds = _place(source)
    return Patch(pixels, crs, bounds, tuple(notes))


def _band_names(
    source: DatasetReader, wanted: Sequence[str], names: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """What each band of the file is, and the notes on how that was decided."""
    if names is not None:
        if len(names) != source.count:
            raise PatchError(
                f"{len(names)} band names were given for a file of {source.count} bands", hint="Name every band once."
            )
        return list(names), []
    described = [text for text in source.descriptions if text]
    if len(described) == source.count:
        if len(set(described)) != len(described):
            raise PatchError("two bands of the file have one name", hint="Give each band its own description.")
        unknown = [name for name in described if name not in SENTINEL2 and name not in wanted]
        if set(wanted) <= set(described):
            return described, [f"bands {', '.join(unknown)} were not used"] if unknown else []
        if unknown:
            raise PatchError(f'unknown band "{unknown[0]}"', hint=nearest(unknown[0], wanted))
        return described, []
    for assumed in (ALL_BANDS, tuple(wanted)):
        if source.count == len(assumed):
            return list(assumed), [f"the file does not name its bands; taken as {', '.join(assumed)}"]
    raise PatchError(
        f"file has {source.count} bands without names; the model needs {', '.join(wanted)}",
        hint=f"Export these {len(wanted)} bands in that order, or name the file's bands with ?bands=….",
    )


def _reflectance(array: NDArray[Any], band: str) -> tuple[NDArray[np.uint16], list[str]]:
    """Check one band's values and return them as uint16 reflectance × 10,000, with notes."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise PatchError("pixels are NaN or infinite", where=band, hint="Fill or cut away the gaps first.")
    if array.min() < 0:
        raise PatchError("pixels are negative", where=band, hint="Send reflectance × 10,000, from 0 up.")
    if array.dtype.kind == "f" and 0 < array.max() <= 2:
        raise PatchError("pixels look like reflectance from 0 to 1", where=band, hint="Multiply them by 10,000.")
    if np.median(array) > SENSELESS_REFLECTANCE or array.max() > np.iinfo(np.uint16).max:
        raise PatchError("pixels are far above any reflectance", where=band, hint="Send reflectance × 10,000.")
    notes = []
    if array.max() > BRIGHT_REFLECTANCE:
        notes.append(f"{band} has pixels of {float(array.max()) / 10_000:.1f} reflectance: cloud, snow or an error?")
    if array.dtype.kind == "f":
        array = np.rint(array)
    return array.astype(np.uint16), notes


def write_stack(patch: Patch, bands: Sequence[str], size: int) -> bytes:
    """A GeoTIFF of the given bands on one grid of `size` px, coarser ones repeated, with their names.

    Raises:
        PatchError: the patch lacks a band.
    """
    missing = [band for band in bands if band not in patch.pixels]
    if missing:
        raise PatchError(f"band {missing[0]} is missing")
    layers = [np.kron(patch.pixels[band], _ones(size // len(patch.pixels[band]))) for band in bands]
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": "uint16", "count": len(bands), "width": size, "height": size}
    profile |= {"compress": "deflate", "predictor": 2}
    if patch.bounds and patch.crs:
        profile |= {"crs": patch.crs, "transform": from_bounds(*patch.bounds, size, size)}
    with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile) as target:
            target.write(np.stack(layers))
            target.descriptions = tuple(bands)
        return bytes(memory.read())


def _ones(factor: int) -> NDArray[np.uint16]:
    return np.ones((factor, factor), dtype=np.uint16)
