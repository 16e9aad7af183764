"""What a JPEG 2000 or a PNG claims about itself, read from its header alone: the same limits as for a TIFF, before any
decoder is let near it.

Flows in: the bytes of a file of an archive; uploads are TIFFs. Flows out: the name of the GDAL driver that reads it.
Sources: ISO/IEC 15444-1, Annex A.5.1 (marker SIZ) and Annex I (boxes); ISO/IEC 15948, 11.2.2 (chunk IHDR).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pipelines.errors import PatchError, TooLargeError
from pipelines.pixels.tiff_header import Limits

_PNG = b"\x89PNG\r\n\x1a\n"
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
_CODESTREAM = b"\xff\x4f\xff\x51"  # its start, and the marker that must follow
_SIZ = struct.Struct(">HHIIIIIIIIHB")  # length, capabilities, size and offset of the grid and of tiles, bands, bits
_IHDR = struct.Struct(">I4sIIBB")
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by type of colour; 3 is a palette
_MOST_TILES = 1024
_MOST_BOXES = 64
_HINT = "Cut the image into patches first."


class Claims(NamedTuple):
    """Pixels, bands, bits of one number, and tiles."""

    driver: str
    width: int
    height: int
    bands: int
    bits: int
    tiles: int = 1


def picture_driver(data: bytes, limits: Limits) -> str:
    """The GDAL driver of a JPEG 2000 or a PNG whose claims were checked; empty for any other file.

    Raises:
        TooLargeError: it claims more bytes, bands or pixels than `limits`.
        PatchError: its header is cut off or makes no sense, or its numbers stand for colours.
    """
    try:
        if data.startswith(_PNG):
            claims = _png(data)
        elif data.startswith((_JP2, _CODESTREAM)):
            claims = _jpeg2000(data)
        else:
            return ""
    except struct.error:
        raise PatchError("file is cut off in its header", hint="Send the whole file.") from None
    _check(claims, len(data), limits)
    return claims.driver


def _png(data: bytes) -> Claims:
    _, name, width, height, bits, colour = _IHDR.unpack_from(data, len(_PNG))
    if name != b"IHDR" or colour not in (*_CHANNELS, 3):
        raise PatchError("file's header makes no sense", hint="Send the file as it was exported.")
    if colour == 3:
        raise PatchError("pixels are numbers of colours in a palette", hint="Export them as numbers.")
    return Claims("PNG", width, height, _CHANNELS[colour], bits)


def _jpeg2000(data: bytes) -> Claims:
    start = 0 if data.startswith(_CODESTREAM) else _codestream(data)
    if data[start : start + 4] != _CODESTREAM:
        raise PatchError("file's header makes no sense", hint="Send the file as it was exported.")
    _, _, right, low, left, top, tile_width, tile_height, _, _, bands, bits = _SIZ.unpack_from(data, start + 4)
    if right <= left or low <= top or not tile_width or not tile_height:
        raise PatchError("image has no pixels", hint="Send the file as it was exported.")
    tiles = -(-right // tile_width) * -(-low // tile_height)
    return Claims("JP2OpenJPEG", right - left, low - top, bands, (bits & 0x7F) + 1, tiles)


def _codestream(data: bytes) -> int:
    """Where it begins in a file of boxes."""
    at = 0
    for _ in range(_MOST_BOXES):
        length, name = struct.unpack_from(">I4s", data, at)
        header = 8
        if length == 1:
            (length,), header = struct.unpack_from(">Q", data, at + 8), 16
        if name == b"jp2c":
            return at + header
        if length < header:
            break
        at += length
    raise PatchError("file has no image", hint="Send the file as it was exported.")


def _check(claims: Claims, size: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise TooLargeError(f"file has {size / 2**20:.1f} MiB", hint=_HINT)
    if not claims.width or not claims.height or not claims.bands:
        raise PatchError("image has no pixels", hint="Send the file as it was exported.")
    if claims.bands > limits.max_bands:
        raise TooLargeError(f"file claims {claims.bands} bands, the limit is {limits.max_bands}", hint=_HINT)
    if max(claims.width, claims.height) > limits.max_side:
        what = f"image claims {claims.width}×{claims.height} px, the limit is {limits.max_side} px a side"
        raise TooLargeError(what, hint=_HINT)
    if claims.tiles > _MOST_TILES:
        raise TooLargeError(f"file claims more than {_MOST_TILES} tiles", hint=_HINT)
    whole = claims.width * claims.height * claims.bands * -(-claims.bits // 8)
    if whole > limits.max_image_bytes:
        limit = limits.max_image_bytes / 2**20
        raise TooLargeError(f"file claims {whole / 2**20:.0f} MiB, the limit is {limit:.0f} MiB", hint=_HINT)
