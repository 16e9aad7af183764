"""A file that is being fetched: `NAME.part`, and `NAME.part.json` beside it, which says whose bytes they are.

Flows in: chunks in order, hashed as they are written. Flows out: the file under its name, once its caller found the
checksum right; until then, what can be gone on with after any interruption.

The note beside the part is written before the first byte, and a part is emptied before its note changes: so there is
never a byte of one file beside the note of another.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter, ValidationError

from pipelines.files import commit, full, write_whole

_BLOCK = 2**20


@dataclass(frozen=True)
class Stamp:
    """What a server said of the file: by this a later answer is known to be of the same one.

    `url` is without what may be secret in it; `size` is None and `etag` and `modified` are empty if it did not say.
    """

    url: str
    size: int | None = None
    etag: str = ""
    modified: str = ""

    @property
    def validator(self) -> str:
        """What to send as If-Range; empty if there is nothing that may be. A weak ETag may not."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def agrees(self, other: Stamp) -> bool:
        """Whether nothing speaks against both being of one file."""
        pairs = ((self.size, other.size), (self.etag, other.etag), (self.modified, other.modified))
        return self.url == other.url and all(mine == its or not mine or not its for mine, its in pairs)


_STAMPS = TypeAdapter(Stamp)


class Part:
    """The unfinished file of `path`; use as a context manager. `size` bytes of it are there, as `stamp` describes it.

    `algorithm` is what to hash with: md5 or sha256.
    """

    def __init__(self, path: Path, algorithm: str) -> None:
        self.path = path
        self.stamp: Stamp | None = None
        self.size = 0
        self._note = path.with_name(f"{path.name}.part.json")
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self._partial = path.with_name(f"{path.name}.part")
        self._file = open(self._partial, "a+b", buffering=0)  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self.size:
            self._partial.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def load(self, url: str, progress: Callable[[int, int | None], None]) -> None:
        """Take up what an earlier run left of this URL's file, hashing it; what it left of another, throw away."""
        stamp = self._read_note()
        if stamp is None or stamp.url != url:
            self.discard()
            return
        self.stamp = stamp
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            self._hash.update(block)
            self.size += len(block)
            progress(self.size, stamp.size)

    def _read_note(self) -> Stamp | None:
        try:
            return _STAMPS.validate_json(self._note.read_bytes())
        except (OSError, ValidationError):
            return None

    def begin(self, stamp: Stamp) -> None:
        """Start from nothing with the file that `stamp` describes.

        Raises:
            StorageError: the disk is full.
        """
        self.discard()
        write_whole(self._note, _STAMPS.dump_json(stamp))
        self.stamp = stamp

    def discard(self) -> None:
        """Throw away what is there."""
        self._file.truncate(0)
        self._hash = hashlib.new(self._algorithm, usedforsecurity=False)
        self.size, self.stamp = 0, None

    def make_room(self, total: int | None) -> None:
        """See that the rest of `total` bytes fits on the disk.

        Raises:
            StorageError: it does not.
        """
        missing = (total or 0) - self.size
        if missing > shutil.disk_usage(self.path.parent).free:
            raise full(self.path, missing)

    def append(self, chunk: bytes) -> None:
        """Write what comes next.

        Raises:
            StorageError: the disk is full; what is there stays.
        """
        left = memoryview(chunk)
        while left:
            try:
                written = self._file.write(left)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                total = self.stamp.size if self.stamp else None
                raise full(self.path, total - self.size if total else len(left)) from None
            self._hash.update(left[:written])
            self.size += written
            left = left[written:]

    @property
    def checksum(self) -> str:
        """Of what is there: `md5:…` or `sha256:…`."""
        return f"{self._algorithm}:{self._hash.hexdigest()}"

    def finish(self) -> None:
        """Give the file its name."""
        os.fsync(self._file.fileno())
        commit(self._partial, self.path)
        self._note.unlink(missing_ok=True)
