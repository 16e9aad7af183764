"""Files appear whole or not at all: write aside, fsync, rename; on an object store, one put, which is whole by itself.

Flows in: bytes and a location. Flows out: a complete file under that name, or none, whatever is killed when.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from pipelines.errors import BusyError, SettingsError, StorageError
from pipelines.location import Location, locate, unreachable

_BLOCK = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_ATTEMPTS = 100


def write_whole(location: Location, data: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part of it.

    Two processes may write the same file at once: each writes aside under a name of its own, and one of the two
    whole contents stays.

    Raises:
        StorageError: the disk is full; what was there before is still there.
        ServiceError: the object store does not take it.
    """
    content = data.encode() if isinstance(data, str) else data
    if not isinstance(location, Path):
        try:
            location.write_bytes(content)
        except Exception as error:  # each store's client has its own
            raise unreachable(location, error) from None
        return
    aside = location.with_name(f".{location.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        location.parent.mkdir(parents=True, exist_ok=True)
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        commit(aside, location)
    except OSError as error:
        with suppress(OSError):  # the first error says what is wrong
            aside.unlink()
        if error.errno in _NO_ROOM:
            raise full(location, len(content)) from None
        raise


def check_out(out: Location | str) -> None:
    """Refuse a folder that cannot be written to before hours of reading are spent.

    Raises:
        SettingsError: it is a file, or lies where nothing can be created.
    """
    folder = locate(out)
    if not isinstance(folder, Path):
        return
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        raise SettingsError("not a folder", where=str(there), hint="Name another folder for --out.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SettingsError("folder is not writable", where=str(there), hint="Name another folder for --out.")


def asides(location: Location) -> Iterator[Location]:
    """What processes that were killed had set aside while they wrote a file or a folder."""
    yield from location.parent.glob(f".{location.name}.*")


def full(path: Path, wanted: int) -> StorageError:
    """What to raise when `wanted` more bytes do not fit where `path` is."""
    return StorageError(
        f"disk is full: {wanted / 2**20:.1f} MiB more are needed",
        where=str(path),
        hint="Make room and start again; what was finished is kept.",
    )


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


def sha256_of(location: Location) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with location.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def exclusive(path: Location, what: str) -> Iterator[None]:
    """Hold a lock file for the length of a block; the system lets go of it when the process ends.

    An object store has no such locks: there, the block is entered at once, and what is written in it must bear being
    written twice.

    Args:
        path: the lock file; made, with its folder, if it is not there.
        what: what is done under it, as a phrase for the message.

    Raises:
        BusyError: another process holds it.
    """
    if not isinstance(path, Path):
        yield
        return
    with _open_locked(path, what) as file:
        with suppress(OSError):  # on a full disk the holder stays unknown
            os.truncate(file.fileno(), 0)
            os.write(file.fileno(), str(os.getpid()).encode())
        yield


def _open_locked(path: Path, what: str) -> TextIO:
    while True:
        file = _open_in_its_folder(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                file.seek(0)
                holder = file.read().strip() or "unknown"
            raise BusyError(f"{what} is already running (process {holder})", hint="Wait for it, or end it.") from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # the one who held it has removed it meanwhile


def _open_in_its_folder(path: Path) -> TextIO:
    for _ in range(_ATTEMPTS):
        # who held the lock before may remove the folder at any moment: after it was made, or while mkdir looks at it
        with suppress(FileNotFoundError, FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return open(path, "a+")
    path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "a+")
