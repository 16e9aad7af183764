"""How the files of a patch lie in an archive, and how they become a `Patch`.

Flows in: a `Layout`, a patch's place in the archive, and a way to fetch a file's bytes from it: from a disk, an
object store or a tar. Flows out: a `Patch`, or a PatchError with the reason for which it is left out.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from pipelines.dataset.manifest import BandColumn
from pipelines.errors import PatchError
from pipelines.pixels.encoding import Measured, holes_of, share_of, store
from pipelines.pixels.meaning import Line
from pipelines.pixels.patch import Patch
from pipelines.pixels.plain_tiff import Bounds
from pipelines.pixels.raster import Raster, read_raster
from pipelines.settings import Settings
from pipelines.spellings import canonical_names, only_numbered

Fetch = Callable[[str], bytes]
"""A file's bytes by its path in the archive; raises FileNotFoundError."""

_SHIFT = 1.0
"""Bands of one patch may lie this far apart, in the units of its coordinates, before they are of different places."""

ONE_FILE = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EIO}
"""What is wrong with one file; anything else is wrong with the machine, and no reason to leave a patch out."""


class Told(Settings):
    """What the user says of numbers that say nothing themselves."""

    scale: float | None = Field(default=None, description="of files that declare none")
    offset: float | None = Field(default=None, description="of files that declare none")
    nodata: float | None = Field(default=None, description="number that stands for no data where none is declared")
    unit: str = Field(default="", description="of the numbers, scaled")

    def of(self, measured: Measured) -> Measured:
        """A band with what is told of it, where its file does not say it."""
        if self.scale is self.offset is self.nodata is None:
            return measured
        line = None
        if self.scale is not None or self.offset is not None:
            line = Line(1.0 if self.scale is None else self.scale, self.offset or 0.0)
        holes = measured.holes
        if holes is None and self.nodata is not None:
            found = measured.numbers == self.nodata
            holes = found if found.any() else None
        return Measured(measured.numbers, holes, measured.line or line)


class Layout(Settings):
    """Where a patch's bands are.

    `files`: a file a band, `<place>/<patch>_<band>.tif`, or what `endings` adds to the place. `stack`: all bands in the
    one file that `place` names.
    """

    kind: Literal["files", "stack"]
    bands: list[BandColumn] = Field(description="what is read, in this order")
    names: list[str] = Field(default=[], description="bands of a stack in file order, where it does not name them")
    undeclared: bool = Field(default=True, description="whether files may leave unsaid what their numbers mean")
    mixed: bool = Field(default=False, description="whether some files say it and some do not")
    told: Told = Field(default=Told(), description="of the numbers")

    def file_of(self, place: str, band: str) -> str:
        """Path in the archive of the file in which a patch has a band."""
        if self.kind == "stack":
            return place
        return place + self.endings[band] if self.endings else f"{place}/{place.rsplit('/', 1)[-1]}_{band}.tif"

    renames: dict[str, str] = Field(default={}, description="what a stack's band is to be called, where not as it says")
    endings: dict[str, str] = Field(default={}, description="band to what its file's path has after the place")


@dataclass(frozen=True)
class Found:
    """The bands of one patch as its files have them, by name, and where it lies."""

    bands: dict[str, Measured]
    crs: str
    bounds: Bounds | None


def read_patch(layout: Layout, place: str, fetch: Fetch) -> Patch:
    """Read one patch, its numbers as the dataset has them.

    Raises:
        PatchError: a file is missing, damaged, or not what the layout says; `where` names the band.
        OSError, ServiceError: from `fetch`, where it is not this one file that is wrong.
    """
    found = find_patch(layout, place, fetch)
    if not layout.undeclared and any(measured.line is None for measured in found.bands.values()):
        raise PatchError("no scale is declared, as the others do")
    if all(map(_is_blank, found.bands.values())):
        raise PatchError("all pixels are empty")
    pixels = {band.name: store(band.numbers, found.bands[band.name]) for band in layout.bands}
    nodata = max(share_of(holes_of(band.numbers, pixels[band.name])) for band in layout.bands)
    return Patch(pixels, found.crs, found.bounds, tuple(_notes(found.bands.values(), layout)), nodata)


def find_patch(layout: Layout, place: str, fetch: Fetch) -> Found:
    """Read one patch, its numbers as its files have them, with what is told of these.

    Raises:
        PatchError, OSError, ServiceError: see `read_patch`.
    """
    return _find_files(layout, place, fetch) if layout.kind == "files" else _find_stack(layout, place, fetch)


def _find_files(layout: Layout, place: str, fetch: Fetch) -> Found:
    found: dict[str, Measured] = {}
    crs, bounds = "", None
    for band in layout.bands:
        raster = _fetch_raster(layout.file_of(place, band.name), fetch, band.name)
        if raster.pixels.shape != (1, band.size, band.size):
            raise PatchError("wrong size", where=band.name)
        if not layout.endings and raster.pixels.dtype != np.uint16:
            raise PatchError("wrong type", where=band.name)
        found[band.name] = layout.told.of(raster.band(0))
        if len(found) == 1:
            crs, bounds = raster.crs, raster.bounds
        elif raster.crs != crs or not _same_place(raster.bounds, bounds):
            raise PatchError("bands lie in different places", where=band.name)
    return Found(found, crs, bounds)


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
    if one is None or other is None or one == other:  # the last: as nearly all are
        return one == other
    return all(abs(a - b) < _SHIFT for a, b in zip(one, other, strict=True))


def _find_stack(layout: Layout, place: str, fetch: Fetch) -> Found:
    raster = _fetch_raster(place, fetch)
    names = _names_of(layout, raster)
    if any(raster.pixels.shape[1:] != (band.size, band.size) for band in layout.bands):
        raise PatchError("wrong size")
    found = {band.name: layout.told.of(raster.band(names.index(band.name))) for band in layout.bands}
    return Found(found, raster.crs, raster.bounds)


def _names_of(layout: Layout, raster: Raster) -> list[str]:
    """What the bands of a stack are called here: by any spelling of the names that the layout has."""
    written = list(layout.names if not raster.names or only_numbered(raster.names) else raster.names)
    if not written:
        raise PatchError("wrong bands (they have no names)")
    if len(written) != len(raster.pixels):
        raise PatchError(f"wrong bands ({len(raster.pixels)} for {len(written)} names)")
    known = [layout.renames.get(name, name) for name in canonical_names(written)]
    for names in (known, written):
        if all(names.count(band.name) == 1 for band in layout.bands):
            return names
    lacking = next(band.name for band in layout.bands if known.count(band.name) != 1)
    raise PatchError(f"wrong bands ({'two' if lacking in known else 'none'} called {lacking})")


def _notes(found: Collection[Measured], layout: Layout) -> Iterator[str]:
    """What was done to a file's numbers, and what was taken for granted, to be counted."""
    if any(measured.numbers.dtype == np.float64 for measured in found):
        yield "float64, stored as float32"
    lines = {measured.line for measured in found if measured.line}
    if not lines and not layout.mixed:
        return
    mine = {band.numbers.line for band in layout.bands}
    if lines and not lines <= mine:
        yield f"declared {said(lines)}, and brought to {said(mine)}"
    if not lines:
        yield f"declared no scale, and taken for {said(mine)}"


def said(lines: Iterable[Line]) -> str:
    """Scales and offsets in words."""
    return " or ".join(sorted(map(str, lines)))


def _is_blank(measured: Measured) -> bool:
    """Whether there is nothing but 0, or nothing that was measured."""
    holes = measured.holes
    if measured.numbers.dtype.kind == "f":
        lost = np.isnan(measured.numbers)
        holes = lost if holes is None else holes | lost
    return not measured.numbers.any() or (holes is not None and bool(holes.all()))
