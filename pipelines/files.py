"""Files appear whole or not at all: write aside, fsync, rename.

Flows in: bytes and a path. Flows out: a complete file under that path, or none, whatever is killed when.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import BusyError


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(aside, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())
    commit(aside, path)


def commit(aside: Path, path: Path) -> None:
    """Move a finished file or folder to its name, and make the move itself durable."""
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sync(path: Path) -> None:
    """Force a file's bytes to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file for the length of a block; the system lets go of it when the process ends.

    Raises:
        BusyError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise BusyError(f"{what} is already running (process {holder})", hint="Wait for it, or end it.") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
