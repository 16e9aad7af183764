"""Plain TIFFs without GDAL: uncompressed strips, one band, as every file of BigEarthNet is.

GDAL takes half a millisecond to open a file of 29 kB, and BigEarthNet has seven million of them. What such a file
holds lies in the open: a directory of a dozen tags, and then the pixels. So this reads the tags, checks that they
say nothing unusual, and takes the pixels as they lie, thirty times faster. Whatever is not plain goes to GDAL
(`raster`): compressed, tiled, of several bands, with a palette, scale, mask or second image.

Flows in: the bytes of a file. Flows out: pixels and place, or None where GDAL should be asked.
Source: TIFF 6.0, sections 2 and 3; OGC GeoTIFF 1.1, sections 7.1 and 7.3 (keys 1024, 2048 and 3072).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import PatchError

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _ORIENTATION, _SAMPLES, _STRIP_HEIGHT, _COUNTS = 273, 274, 277, 278, 279
_PLANES, _PREDICTOR, _FORMAT = 284, 317, 339
_SCALE, _TIEPOINT, _GEO_KEYS, _GEO_DOUBLES, _GEO_TEXT = 33550, 33922, 34735, 34736, 34737
_NODATA = 42113

_PLAIN_VALUES = {_BITS: 16, _COMPRESSION: 1, _ORIENTATION: 1, _SAMPLES: 1, _PLANES: 1, _PREDICTOR: 1, _FORMAT: 1}
"""Tags that must have this value where they are given: 16-bit unsigned, uncompressed, upright, one band."""

_HARMLESS = {_WIDTH, _HEIGHT, _PHOTOMETRIC, _OFFSETS, _STRIP_HEIGHT, _COUNTS, _GEO_DOUBLES, _GEO_TEXT}
_KNOWN = set(_PLAIN_VALUES) | _HARMLESS | {_SCALE, _TIEPOINT, _GEO_KEYS}
_MIN_IS_BLACK = 1

_ENTRY = struct.Struct("<HHI4s")
_SIZES = {3: ("H", 2), 4: ("I", 4), 12: ("d", 8), 2: ("s", 1)}

_GEOGRAPHIC, _PROJECTED = 2048, 3072
_USER_DEFINED = 32767

Bounds = tuple[float, float, float, float]


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
        tags = _directory(data)
        return _read(data, tags) if tags else None
    except struct.error:
        raise PatchError("file is cut off") from None


Tags = dict[int, tuple[int | float, ...]]


def _directory(data: bytes) -> Tags | None:
    """Values of all tags of the only directory; None where a tag, a type or a second directory is not plain."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    end = at + 2 + count * _ENTRY.size
    (following,) = struct.unpack_from("<I", data, end)
    if following:
        return None
    tags: Tags = {}
    for tag, kind, length, inline in _ENTRY.iter_unpack(data[at + 2 : end]):
        if tag not in _KNOWN or kind not in _SIZES or tag in tags:
            return None
        code, size = _SIZES[kind]
        if tag == _GEO_TEXT:
            continue
        form = f"<{length}{code}"
        if length * size <= 4:
            tags[tag] = struct.unpack_from(form, inline)
        else:
            tags[tag] = struct.unpack_from(form, data, int.from_bytes(inline, "little"))
    return tags


def _read(data: bytes, tags: Tags) -> Plain | None:
    if not {_WIDTH, _HEIGHT, _BITS, _OFFSETS, _COUNTS} <= tags.keys() or tags.get(_PHOTOMETRIC, (1,)) != (1,):
        return None
    if any(tags.get(tag, (value,)) != (value,) for tag, value in _PLAIN_VALUES.items()):
        return None
    (width,), (height,) = tags[_WIDTH], tags[_HEIGHT]
    start, total = tags[_OFFSETS][0], sum(tags[_COUNTS])
    strips = zip(tags[_OFFSETS], tags[_COUNTS], strict=False)
    ends = [offset + size for offset, size in strips]
    contiguous = list(tags[_OFFSETS][1:]) == ends[:-1] and len(tags[_OFFSETS]) == len(tags[_COUNTS])
    if not contiguous or total != 2 * width * height or not total:
        return None
    if start + total > len(data):
        raise PatchError("file is cut off")
    place = _place(tags, int(width), int(height))
    if place is None:
        return None
    pixels = np.frombuffer(data, "<u2", int(width * height), int(start)).reshape(int(height), int(width))
    return Plain(pixels, *place)


def _place(tags: Tags, width: int, height: int) -> tuple[int, Bounds | None] | None:
    """EPSG code and bounds; (0, None) where the file claims no place, None where only GDAL can tell."""
    if not tags.keys() & {_SCALE, _TIEPOINT, _GEO_KEYS}:
        return 0, None
    scale, tie, keys = (tags.get(tag, ()) for tag in (_SCALE, _TIEPOINT, _GEO_KEYS))
    epsg = _epsg(keys)
    if len(scale) != 3 or len(tie) != 6 or tie[:3] != (0, 0, 0) or not epsg:
        return None
    left, top = float(tie[3]), float(tie[4])
    return epsg, (left, top - scale[1] * height, left + scale[0] * width, top)


def _epsg(keys: tuple[int | float, ...]) -> int:
    """The code in the key directory, 0 where it defines its own system or counts pixels from their centres."""
    entries = {key: value for key, place, _, value in zip(*[iter(keys[4:])] * 4, strict=False) if place == 0}
    if entries.get(1025, 1) != 1:
        return 0
    code = int(entries.get(_PROJECTED, entries.get(_GEOGRAPHIC, 0)))
    return 0 if code == _USER_DEFINED else code
