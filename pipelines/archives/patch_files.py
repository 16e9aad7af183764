"""How the files of a patch lie in an archive, and how they become a `Patch`.

Flows in: a `Layout`, a patch's place in the archive, and a way to fetch a file's bytes from it: from a disk, an
object store or a tar. Flows out: a `Patch`, or a PatchError with the reason for which it is left out.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.dataset.manifest import BandColumn
from pipelines.errors import PatchError
from pipelines.pixels.patch import Patch
from pipelines.pixels.plain_tiff import Bounds
from pipelines.pixels.raster import Raster, read_raster
from pipelines.settings import Settings

Fetch = Callable[[str], bytes]
"""A file's bytes by its path in the archive; raises FileNotFoundError."""

_SHIFT = 1.0
"""Bands of one patch may lie this far apart, in the units of its coordinates, before they are of different places."""

ONE_FILE = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EIO}
"""What is wrong with one file; anything else is wrong with the machine, and no reason to leave a patch out."""


class Layout(Settings):
    """Where a patch's bands are.

    `files`: a file a band, `<place>/<patch>_<band>.tif`. `stack`: all bands in the one file that `place` names.
    """

    kind: Literal["files", "stack"]
    bands: list[BandColumn] = Field(description="what is read, in this order")
    names: list[str] = Field(default=[], description="bands of a stack in file order, where it does not name them")


def read_patch(layout: Layout, place: str, fetch: Fetch) -> Patch:
    """Read one patch.

    Raises:
        PatchError: a file is missing, damaged, or not what the layout says; `where` names the band.
        OSError, ServiceError: from `fetch`, where it is not this one file that is wrong.
    """
    return _read_files(layout, place, fetch) if layout.kind == "files" else _read_stack(layout, place, fetch)


def _read_files(layout: Layout, place: str, fetch: Fetch) -> Patch:
    stem = f"{place}/{place.rsplit('/', 1)[-1]}"
    pixels: dict[str, NDArray[np.uint16]] = {}
    crs, bounds, blank = "", None, True
    for band in layout.bands:
        raster = _fetch_raster(f"{stem}_{band.name}.tif", fetch, band.name)
        if raster.pixels.shape != (1, band.size, band.size):
            raise PatchError("wrong size", where=band.name)
        if raster.pixels.dtype != np.uint16:
            raise PatchError("wrong type", where=band.name)
        pixels[band.name] = raster.pixels[0]
        blank = blank and _is_blank(raster.pixels, raster.nodata)
        if len(pixels) == 1:
            crs, bounds = raster.crs, raster.bounds
        elif raster.crs != crs or not _same_place(raster.bounds, bounds):
            raise PatchError("bands lie in different places", where=band.name)
    if blank:
        raise _blank()
    return Patch(pixels, crs, bounds)


def _fetch_raster(file: str, fetch: Fetch, band: str = "") -> Raster:
    try:
        return read_raster(fetch(file))
    except FileNotFoundError:
        raise PatchError("missing file", where=band) from None
    except OSError as error:
        if error.errno not in ONE_FILE:
            raise
        raise PatchError(f"unreadable file ({(error.strerror or '').lower()})", where=band) from None
    except PatchError as error:
        raise PatchError(error.what, where=band) from None


def _same_place(one: Bounds | None, other: Bounds | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) < _SHIFT for a, b in zip(one, other, strict=True))


def _read_stack(layout: Layout, place: str, fetch: Fetch) -> Patch:
    raster = _fetch_raster(place, fetch)
    names = list(raster.names or layout.names)
    if len(names) != len(raster.pixels) or any(names.count(band.name) != 1 for band in layout.bands):
        raise PatchError("wrong bands")
    if any(raster.pixels.shape[1:] != (band.size, band.size) for band in layout.bands):
        raise PatchError("wrong size")
    arrays = {band.name: raster.pixels[names.index(band.name)] for band in layout.bands}
    if all(_is_blank(array, raster.nodata) for array in arrays.values()):
        raise _blank()
    return Patch({name: _whole_numbers(array) for name, array in arrays.items()}, raster.crs, raster.bounds)


def _is_blank(array: NDArray[Any], nodata: float | None) -> bool:
    """Whether there is nothing but 0, or nothing but what the file calls no data."""
    return not array.any() or (nodata is not None and bool((array == nodata).all()))


def _blank() -> PatchError:
    return PatchError("all pixels are empty")


def _whole_numbers(array: NDArray[Any]) -> NDArray[np.uint16]:
    """The same numbers as uint16; whatever would change a single one is refused."""
    if array.dtype == np.uint16:
        return array
    if array.dtype.kind not in "uif":
        raise PatchError(f"pixels are {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise PatchError("pixels are NaN or infinite")
    if array.min() < 0 or array.max() > np.iinfo(np.uint16).max:
        raise PatchError("pixels do not fit 16 bits")
    whole = array.astype(np.uint16)
    if array.dtype.kind == "f" and not (whole == array).all():
        raise PatchError("pixels are fractions, not digital numbers")
    return whole
