"""A compressed file to its bytes, as a stream: strict where the usual readers are lenient, and never large in memory.

Flows in: a file or stream of which nothing is known yet. Flows out: the bytes it holds (zstd and gzip are told by their
first bytes, anything else passes as it is), or an ArchiveError at the first thing that is wrong.

zstandard's own stream reader takes a frame that is cut off for one that ends there. So frames are walked here, block by
block (RFC 8878, section 3.1.1): the end is known, the window and the stated size are seen before anything is allocated,
and no step yields more than one block of 128 KiB, whatever the file claims.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import zstandard

from pipelines.errors import ArchiveError

MAX_WINDOW = 2**27
"""Largest zstd window in bytes, which is what `zstd -d` takes without `--memory`."""

_ZSTD, _GZIP = 0xFD2FB528, b"\x1f\x8b"
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_CHUNK = 2**18
_AGAIN = "Fetch the file again."


class Compressed:
    """A binary stream that counts what was taken from it. `where` names it in messages."""

    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._stream, self.where = stream, where
        self.taken = 0
        """Compressed bytes read so far."""
        self._first = b""

    def peek(self, size: int) -> bytes:
        """The first bytes, which `read` will give again; to be called before it."""
        self._first = self.exactly(size, short=True)
        self.taken = 0
        return self._first

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        if self._first:
            data, self._first = self._first[:size], self._first[size:]
        else:
            data = self._stream.read(size)
        self.taken += len(data)
        return data

    def exactly(self, size: int, *, short: bool = False) -> bytes:
        """So many bytes; fewer at the end only if `short`.

        Raises:
            ArchiveError: the end comes before.
        """
        data = self.read(size)
        while len(data) < size and (more := self.read(size - len(data))):
            data += more
        if len(data) < size and not short:
            raise self.cut_off()
        return data

    def cut_off(self) -> ArchiveError:
        """What to raise where the bytes end too early."""
        return ArchiveError(f"file is cut off after {self.taken:,} bytes", where=self.where, hint=_AGAIN)

    def damaged(self) -> ArchiveError:
        """What to raise where the bytes are not those of a compressed file."""
        return ArchiveError(
            f"compressed data is damaged near byte {self.taken:,}",
            where=self.where,
            hint=_AGAIN,
        )


def inflate(source: Compressed, *, expansion: float, slack: int) -> io.BufferedReader:
    """What the file holds, decompressed as it is read.

    Args:
        source: the compressed bytes, from their start.
        expansion: the result may be this many times as large as what was taken from the source, at every moment,
        slack: and this many bytes more.

    Raises:
        ArchiveError: while reading: cut off, damaged, followed by something else, larger than the frame states or
            than `expansion` allows, or compressed with a window over `MAX_WINDOW` or with a dictionary.
    """
    first = source.peek(4)
    if len(first) == 4 and (_magic(first) == _ZSTD or _magic(first) in _SKIPPABLE):
        chunks = _zstd(source)
    elif first.startswith(_GZIP):
        chunks = _gzip(source)
    else:
        chunks = iter(lambda: source.read(_CHUNK), b"")
    # BufferedReader asks for no more than RawIOBase has.
    return io.BufferedReader(_Chunks(_bounded(chunks, source, expansion, slack)), 2**20)


class _Chunks(io.RawIOBase):
    """Chunks of any size as a raw stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader passes
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _bounded(chunks: Iterator[bytes], source: Compressed, expansion: float, slack: int) -> Iterator[bytes]:
    given = 0
    for chunk in chunks:
        given += len(chunk)
        if given > expansion * source.taken + slack:
            raise ArchiveError(
                f"{source.taken:,} bytes expand to over {given:,}, more than {expansion:g} times as many",
                where=source.where,
                hint="Such a file is made to fill a disk. Do not unpack it.",
            )
        yield chunk


def _gzip(source: Compressed) -> Iterator[bytes]:
    """Members one after another, then nothing but zeros, as on a tape."""
    data = source.read(_CHUNK)
    while data:
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            data = data or source.read(_CHUNK)
            try:
                chunk = member.decompress(data, _CHUNK)
            except zlib.error:
                raise source.damaged() from None
            if not (data or chunk or member.eof):
                raise source.cut_off()
            data = member.unconsumed_tail
            if chunk:
                yield chunk
        data = member.unused_data.lstrip(b"\0")
        while not data and (data := source.read(_CHUNK)):
            data = data.lstrip(b"\0")


def _zstd(source: Compressed) -> Iterator[bytes]:
    """Frames one after another, skippable ones skipped."""
    engine = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    while first := source.exactly(4, short=True):
        if len(first) < 4:
            raise source.cut_off()
        if _magic(first) in _SKIPPABLE:
            left = _magic(source.exactly(4))
            while left:
                left -= len(source.exactly(min(left, _CHUNK)))
        elif _magic(first) == _ZSTD:
            yield from _frame(source, engine, first)
        else:
            raise source.damaged()


def _frame(source: Compressed, engine: zstandard.ZstdDecompressor, magic: bytes) -> Iterator[bytes]:
    head, has_checksum = _frame_header(source)
    frame = engine.decompressobj()
    feed = cast("Callable[[bytes], bytes]", frame.decompress)
    last = False
    try:
        feed(magic + head)
        while not last:
            block = source.exactly(3)
            claim = int.from_bytes(block, "little")
            last, kind, size = bool(claim & 1), claim >> 1 & 3, claim >> 3
            body = source.exactly(1 if kind == 1 else size)  # kind 1 is one byte, repeated `size` times
            tail = source.exactly(4) if last and has_checksum else b""
            yield feed(block + body + tail)
    except zstandard.ZstdError:
        raise source.damaged() from None
    if not frame.eof:
        raise source.damaged()


def _frame_header(source: Compressed) -> tuple[bytes, bool]:
    """The frame's header after its magic number, and whether a checksum follows its last block."""
    head = source.exactly(1)
    size_flag, single, checksum, dictionary = head[0] >> 6, head[0] >> 5 & 1, head[0] >> 2 & 1, head[0] & 3
    window = 0
    if not single:
        head += source.exactly(1)
        base = 1 << 10 + (head[1] >> 3)
        window = base + base // 8 * (head[1] & 7)
    named = source.exactly((0, 1, 2, 4)[dictionary])
    stated = source.exactly((single, 2, 4, 8)[size_flag])
    if single:
        window = int.from_bytes(stated, "little")
    if window > MAX_WINDOW:
        raise ArchiveError(
            f"zstd window of {window / 2**20:,.0f} MiB, over the {MAX_WINDOW // 2**20} MiB that are taken here",
            where=source.where,
            hint="Compress it again without --long.",
        )
    if any(named):
        raise ArchiveError("compressed with a dictionary", where=source.where, hint="Compress it again without one.")
    return head + named + stated, bool(checksum)


def _magic(data: bytes) -> int:
    value: int = struct.unpack("<I", data)[0]
    return value
