"""One patch in memory, each band at its own resolution, keyed by name; and the door through which uploads come in.

Flows in: the bytes of a GeoTIFF stack, from anybody. Flows out: a `Patch`, or a PatchError whose message a user can
act on; and back, a `Patch` to the bytes of a stack. How an archive's files are read is said in
`archives.patch_files`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile
from rasterio.transform import from_bounds

from pipelines.bands import ALL_BANDS
from pipelines.errors import PatchError
from pipelines.pixels.band_names import find_bands
from pipelines.pixels.plain_tiff import Bounds
from pipelines.pixels.raster import GDAL_OPTIONS, open_bytes, place
from pipelines.pixels.tiff_header import DEFAULT_LIMITS, Limits

_KINDS = ("uint16", "int16", "uint32", "int32", "float16", "float32")
"""Types of pixels that hold reflectance; 8 bits hold a picture."""

SENSELESS_REFLECTANCE = 30_000
"""Digital numbers above this (reflectance 3.0) on the median of a band are no reflectance × 10,000."""

BRIGHT_REFLECTANCE = 16_000
"""Digital numbers above this (reflectance 1.6) are rarer than clouds and snow make them."""


@dataclass(frozen=True)
class Patch:
    """Pixels by band name, each (size, size) at its own resolution: a dataset's stored numbers, or float32 with NaN
    where there is no data.

    `crs` is an authority code or WKT or empty; `bounds` is (left, bottom, right, top) in its units. `nodata` is the
    share of its pixels that was not measured, of the band that lacks most.
    """

    pixels: dict[str, NDArray[Any]]
    crs: str = ""
    bounds: Bounds | None = None
    warnings: tuple[str, ...] = field(default=())
    nodata: float = 0.0


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
        names: what the file's bands are, in file order and in any spelling; else their descriptions say it; else
            twelve bands are taken for the twelve of BigEarthNet, and as many as `wanted` for those, with a warning.

    Raises:
        PatchError: one of the many ways in which a file can be wrong; see its subclasses.
    """
    with open_bytes(data, limits) as source:
        return _decode(source, wanted, size, names)


def _decode(source: DatasetReader, wanted: Sequence[str], size: int | None, names: Sequence[str] | None) -> Patch:
    if size is not None and source.shape != (size, size):
        raise PatchError(
            f"image is {source.width}×{source.height} px, the model takes {size}×{size} px",
            hint=f"Cut the image into patches of {size}×{size} px at 10 m.",
        )
    kind: str = source.dtypes[0]  # by GDAL's name: of some, such as complex_int16, NumPy has no type
    if kind not in _KINDS:
        raise PatchError(f"pixels are {kind}", hint="Export reflectance × 10,000 as uint16.")
    places, notes = find_bands(source.descriptions, wanted, names)
    pixels: dict[str, NDArray[np.uint16]] = {}
    for band in wanted:
        pixels[band], more = _reflectance(source.read(places[band] + 1), band)
        notes += more
    if not any(array.any() for array in pixels.values()):
        raise PatchError("all pixels are empty (0)", hint="Send a patch that lies inside the scene.")
    crs, bounds = place(source)
    return Patch(pixels, crs, bounds, tuple(notes))


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
