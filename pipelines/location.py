"""Where archives and datasets are: a path here, or a URL that fsspec knows (`s3://bucket/shards`), with one face.

Flows in: text as a user writes it. Flows out: a `Location`: `pathlib.Path` for this machine, universal-pathlib's
`UPath` for the rest, which has the same methods. Credentials come from the environment of the store's own client,
never from the URL.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import fsspec
from upath import UPath

from pipelines.errors import SettingsError, TooLargeError

MAX_FILE_BYTES = 64 * 2**20
"""No file of a patch is larger; one that is, is not read into memory."""

Location: TypeAlias = Path | UPath


def locate(address: str | Location) -> Location:
    """The location of a path or URL; paths become absolute, so that workers in other folders find them.

    Raises:
        SettingsError: no installed package knows URLs of this kind.
    """
    if isinstance(address, UPath):
        return address
    text = str(address)
    if "://" not in text:
        return Path(text).resolve()
    scheme = text.split("://")[0]
    try:
        fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        hint = "For s3:// install landsweep[s3]." if scheme == "s3" else f"{error}."
        raise SettingsError(f"{scheme}:// addresses cannot be read here", where=text, hint=hint) from None
    return UPath(text)


def is_local(location: Location) -> bool:
    """Whether it is a plain path, with renames and locks and memory maps."""
    return isinstance(location, Path)


def subfolders(location: Location) -> Iterator[str]:
    """Names of the folders in a folder, in no order. Half a million take a second on a disk."""
    if isinstance(location, Path):
        with os.scandir(location) as entries:
            yield from (entry.name for entry in entries if entry.is_dir())
    else:
        yield from (str(child["name"]).rstrip("/").rsplit("/", 1)[-1] for child in _listing(location, "directory"))


def files_below(location: Location) -> Iterator[str]:
    """Paths, relative to a folder, of all files in it and below. Links to folders are not followed: no loops."""
    if isinstance(location, Path):
        for folder, _, names in os.walk(location):
            yield from (Path(folder, name).relative_to(location).as_posix() for name in names)
    else:
        prefix = location.path.rstrip("/") + "/"
        yield from (str(path).removeprefix(prefix) for path in location.fs.find(location.path))


def fetcher(root: Location) -> Callable[[str], bytes]:
    """A function that reads a file whole by its path below `root`.

    It raises FileNotFoundError where there is none, and TooLargeError before reading one of more than 64 MiB.
    """
    if not isinstance(root, Path):
        return lambda name: root.joinpath(name).read_bytes()
    prefix = f"{root}/"

    def fetch(name: str) -> bytes:
        with open(prefix + name, "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                raise TooLargeError(f"file has more than {MAX_FILE_BYTES // 2**20} MiB")
            return file.readall()

    return fetch


def remove_tree(location: Location) -> None:
    """Remove a folder and what is in it."""
    if isinstance(location, Path):
        shutil.rmtree(location)
    else:
        location.fs.rm(location.path, recursive=True)


def _listing(location: UPath, kind: str) -> Iterator[dict[str, object]]:
    return (entry for entry in location.fs.ls(location.path, detail=True) if entry["type"] == kind)
