"""What a TIFF claims about itself, read from its header alone, before any decoder is let near it.

A 170-byte file can claim a 32768×32768 block and cost gigabytes; one with 65,535 bands keeps GDAL busy for
minutes. So the claims are checked first, in plain Python, without allocating anything.

Flows in: the bytes of a file. Flows out: nothing, or an error that says what is wrong with it.
Source: TIFF 6.0, section 2 (image file directory) and the BigTIFF design (offsets of 8 bytes).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pipelines.errors import PatchError, TooLargeError, UnsupportedError

_SIGNATURES = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x93NUMPY": "a NumPy array",
    b"<VRTDataset": "a VRT, which may point anywhere",
    b"<": "an XML or HTML document",
    b"\x89HDF": "an HDF5 file",
    **dict.fromkeys((b"II*", b"MM*"), "a TIFF without its zero bytes, as curl's -d sends it (--data-binary sends all)"),
}

_WIDTH, _HEIGHT, _BITS, _BANDS, _STRIP_HEIGHT, _BLOCK_WIDTH, _BLOCK_HEIGHT = 256, 257, 258, 277, 278, 322, 323
_CHECKED = (_WIDTH, _HEIGHT, _BITS, _BANDS, _STRIP_HEIGHT, _BLOCK_WIDTH, _BLOCK_HEIGHT)
_VALUE_FORMATS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_EXPORT_HINT = "Export the patch as a GeoTIFF with all its bands on one grid."


@dataclass(frozen=True)
class Limits:
    """The most that an uploaded raster may claim: bytes, bands, pixels a side, and decoded bytes in all and a block."""

    max_bytes: int = 64 * 2**20
    max_bands: int = 64
    max_side: int = 4096
    max_image_bytes: int = 256 * 2**20
    max_block_bytes: int = 32 * 2**20
    max_directories: int = 16


DEFAULT_LIMITS = Limits()


def is_tiff(data: bytes) -> bool:
    """Whether bytes begin as a TIFF or a BigTIFF does, of either order of bytes."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def check_claims(data: bytes, limits: Limits = DEFAULT_LIMITS) -> None:
    """Check what a file claims to be.

    Raises:
        UnsupportedError: it is not a TIFF.
        TooLargeError: it claims more bytes, bands or pixels than `limits`.
        PatchError: its header is cut off or makes no sense.
    """
    if not data:
        raise PatchError("file is empty", hint=_EXPORT_HINT)
    if len(data) > limits.max_bytes:
        raise TooLargeError(
            f"file has {len(data) / 2**20:.1f} MiB, the limit is {limits.max_bytes / 2**20:.0f} MiB",
            hint="Cut the image into patches first.",
        )
    if not is_tiff(data):
        raise UnsupportedError(f"not a GeoTIFF but {_kind(data)}", hint=_EXPORT_HINT)
    try:
        _walk(data, limits)
    except (struct.error, OverflowError):  # the latter: an offset of 2⁶³ bytes or more
        raise PatchError("file is cut off in its header", hint="Send the whole file.") from None


def _kind(data: bytes) -> str:
    head = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    text = data[:512].decode("utf-8", errors="ignore")
    readable = all(character.isprintable() or character in "\t\r\n\ufeff" for character in text)
    return "a text file" if readable and len(text.encode()) > len(data[:512]) - 4 else "a file of another kind"


def _walk(data: bytes, limits: Limits) -> None:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    word = "Q" if big else "I"
    (offset,) = struct.unpack_from(order + word, data, 8 if big else 4)
    seen: set[int] = set()
    while offset:
        if offset in seen or len(seen) >= limits.max_directories:
            raise PatchError("file's directories run in a circle or are too many", hint=_EXPORT_HINT)
        seen.add(offset)
        claims, offset = _directory(data, offset, order, big)
        _judge(claims, limits)


def _directory(data: bytes, offset: int, order: str, big: bool) -> tuple[dict[int, int], int]:
    """The scalar tags of one image file directory, and the offset of the next (0 for none)."""
    counter, entry_size = ("Q", 20) if big else ("H", 12)
    (entries,) = struct.unpack_from(order + counter, data, offset)
    start = offset + struct.calcsize(counter)
    if entries > 4096:
        raise PatchError("file's directory makes no sense", hint="Send the file as it was exported.")
    claims: dict[int, int] = {}
    for position in range(start, start + entries * entry_size, entry_size):
        tag, kind = struct.unpack_from(order + "HH", data, position)
        value_at = _value_offset(data, position, order, big, kind)
        if tag in claims:
            raise PatchError("file's directory has a tag twice", hint=_EXPORT_HINT)
        if tag in _CHECKED and kind in _VALUE_FORMATS:
            (claims[tag],) = struct.unpack_from(order + _VALUE_FORMATS[kind], data, value_at)
    (following,) = struct.unpack_from(order + ("Q" if big else "I"), data, start + entries * entry_size)
    return claims, following


def _value_offset(data: bytes, position: int, order: str, big: bool, kind: int) -> int:
    """Where a tag's value is. GDAL leaves out a tag whose value lies beyond the file's end; here that is an error."""
    word, width = ("Q", 8) if big else ("I", 4)
    (count,) = struct.unpack_from(order + word, data, position + 4)
    size, inline = count * _TYPE_SIZES.get(kind, 1), position + 4 + width
    if size <= width:
        return inline
    (offset,) = struct.unpack_from(order + word, data, inline)
    if offset + size > len(data):
        raise PatchError("file is cut off: part of its header lies beyond its end", hint="Send the whole file.")
    return int(offset)


def _judge(claims: dict[int, int], limits: Limits) -> None:
    width, height, bands = (claims.get(tag, 1) for tag in (_WIDTH, _HEIGHT, _BANDS))
    if not width or not height or not bands:
        raise PatchError("image has no pixels", hint=_EXPORT_HINT)
    if bands > limits.max_bands:
        raise TooLargeError(f"file claims {bands} bands, the limit is {limits.max_bands}", hint=_EXPORT_HINT)
    if max(width, height) > limits.max_side:
        raise TooLargeError(
            f"image claims {width}×{height} px, the limit is {limits.max_side} px a side",
            hint="Cut the image into patches first.",
        )
    depth = bands * -(-claims.get(_BITS, 1) // 8)
    rows = min(claims.get(_STRIP_HEIGHT, height), height)
    block = claims.get(_BLOCK_WIDTH, width) * claims.get(_BLOCK_HEIGHT, rows) * depth
    for what, size, limit in (
        ("image", width * height * depth, limits.max_image_bytes),
        ("block", block, limits.max_block_bytes),
    ):
        if size > limit:
            raise TooLargeError(
                f"file claims {size / 2**20:.0f} MiB for one {what}, the limit is {limit / 2**20:.0f} MiB",
                hint="Cut the image into patches, and write it with blocks of 512 px or less.",
            )
