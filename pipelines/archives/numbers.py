"""What the numbers of one's own files mean, found out from some of them before any is packed.

Flows in: some decoded files, and what the user tells of those that say nothing. Flows out: an `Encoding` a band, and
how files that declare something else, or nothing, are to be taken.

All files are brought to one encoding. Where all of them declare the same scale and offset, that is it; where they
differ, or some declare none, the offset is taken off, since numbers without a declaration are those of before it: so it
is with Sentinel-2, whose processing baseline 04.00 added 1,000 (ESA, Sentinel-2 Products Specification Document,
`RADIO_ADD_OFFSET`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.archives.patch_files import Fetch, Layout, Told, find_patch, said
from pipelines.bands import CIRRUS, SENTINEL2
from pipelines.errors import PatchError, SettingsError
from pipelines.pixels.encoding import Measured
from pipelines.pixels.judge import BASELINE_OFFSET
from pipelines.pixels.meaning import KINDS, REFLECTANCE, Encoding, Kind, Line
from pipelines.settings import IngestSettings

_LOOKED_AT = 64
"""Patches, at most."""

_SENTINELS = 7_000
"""Numbers whose median is beyond this are no reflectance × 10,000, with or without an offset."""

_LANDSATS = 7_000
"""Reflectance 0 is 7,273 in Landsat's Collection 2, Level 2 (USGS: reflectance = number × 0.0000275 − 0.2)."""


@dataclass(frozen=True)
class Meant:
    """One of the ways in which reflectance is written: its line, and between which numbers the median of land lies."""

    words: str
    line: Line
    least: float
    most: float


_USUAL = (
    Meant("reflectance × 10,000", REFLECTANCE.line, 100, 6_000),
    Meant("reflectance from 0 to 1", Line(), 0.01, 0.6),
)


def told_by(settings: IngestSettings) -> Told:
    """What the settings say of the files' numbers."""
    return Told(scale=settings.scale, offset=settings.offset, nodata=settings.nodata, unit=settings.unit)


def with_numbers(layout: Layout, places: Sequence[str], fetch: Fetch, told: Told) -> tuple[Layout, list[str]]:
    """A layout that knows what its bands' numbers are, from some patches, and what is to be told of them.

    Args:
        layout: where the bands of a patch are.
        places: of some patches; those that cannot be read are passed over.
        fetch: reads a file.
        told: of the numbers.

    Raises:
        SettingsError: a value for no data is told that the numbers' type does not have.
        ServiceError: the object store does not answer.
    """
    layout = layout.model_copy(update={"told": told})
    files: list[dict[str, Measured]] = []
    for place in places[:: -(-len(places) // _LOOKED_AT) or 1]:
        with suppress(PatchError, OSError):
            files.append(find_patch(layout, place, fetch).bands)
    if not files:
        return layout, []
    assumed = _assumed(files) if told == Told(nodata=told.nodata) else None
    encodings = {band: _encoding([file[band] for file in files], told, assumed) for band in files[0]}
    declaring = [all(band.line for band in file.values()) for file in files]
    update = {
        "bands": [band.model_copy(update={"numbers": encodings[band.name]}) for band in layout.bands],
        "undeclared": not all(declaring),
        "mixed": any(declaring) and not all(declaring),
    }
    notes = [f"numbers are taken for {assumed.words}; if they are not, give --scale and --unit"] if assumed else []
    return layout.model_copy(update=update), [*notes, *_told_of(files, declaring, encodings)]


def _assumed(files: Sequence[Mapping[str, Measured]]) -> Meant | None:
    """What numbers that say nothing are by all appearances: Sentinel-2's bands on one of the two usual scales."""
    if not set(files[0]) <= {*SENTINEL2, CIRRUS.name} or any(band.line for file in files for band in file.values()):
        return None
    there = [_there(band) for file in files for band in file.values()]
    middle = float(np.median([np.median(numbers) for numbers in there if numbers.size] or [0]))
    return next((meant for meant in _USUAL if meant.least < middle < meant.most), None)


def _there(band: Measured) -> NDArray[Any]:
    """A band's numbers without those that were not measured."""
    numbers = band.numbers if band.holes is None else band.numbers[~band.holes]
    return numbers[~np.isnan(numbers)] if numbers.dtype.kind == "f" else numbers


def _told_of(
    files: Sequence[Mapping[str, Measured]], declaring: Sequence[bool], encodings: Mapping[str, Encoding]
) -> Iterator[str]:
    of = f"of {len(files)} files looked at"
    if any(declaring):
        lines = {band.line for file in files for band in file.values() if band.line}
        mine = {encoding.line for encoding in encodings.values()}
        if not lines <= mine:
            yield f"{sum(declaring)} {of} declare {said(lines)}: all numbers are brought to {said(mine)}"
        if not all(declaring):
            yield f"{declaring.count(False)} {of} declare no scale, and are taken for {said(mine)}"
    elif suspected := _suspect(files):
        yield suspected
    kinds = {band.numbers.dtype for file in files for band in file.values()}
    if np.dtype(np.float64) in kinds:
        yield "float64 is stored as float32"


def _encoding(bands: Sequence[Measured], told: Told, assumed: Meant | None) -> Encoding:
    line = assumed.line if assumed else _line([band.line for band in bands])
    holed = any(band.holes is not None for band in bands) or told.nodata is not None
    kind = _kind(bands, line, holed)
    reflectance = assumed or (1e-5 < line.scale < 1e-3 and not told.unit)
    return Encoding(
        dtype=kind,
        scale=line.scale,
        offset=line.offset,
        unit="reflectance" if reflectance else told.unit,
        nodata=_nodata(bands, kind, told) if holed else None,
    )


def _line(lines: Sequence[Line | None]) -> Line:
    known = Counter(lines)
    if list(known) == [None]:
        return Line()
    most = max(filter(None, known), key=lambda line: known[line])
    return most if len(known) == 1 else Line(most.scale, 0.0)


def _kind(bands: Sequence[Measured], line: Line, holed: bool) -> Kind:
    """The narrowest type that holds what most files' type can hold; of a type wider than any, what is there.

    Files of another type must fit it: one of fractions among whole numbers is more likely wrong than all the others.
    """
    kinds = Counter(band.numbers.dtype for band in bands)
    usual = kinds.most_common(1)[0][0]
    if usual.kind == "f" or any(band.line not in (None, line) for band in bands):
        return "float32"
    allowed = KINDS[KINDS.index(usual.name) :] if usual.name in KINDS else KINDS[1:]
    if usual.name == "uint8" and holed:  # all 256 of its numbers may be data
        allowed = KINDS[1:]
    return next(kind for kind in allowed if all(_fits(band, kind) for band in bands if band.numbers.dtype == usual))


def _fits(band: Measured, kind: Kind) -> bool:
    if kind == "float32":
        return True
    numbers = _there(band)
    if numbers.dtype.kind == "f" and not (np.rint(numbers) == numbers).all():
        return False
    limits = np.iinfo(kind)
    return not numbers.size or bool(limits.min <= numbers.min() and numbers.max() <= limits.max)


def _nodata(bands: Sequence[Measured], kind: Kind, told: Told) -> float | None:
    """What the files have in their holes where it is one number of the type, else the number farthest from all data."""
    if kind == "float32":
        return told.nodata
    limits = np.iinfo(kind)
    if told.nodata is not None:
        if not (limits.min <= told.nodata <= limits.max and float(told.nodata).is_integer()):
            raise SettingsError(f"{told.nodata:g} is no number of {kind}", where="nodata")
        return float(told.nodata)
    found: set[Any] = set()
    for band in bands:
        if band.holes is not None and len(found) < 2:
            found |= set(np.unique(band.numbers[band.holes])[:2].tolist())
    if len(found) == 1 and limits.min <= (value := found.pop()) <= limits.max and float(value).is_integer():
        return float(value)
    return float(limits.min if kind == "int16" else limits.max)


def _suspect(files: Sequence[Mapping[str, Measured]]) -> str | None:
    """Whether numbers look as if something had been added to them: there is no dark pixel in any band."""
    if any(band.numbers.dtype.kind == "f" for file in files for band in file.values()) or len(files[0]) < 3:
        return None
    there = [numbers for file in files for band in file.values() if (numbers := _there(band)).size]
    if not there:
        return None
    lowest, middle = min(int(each.min()) for each in there), float(np.median([np.median(each) for each in there]))
    if lowest >= BASELINE_OFFSET and middle < _SENTINELS:
        return (
            f"no pixel of any band is below {BASELINE_OFFSET:,}: the numbers seem to have the offset of Sentinel-2's "
            "processing baseline 04.00; if so, tell it with --scale 0.0001 --offset -0.1"
        )
    if lowest >= _LANDSATS and middle < 3 * _LANDSATS:
        return (
            f"no pixel of any band is below {_LANDSATS:,}: the numbers seem to be surface reflectance of Landsat's "
            "Collection 2; if so, tell it with --scale 0.0000275 --offset -0.2"
        )
    return None
