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
from typing import NoReturn, TypeAlias

import fsspec
from upath import UPath

from pipelines.errors import ServiceError, SettingsError, TooLargeError

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
    scheme, colon, path = text.partition("://")
    if not colon or scheme == "file":
        return Path(path or text).resolve()
    try:
        fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        hint = "For s3:// install landsweep[s3]." if scheme == "s3" else f"{error}."
        raise SettingsError(f"{scheme}:// addresses cannot be read here", where=text, hint=hint) from None
    return UPath(text, use_listings_cache=False)  # other processes write there: what was listed once is soon untrue


def reach(location: Location) -> None:
    """See that what lies behind an address answers, whether there is something or nothing.

    The clients of stores say "not there" of files that they cannot ask for, so ask this before you believe them.

    Raises:
        ServiceError: it does not answer, or lets nobody in.
    """
    if isinstance(location, Path):
        return
    try:
        location.fs.info(location.path)
    except FileNotFoundError:
        return
    except Exception as error:  # each store's client has its own
        raise unreachable(location, error) from None


def unreachable(location: Location, error: Exception) -> ServiceError:
    """What to raise for whatever a store's client raised."""
    hint = "Check the address, and the credentials in the environment."
    return ServiceError(f"the object store refuses or does not answer ({error})", where=str(location), hint=hint)


def read_bytes(location: Location) -> bytes:
    """A file's bytes.

    Raises:
        OSError: it cannot be read here.
        ServiceError: the store does not answer.
    """
    try:
        return bytes(location.read_bytes())
    except Exception as error:  # each store's client has its own
        if isinstance(location, Path):
            raise
        raise unreachable(location, error) from None


def is_local(location: Location) -> bool:
    """Whether it is a plain path, with renames and locks and memory maps."""
    return isinstance(location, Path)


def subfolders(location: Location) -> Iterator[str]:
    """Names of the folders in a folder, in no order. Half a million take a second on a disk."""
    if isinstance(location, Path):
        with os.scandir(location) as entries:
            yield from (entry.name for entry in entries if _is_folder(entry))
    else:
        yield from (str(child["name"]).rstrip("/").rsplit("/", 1)[-1] for child in _listing(location, "directory"))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def files_below(location: Location) -> Iterator[str]:
    """Paths, relative to a folder, of all files in it and below. Links to folders are followed, and each folder is seen
    once: under its own path where it has one, so there are no loops."""
    if not isinstance(location, Path):
        prefix = location.path.rstrip("/") + "/"
        yield from (str(path).removeprefix(prefix) for path in location.fs.find(location.path))
        return
    seen: set[str] = set()
    left = [str(location)]
    while left:  # what links lead to comes after all that lies here, which so keeps its own path
        links: list[str] = []
        for start in left:
            for folder, inner, names in os.walk(start, onerror=_refuse):
                real = os.path.realpath(folder)
                if real in seen:
                    inner.clear()
                    continue
                seen.add(real)
                links += (path for name in inner if Path(path := f"{folder}/{name}").is_symlink())
                yield from (Path(folder, name).relative_to(location).as_posix() for name in names)
        left = sorted(links)


def _refuse(error: OSError) -> NoReturn:
    raise error


def fetcher(root: Location) -> Callable[[str], bytes]:
    """A function that reads a file whole by its path below `root`.

    It raises FileNotFoundError where there is none, TooLargeError before reading one of more than 64 MiB, and
    ServiceError where a store does not answer.
    """
    if not isinstance(root, Path):
        return lambda name: _fetch_remote(root, name)
    prefix = f"{root}/"

    def fetch(name: str) -> bytes:
        with open(prefix + name, "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                raise _too_large()
            return file.readall()

    return fetch


def _fetch_remote(root: UPath, name: str) -> bytes:
    """In one request: a store is asked for no more than may be read, in place of how much there is."""
    path = f"{root.path}/{name}"
    try:
        data = bytes(root.fs.cat_file(path, end=MAX_FILE_BYTES + 1))
    except FileNotFoundError:
        raise
    except Exception as error:  # each store's client has its own
        if _is_empty(root, path):  # and there is no such range of nothing
            return b""
        raise unreachable(root / name, error) from None
    if len(data) > MAX_FILE_BYTES:
        raise _too_large()
    return data


def _is_empty(root: UPath, path: str) -> bool:
    try:
        return bool(root.fs.size(path) == 0)
    except Exception:  # as above
        return False


def _too_large() -> TooLargeError:
    return TooLargeError(f"file has more than {MAX_FILE_BYTES // 2**20} MiB")


def remove_tree(location: Location) -> None:
    """Remove a folder and what is in it, as far as it is still there."""
    if isinstance(location, Path):
        shutil.rmtree(location, onerror=_unless_gone)
    elif location.is_dir():
        location.fs.rm(location.path, recursive=True)


def _unless_gone(_act: object, _path: str, found: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(found[1], FileNotFoundError):
        raise found[1]


def _listing(location: UPath, kind: str) -> Iterator[dict[str, object]]:
    return (entry for entry in location.fs.ls(location.path, detail=True) if entry["type"] == kind)
