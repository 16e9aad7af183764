"""One patch in memory, each band at its own resolution, keyed by name; and the door through which uploads come in.

Flows in: the bytes of a GeoTIFF stack, from anybody. Flows out: a `Patch`, or a PatchError whose message a user can
act on; and back, a `Patch` to the bytes of a stack. How an archive's files are read is said in
`archives.patch_files`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.transform import from_bounds

from pipelines.bands import ALL_BANDS
from pipelines.errors import PatchError
from pipelines.pixels.band_names import find_bands
from pipelines.pixels.encoding import Measured, brought, share_of
from pipelines.pixels.judge import judge
from pipelines.pixels.meaning import MOST_NODATA, Known
from pipelines.pixels.plain_tiff import Bounds
from pipelines.pixels.raster import GDAL_OPTIONS, decode, open_bytes
from pipelines.pixels.tiff_header import DEFAULT_LIMITS, Limits


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
    known: Mapping[str, Known] | None = None,
    max_nodata: float = MOST_NODATA,
    limits: Limits = DEFAULT_LIMITS,
) -> Patch:
    """Decode an uploaded GeoTIFF whose bands share one grid, and keep the bands that are wanted.

    What the file declares of its numbers is applied: they come in the encoding of `known`, and what is no data as NaN.

    Args:
        data: the file's bytes.
        wanted: band names to keep, in the order of the result.
        size: side in pixels the image must have, if it matters.
        names: what the file's bands are, in file order and in any spelling; else their descriptions say it; else
            twelve bands are taken for the twelve of BigEarthNet, and as many as `wanted` for those, with a warning.
        known: of each wanted band, what a model was trained on, which the numbers are held against; None takes them as
            they are.
        max_nodata: share of the patch that may lack data, in the band that lacks most.

    Raises:
        PatchError: one of the many ways in which a file can be wrong; see its subclasses.
    """
    with open_bytes(data, limits) as source:
        if size is not None and source.shape != (size, size):
            raise PatchError(
                f"image is {source.width}×{source.height} px, the model takes {size}×{size} px",
                hint=f"Cut the image into patches of {size}×{size} px.",
            )
        kind: str = source.dtypes[0]  # by GDAL's name: of some, such as complex_int16, NumPy has no type
        if "complex" in kind:
            raise PatchError(f"pixels are {kind}", hint="Export reflectance × 10,000 as uint16.")
        places, notes = find_bands(source.descriptions, wanted, names)
        raster = decode(source)
    pixels: dict[str, NDArray[Any]] = {}
    nodata = 0.0
    for band in wanted:
        pixels[band], share = _numbers(raster.band(places[band]), band, (known or {}).get(band))
        nodata = max(nodata, share)
    _check_there(pixels, nodata, max_nodata)
    notes += [f"{nodata:.0%} of the patch is no data, which the model takes for the mean"] if nodata else []
    notes += judge(pixels, known) if known else []
    return Patch(pixels, raster.crs, raster.bounds, tuple(notes), nodata)


def _numbers(measured: Measured, band: str, known: Known | None) -> tuple[NDArray[Any], float]:
    """One band's numbers in the encoding that is known, NaN where there is no data, and the share of the latter."""
    numbers = measured.numbers if known is None else brought(measured, known.line)
    holes = measured.holes
    if holes is None and known and known.nodata is not None:
        holes = measured.numbers == known.nodata
    if numbers.dtype.kind == "f":
        if np.isinf(numbers).any():
            raise PatchError("pixels are infinite", where=band, hint="Mark what was not measured as NaN.")
        holes = np.isnan(numbers) if holes is None else holes | np.isnan(numbers)
    if numbers.dtype == np.uint16 and (holes is None or not holes.any()):
        return numbers, 0.0
    found = numbers.astype(np.float32)
    if holes is not None:
        found[holes] = np.nan
    return found, share_of(holes)


def _check_there(pixels: Mapping[str, NDArray[Any]], nodata: float, most: float) -> None:
    if not any(np.nan_to_num(array).any() for array in pixels.values()):
        raise PatchError("all pixels are empty", hint="Send a patch that lies inside the scene.")
    if nodata > most:
        raise PatchError(
            f"{nodata:.0%} of the patch is no data, and the model takes up to {most:.0%}",
            hint="Send a patch that lies inside the scene and outside what was masked.",
        )


def write_stack(patch: Patch, bands: Sequence[str], size: int) -> bytes:
    """A GeoTIFF of the given bands on one grid of `size` px, coarser ones repeated, with their names.

    Raises:
        PatchError: the patch lacks a band.
    """
    missing = [band for band in bands if band not in patch.pixels]
    if missing:
        raise PatchError(f"band {missing[0]} is missing")
    layers = np.stack([_on_grid(patch.pixels[band], size) for band in bands])
    profile: dict[str, Any] = {"driver": "GTiff", "count": len(bands), "width": size, "height": size}
    profile |= {"dtype": layers.dtype.name, "compress": "deflate", "predictor": 3 if layers.dtype.kind == "f" else 2}
    profile |= {"nodata": np.nan} if layers.dtype.kind == "f" else {}
    if patch.bounds and patch.crs:
        profile |= {"crs": patch.crs, "transform": from_bounds(*patch.bounds, size, size)}
    with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile) as target:
            target.write(layers)
            target.descriptions = tuple(bands)
        return bytes(memory.read())


def _on_grid(array: NDArray[Any], size: int) -> NDArray[Any]:
    """(size, size): each pixel repeated."""
    return array.repeat(size // len(array), axis=0).repeat(size // len(array), axis=1)
