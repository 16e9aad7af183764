"""The headers of a tar archive, one after another, to what they say of their members.

Flows in: a decompressed tar (POSIX pax and ustar, GNU, and the old V7 form) at its start. Flows out: a `Header` a
member, with the long names and sizes of extended headers applied; or an ArchiveError where the archive is not whole.

The standard library's reader takes a damaged header, and the end of a file that was cut off between two members, for
the end of the archive. Here only two blocks of zeros are, and nothing but zeros may follow. Formats: POSIX.1-2017,
pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar 1.35, "Basic Tar Format".
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import NamedTuple

from pipelines.errors import ArchiveError

BLOCK = 512
NO_TAR = "Give a .tar, .tar.gz or .tar.zst file."
AGAIN = "Fetch the archive again."
DISTRUST = "Do not unpack it with other tools before you know where it comes from."

FILES, FOLDER, SPARSE = (b"0", b"\0", b"7"), b"5", b"S"
KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
"""What is no file; `SPARSE` stands for sparse files of every format."""

_LONG_NAME, _LONG_LINK, _LOCAL, _GLOBAL = b"L", b"K", (b"x", b"X"), b"g"
_ZEROS = bytes(BLOCK)
_MAX_RECORDS = 2**20  # bytes of one extended header
_FORGED = ("path", "size", "linkpath", "GNU.sparse.")


class Header(NamedTuple):
    """`name` as stored, what is not UTF-8 as lone surrogates; `size` in bytes, never negative; `kind` is one byte."""

    name: str
    mode: int
    size: int
    kind: bytes


def headers(tar: io.BufferedReader, where: str) -> Iterator[Header]:
    """Headers of members; between two of them the caller reads `size` bytes and the padding with `exactly`.

    Raises:
        ArchiveError: not a tar, cut off, damaged, or followed by something.
    """
    changes: dict[str, str] = {}
    first = True
    while (block := exactly(tar, BLOCK, where)) != _ZEROS:
        header = _parse(block, first, where)
        first = False
        if header.kind == _LONG_NAME:
            changes["path"] = _text(_payload(tar, header, where).rstrip(b"\0"))
        elif header.kind == _LONG_LINK:
            _payload(tar, header, where)  # of a link, which is what comes next
        elif header.kind in _LOCAL:
            changes |= _records(_payload(tar, header, where), where)
        elif header.kind == _GLOBAL:
            if any(key.startswith(_FORGED) for key in _records(_payload(tar, header, where), where)):
                raise ArchiveError("a global header renames members", where=where, hint=DISTRUST)
        else:
            yield _apply(changes, header, where) if changes else header
            changes = {}
    if changes:
        raise ArchiveError("an extended header has no member", where=where, hint=AGAIN)
    _check_end(tar, where)


def exactly(tar: io.BufferedReader, size: int, where: str) -> bytes:
    """So many bytes of the archive.

    Raises:
        ArchiveError: it ends before.
    """
    data = tar.read(size)
    if len(data) < size:
        raise ArchiveError("the archive is cut off before its end", where=where, hint=AGAIN)
    return data


def _parse(block: bytes, first: bool, where: str) -> Header:
    try:
        if sum(block) - sum(block[148:156]) + 8 * 32 != _number(block[148:156]):  # summed with 8 spaces in its place
            raise ValueError
        mode, size = _number(block[100:108]), _number(block[124:136])
    except ValueError:
        if first:
            raise ArchiveError("not a tar archive", where=where, hint=NO_TAR) from None
        raise ArchiveError("a member's header is damaged", where=where, hint=AGAIN) from None
    name, kind = block[:100].split(b"\0", 1)[0], block[156:157]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].split(b"\0", 1)[0] + b"/" + name
    if kind == b"\0" and name.endswith(b"/"):
        kind = FOLDER
    return Header(_text(name), mode, size, kind)


def _number(field: bytes) -> int:
    """Octal digits, or, with the first bit set, a binary number."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if digits and not digits.isdigit():  # int() takes signs, and underscores between digits
        raise ValueError
    return int(digits or b"0", 8)


def _payload(tar: io.BufferedReader, header: Header, where: str) -> bytes:
    if header.size > _MAX_RECORDS:
        raise ArchiveError(f"an extended header of {header.size:,} bytes", where=where, hint=DISTRUST)
    data = exactly(tar, header.size, where)
    exactly(tar, -header.size % BLOCK, where)
    return data


def _records(data: bytes, where: str) -> dict[str, str]:
    """Records of an extended header: a length in decimal, a space, key=value, and a newline."""
    records: dict[str, str] = {}
    while data:
        digits, _, _ = data[:21].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = data[len(digits) + 1 : max(length - 1, 0)].partition(b"=")
        if not (key and equals and length <= len(data) and data[length - 1 : length] == b"\n"):
            raise ArchiveError("an extended header is damaged", where=where, hint=AGAIN)
        records[_text(key)] = _text(value)
        data = data[length:]
    return records


def _apply(changes: dict[str, str], header: Header, where: str) -> Header:
    size = changes.get("size", "")
    if size and not (size.isascii() and size.isdigit() and len(size) < 20):
        raise ArchiveError("an extended header has a size that is no number", where=where, hint=AGAIN)
    sparse = any(key.startswith("GNU.sparse.") for key in changes)
    return Header(
        changes.get("path", header.name),
        header.mode,
        int(size) if size else header.size,
        SPARSE if sparse else header.kind,
    )


def _check_end(tar: io.BufferedReader, where: str) -> None:
    """After the first block of zeros: at least one more, and then nothing but zeros."""
    if exactly(tar, BLOCK, where) != _ZEROS:
        raise ArchiveError("a member's header is wiped out", where=where, hint=AGAIN)
    size = 0
    while rest := tar.read(2**16):
        size += len(rest)
        if rest.strip(b"\0"):
            raise ArchiveError("something follows the end of the archive", where=where, hint=AGAIN)
    if size % BLOCK:
        raise ArchiveError("the archive is cut off behind its last member", where=where, hint=AGAIN)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
