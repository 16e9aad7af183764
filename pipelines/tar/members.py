"""A tar archive to its files, as a stream: for archives of millions of members, from anybody.

Flows in: a location or a binary stream; tar, tar.gz or tar.zst, told apart by their first bytes. Flows out: one
`Member` after another in the archive's order, each checked before it is given, or an ArchiveError that names it.

Owners, modes, times and extended attributes are not used, and folders are only what the files' names say.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from pipelines.errors import ArchiveError
from pipelines.location import Location
from pipelines.tar.headers import AGAIN, BLOCK, DISTRUST, FILES, FOLDER, KINDS, NO_TAR, SPARSE, Header, exactly, headers
from pipelines.tar.inflate import Compressed, inflate

_MAX_NAME = 4096
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")
_UNTIDY = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")
_ID_BITS = 0o6000


@dataclass(frozen=True)
class Limits:
    """What an archive may claim. BigEarthNet has 6.6 million files of up to 30 KB, and expands 1.4 times.

    `member`: bytes of one file. `members`: how many. `expansion` and `slack`: as `inflate` takes them.
    """

    member: int = 64 * 2**20
    members: int = 20_000_000
    expansion: float = 100.0
    slack: int = 256 * 2**20


DEFAULT_LIMITS = Limits()


class Member(NamedTuple):
    """One regular file: `name` is relative, with `/` between its parts and no empty, `.` or `..` part."""

    name: str
    data: bytes


def members(source: Location | BinaryIO, limits: Limits = DEFAULT_LIMITS) -> Iterator[Member]:
    """The regular files of an archive, in its order. Memory holds one of them, and at most 24 bytes of each name.

    Args:
        source: where it lies, or a binary stream at the archive's start, which is left open.
        limits: what the archive may claim.

    Raises:
        ArchiveError: no such file, not a tar, cut off, damaged, larger than allowed; or a member that points outside
            (`..`, absolute, also in Windows' way), comes twice, would run as another user, or is neither a file nor a
            folder. Members given before are sound in themselves; an archive that ends like this is not.
    """
    with open_source(source) as opened:
        yield from walk(opened, limits)


@contextmanager
def open_source(source: Location | BinaryIO) -> Iterator[Compressed]:
    """A location or stream as a `Compressed`; what was opened here is closed at the end.

    Raises:
        ArchiveError: it cannot be opened.
    """
    if not isinstance(source, Location):
        yield Compressed(source, "the archive")
        return
    try:
        stream = source.open("rb")
    except OSError as error:
        raise ArchiveError((error.strerror or "cannot be read").lower(), where=str(source), hint=NO_TAR) from None
    with stream:
        yield Compressed(stream, str(source))


def walk(source: Compressed, limits: Limits = DEFAULT_LIMITS) -> Iterator[Member]:
    """What `members` gives, from a source whose position the caller can watch.

    Raises:
        ArchiveError: see `members`.
    """
    tar = inflate(source, expansion=limits.expansion, slack=limits.slack)
    where = source.where
    seen = _Names()
    for header in headers(tar, where):
        name = _checked(header, where, limits)
        if header.kind == FOLDER:
            continue
        if not seen.add(name):
            raise _refused(name, "comes twice", where)
        if len(seen) > limits.members:
            raise ArchiveError(f"more than {limits.members:,} files", where=where, hint=DISTRUST)
        data = exactly(tar, header.size, where)
        exactly(tar, -header.size % BLOCK, where)
        yield Member(name, data)
    if not len(seen):
        raise ArchiveError("no file in it", where=where, hint=AGAIN)


def _checked(header: Header, where: str, limits: Limits) -> str:
    """The member's name, tidied, once everything was looked at that can be wrong with a member."""
    name = _checked_name(header.name, where)
    if header.kind == FOLDER:
        if header.size:
            raise _refused(name, "is a folder with bytes of its own", where)
        return name
    if header.kind not in FILES:
        what = "a sparse file" if header.kind == SPARSE else KINDS.get(header.kind, "of a kind that is not read here")
        raise _refused(name, f"is {what}", where)
    if not name or header.name.endswith(("/", "/.")):
        raise _refused(header.name, "is a file with a folder's name", where)
    if header.mode & _ID_BITS:
        raise _refused(name, "would run as another user (setuid or setgid)", where)
    if header.size > limits.member:
        raise _refused(name, f"has {header.size:,} bytes, more than {limits.member:,}", where)
    return name


def _checked_name(name: str, where: str) -> str:
    if _ABSOLUTE.match(name):
        raise _refused(name, "has an absolute name", where)
    if not name.isprintable() or len(name) > _MAX_NAME or "\\" in name:
        raise _refused(name, "has a name that is not taken here", where)
    if not _UNTIDY.search(name):
        return name
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _refused(name, "points outside with ..", where)
    return "/".join(parts)


def _refused(name: str, why: str, where: str) -> ArchiveError:
    shown = name if name.isprintable() else ascii(name)[1:-1]
    shown = shown if len(shown) <= 200 else f"{shown[:199]}…"
    return ArchiveError(f'member "{shown}" {why}', where=where, hint=DISTRUST)


class _Names:
    """A set of names that keeps 8 bytes of each.

    An open-addressed table of 64-bit hashes, between a third and two thirds full: 7 million names take 128 MiB, where
    a Python set of them takes over 1 GB. Python keys the hash of a string with a secret of the process, so nobody can
    make two names that meet. That two of 7 million do by chance has odds of 1 in 700,000, and refuses a sound archive.
    """

    def __init__(self) -> None:
        self._slots, self._mask, self._count = array("Q", bytes(8 * 1024)), 1023, 0

    def __len__(self) -> int:
        return self._count

    def add(self, name: str) -> bool:
        """Whether the name is new."""
        if 3 * self._count > 2 * self._mask:
            self._grow()
        if not self._put(hash(name) & 0xFFFFFFFFFFFFFFFF or 1):
            return False
        self._count += 1
        return True

    def _put(self, key: int) -> bool:
        slots, mask = self._slots, self._mask
        place = key & mask
        while found := slots[place]:
            if found == key:
                return False
            place = (place + 1) & mask
        slots[place] = key
        return True

    def _grow(self) -> None:
        old = self._slots
        self._mask = 2 * self._mask + 1
        self._slots = array("Q", bytes(8 * (self._mask + 1)))
        for key in old:
            if key:
                self._put(key)
