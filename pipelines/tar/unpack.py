"""A tar archive to files on disk: all under their names, or none; interrupted, it goes on where it was.

Flows in: an archive's path and a folder. Flows out: the archive's files below the folder. They are written aside, in
`.unpacking-…` within the folder, and moved when the archive was read to its end and found whole; so what an
interrupted run leaves is never taken for the archive. What is there already is compared, and not written again.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from pipelines.errors import ArchiveError, InputError, StorageError
from pipelines.files import commit
from pipelines.tar.members import DEFAULT_LIMITS, Limits, Member, open_source, walk

Progress = Callable[[int, int], None]
"""Called with bytes of the archive read, and its size."""

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

_ASIDE = ".unpacking-"
_EVERY = 256  # members between two calls of progress
_IN_THE_WAY = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)
_MOVE_IT = "Move it away, or choose another folder."


def unpack(archive: Path, target: Path, progress: Progress | None = None, *, limits: Limits = DEFAULT_LIMITS) -> int:
    """Write an archive's files below a folder. Whoever calls this sees to it that no other process does meanwhile.

    Args:
        archive: tar, tar.gz or tar.zst.
        target: made if it is not there; files in it that are not the archive's stay.
        progress: told how much of the archive was read.
        limits: as `members` takes them.

    Returns:
        How many files the archive holds, written now or found there.

    Raises:
        ArchiveError: as `members` raises them, or a file's name is a folder's too. Nothing of the archive is kept.
        InputError: the folder holds something else where a file belongs. What was written stays aside.
        StorageError: the disk is full. What was written stays aside.
    """
    aside = _make_aside(archive, target)
    try:
        count = _write(archive, target, aside, progress, limits)
        os.sync()
        _move(aside, target)
    except ArchiveError:
        shutil.rmtree(aside)
        raise
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise StorageError(
            f"the disk is full before all of {archive.name} is unpacked",
            where=str(target),
            hint="Make room and run the same again: what is unpacked is kept.",
        ) from None
    return count


def _make_aside(archive: Path, target: Path) -> Path:
    """The folder to write to; what was written of another state of the archive is removed."""
    try:
        state = archive.stat()
    except OSError as error:
        raise ArchiveError((error.strerror or "cannot be read").lower(), where=str(archive)) from None
    prefix = f"{_ASIDE}{archive.name}-"
    aside = target / f"{prefix}{state.st_size:x}-{state.st_mtime_ns:x}"
    aside.mkdir(parents=True, exist_ok=True)
    for path in target.iterdir():
        if path.name.startswith(prefix) and path != aside:
            shutil.rmtree(path)
    return aside


def _write(archive: Path, target: Path, aside: Path, progress: Progress | None, limits: Limits) -> int:
    count, made = 0, ""
    with open_source(archive) as source:
        size = archive.stat().st_size
        for member in walk(source, limits):
            if member.name.startswith(_ASIDE):
                raise ArchiveError(f'member "{member.name}" has a name that is needed here', where=str(archive))
            if not (_is_in(target, member) or _holds(aside / member.name, member.data)):
                made = _write_aside(aside, member, made, archive)
            count += 1
            if progress and count % _EVERY == 0:
                progress(source.taken, size)
        if progress:
            progress(size, size)
    return count


def _is_in(target: Path, member: Member) -> bool:
    """Whether the target has the file; not, if there is nothing."""
    path = target / member.name
    if not os.path.lexists(path):
        return False
    if not stat.S_ISREG(path.lstat().st_mode) or not _holds(path, member.data):
        raise InputError("is there already, and is not what the archive holds", where=str(path), hint=_MOVE_IT)
    return True


def _holds(path: Path, data: bytes) -> bool:
    # lexists() is False for names that no file can have, too.
    return os.path.lexists(path) and path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def _write_aside(aside: Path, member: Member, made: str, archive: Path) -> str:
    """Write one file. `made` is the folder that was made last, and so is what is returned."""
    folder = member.name.rpartition("/")[0]
    try:
        if folder != made:
            (aside / folder).mkdir(parents=True, exist_ok=True)
        with open(aside / member.name, "wb", buffering=0) as file:
            left = memoryview(member.data)
            while left:
                left = left[file.write(left) :]
    except OSError as error:
        if error.errno not in _IN_THE_WAY:
            raise
        long = error.errno == errno.ENAMETOOLONG
        what = "has too long a name" if long else "has a folder's name, or lies in a file"
        raise ArchiveError(f'member "{member.name[:200]}" {what}', where=str(archive)) from None
    return folder


def _move(aside: Path, target: Path) -> None:
    """Move what was written to where it belongs: whole folders where there are none yet, else what they hold."""
    for path in sorted(aside.iterdir()):
        place = target / path.name
        if not os.path.lexists(place):
            commit(path, place)
        elif place.is_dir() and path.is_dir() and not place.is_symlink():
            _move(path, place)
        else:
            raise InputError("is in the archive's way", where=str(place), hint=_MOVE_IT)
    aside.rmdir()
