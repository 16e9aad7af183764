"""Plain TIFFs without GDAL: uncompressed strips, one band, as every file of BigEarthNet is.

GDAL takes half a millisecond to open a file of 29 kB, and BigEarthNet has seven million of them. What such a file
holds lies in the open: a directory of a dozen tags, and then the pixels. So this reads the tags, checks that they
say nothing unusual, and takes the pixels as they lie, thirty times faster. Whatever is not plain goes to GDAL
(`raster`): compressed, tiled, of several bands, with a palette, scale, mask or second image, in other coordinates than
WGS 84 / UTM.

Flows in: the bytes of a file. Flows out: pixels and place, or None where GDAL should be asked.
Source: TIFF 6.0, sections 2 and 3; OGC GeoTIFF 1.1, sections 7.1 and 7.3 (keys 1024, 1025 and 3072).
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import PatchError

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _ORIENTATION, _SAMPLES, _STRIP_HEIGHT, _COUNTS = 273, 274, 277, 278, 279
_PLANES, _PREDICTOR, _FORMAT = 284, 317, 339
_SCALE, _TIEPOINT, _GEO_KEYS, _GEO_TEXT = 33550, 33922, 34735, 34737

_PLAIN_VALUES = {
    _BITS: 16,
    _COMPRESSION: 1,
    _PHOTOMETRIC: 1,
    _ORIENTATION: 1,
    _SAMPLES: 1,
    _PLANES: 1,
    _PREDICTOR: 1,
    _FORMAT: 1,
}
"""Tags that must have this value where they are given: 16-bit unsigned, uncompressed, upright, one band."""

_PLACE = frozenset((_SCALE, _TIEPOINT, _GEO_KEYS, _GEO_TEXT))

_LONG, _COUNT, _ENTRY = struct.Struct("<I"), struct.Struct("<H"), struct.Struct("<HHI4s")
_SHORT, _WHOLE, _DOUBLE, _TEXT = {3: ("H", 2)}, {3: ("H", 2), 4: ("I", 4)}, {12: ("d", 8)}, {2: ("s", 1)}
_FORMS = dict.fromkeys((*_PLAIN_VALUES, _WIDTH, _HEIGHT, _OFFSETS, _STRIP_HEIGHT, _COUNTS), _WHOLE)
_FORMS |= {_SCALE: _DOUBLE, _TIEPOINT: _DOUBLE, _GEO_KEYS: _SHORT, _GEO_TEXT: _TEXT}
"""Every tag that a plain file may have, with the types that it may have: their codes in `struct`, and bytes."""

_MODEL, _RASTER, _SYSTEM = 1024, 1025, 3072
_KEYS = {_MODEL: 1, _RASTER: 1, 2054: 9102, 3076: 9001}
"""Projected coordinates; pixels are areas; degrees; metres."""
_CITATIONS = (1026, 2049, 3073)
_UTM = (*range(32601, 32661), *range(32701, 32761))

Bounds = tuple[float, float, float, float]
"""Left, bottom, right and top, in the units of the coordinates."""


class Plain(NamedTuple):
    """One band: pixels (height, width) uint16, a read-only view of the file's bytes; EPSG code, 0 where there is
    no place; bounds (left, bottom, right, top)."""

    pixels: NDArray[np.uint16]
    epsg: int
    bounds: Bounds | None


def read_plain(data: bytes) -> Plain | None:
    """Read a plain TIFF; None where it is none.

    Raises:
        PatchError: it is plain, and cut off.
    """
    if data[:4] != b"II*\0":
        return None
    try:
        tags = _tags(data)
        return _read(data, tags) if tags else None
    except struct.error:
        raise PatchError("file is cut off") from None


Tags = dict[int, tuple[Any, ...]]


class _Directory(NamedTuple):
    """Values that stand in the directory itself; and of tags whose values lie elsewhere, how and where these lie."""

    inside: Tags
    outside: tuple[tuple[int, struct.Struct, int], ...]


def _tags(data: bytes) -> Tags | None:
    """Values of all tags of the only directory; None where a tag, a type or a second directory is not plain."""
    (at,) = _LONG.unpack_from(data, 4)
    (count,) = _COUNT.unpack_from(data, at)
    end = at + 2 + count * _ENTRY.size
    (following,) = _LONG.unpack_from(data, end)
    if following or count > len(_FORMS):
        return None
    found = _directory(data[at + 2 : end])
    if found is None:
        return None
    tags = found.inside.copy()
    for tag, form, where in found.outside:
        tags[tag] = form.unpack_from(data, where)
    return tags


@lru_cache(maxsize=256)
def _directory(entries: bytes) -> _Directory | None:
    """What a directory says; None where it is not plain. An archive's files have few different ones."""
    tags: Tags = {}
    outside: list[tuple[int, struct.Struct, int]] = []
    for tag, kind, length, inline in _ENTRY.iter_unpack(entries):
        form = _FORMS.get(tag, {}).get(kind)
        if form is None or tag in tags:
            return None
        code, size = form
        values = struct.Struct(f"<{length}{code}")
        if length * size <= 4:
            tags[tag] = values.unpack_from(inline)
        else:
            tags[tag] = ()
            outside.append((tag, values, int.from_bytes(inline, "little")))
    plain = all(tags.get(tag, (value,)) == (value,) for tag, value in _PLAIN_VALUES.items()) and _BITS in tags
    return _Directory(tags, tuple(outside)) if plain else None


def _read(data: bytes, tags: Tags) -> Plain | None:
    width, height = _single(tags, _WIDTH), _single(tags, _HEIGHT)
    rows = min(_single(tags, _STRIP_HEIGHT, height), height)
    start = _start(width, height, rows, tags.get(_OFFSETS, ()), tags.get(_COUNTS, ()))
    place = _place(tags, width, height)
    if start is None or place is None:
        return None
    if start + 2 * width * height > len(data):
        raise PatchError("file is cut off")
    pixels = np.frombuffer(data, "<u2", width * height, start).reshape(height, width)
    return Plain(pixels, *place)


def _single(tags: Tags, tag: int, default: int = 0) -> int:
    """A tag's one value; 0 where it has more or fewer."""
    values = tags.get(tag, (default,))
    return values[0] if len(values) == 1 else 0


@lru_cache(maxsize=16)
def _start(width: int, height: int, rows: int, offsets: tuple[int, ...], counts: tuple[int, ...]) -> int | None:
    """Where the pixels begin; None where the strips, of so many rows each, do not follow each other, or are not of the
    size that they say."""
    if not width or not rows or not len(offsets) == len(counts) == -(-height // rows):
        return None
    start, strip = offsets[0], 2 * width * rows
    last = 2 * width * height - strip * (len(counts) - 1)
    whole = all(count == strip for count in counts[:-1]) and counts[-1] == last
    follow = all(offset == start + strip * number for number, offset in enumerate(offsets))
    return start if whole and follow else None


def _place(tags: Tags, width: int, height: int) -> tuple[int, Bounds | None] | None:
    """EPSG code and bounds; (0, None) where the file claims no place, None where only GDAL can tell."""
    if _PLACE.isdisjoint(tags):
        return 0, None
    scale, tie, keys = tags.get(_SCALE, ()), tags.get(_TIEPOINT, ()), tags.get(_GEO_KEYS, ())
    epsg = _utm(keys, *tags.get(_GEO_TEXT, (b"",)))
    if not epsg or len(scale) != 3 or len(tie) != 6 or tie[:3] != (0, 0, 0) or min(scale[:2]) <= 0:
        return None
    left, top = tie[3], tie[4]
    bounds = (left, top - scale[1] * height, left + scale[0] * width, top)
    return (epsg, bounds) if all(map(math.isfinite, bounds)) else None


@lru_cache(maxsize=256)
def _utm(keys: tuple[int, ...], text: bytes) -> int:
    """The EPSG code of a WGS 84 / UTM zone; 0 where a key says anything else.

    GDAL looks for further definitions in the text that keys point to, and all that it knows have `=` in them.
    """
    version, entries = keys[:4], list(zip(*[iter(keys[4:])] * 4, strict=False))
    if version not in ((1, 1, 0, len(entries)), (1, 1, 1, len(entries))) or len(keys) != 4 + 4 * len(entries):
        return 0
    if (
        b"=" in text
        or text.find(b"\0") != len(text) - 1
        or sorted({key for key, *_ in entries}) != [key for key, *_ in entries]
    ):
        return 0
    found: dict[int, int] = {}
    for key, where, count, value in entries:
        if key in _CITATIONS and where == _GEO_TEXT and value + count <= len(text):
            continue
        if where or count != 1 or value not in ((_KEYS[key],) if key in _KEYS else _UTM if key == _SYSTEM else ()):
            return 0
        found[key] = value
    return found[_SYSTEM] if found.keys() >= {_MODEL, _RASTER, _SYSTEM} else 0
