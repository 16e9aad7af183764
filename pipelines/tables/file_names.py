"""Which file on the disk a table means: names as Unicode means them, and where nothing else fits by their last parts
and without case.

Flows in: paths as a table writes them, and those that are there. Flows out: the one of each, and what is to be told.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from pipelines.errors import ArchiveError
from pipelines.tables.csv_cells import TABLE

ENDINGS = (".tif", ".tiff")
PICTURES = (".jp2", ".j2k", ".png")
"""Taken where a folder has no TIFF: beside TIFFs they are previews."""

OTHER_KINDS = (".jp2", ".j2k", ".png", ".jpg", ".jpeg", ".img", ".vrt", ".nc", ".hdf", ".h5", ".npy", ".zip")
"""Endings under which people keep images too; a table may have names from before they were converted."""

_DRIVE = re.compile(r"[A-Za-z]:/")
_MOST_COMPARED = 2_000  # names among which the nearest is looked for: each takes some 20 µs


def stem_of(file: str) -> str:
    """A file's path below the folder without its ending, however the table writes it.

    Raises:
        ArchiveError: it leads out of the folder.
    """
    path = unicodedata.normalize("NFC", file.replace("\\", "/").removeprefix("./").rstrip("/"))
    if ".." in path.split("/"):
        raise _outside(file)
    return path.rsplit(".", 1)[0] if path.lower().endswith(ENDINGS + OTHER_KINDS) else path


def match_names(wanted: Sequence[str], there: Iterable[str]) -> tuple[list[str | None], list[str]]:
    """The name on the disk that each wanted one means, None where there is none or several are as near.

    A name that is there is itself. Then, among those that nobody called by their full name, the same in another case;
    then one whose last parts are those of the other: `a.tif` for `Forest/a.tif`, `D:/set/Forest/a.tif` likewise. What
    two wanted names lead to is neither's.

    Args:
        wanted: from `stem_of`, each once.
        there: paths without endings.

    Returns:
        One for each wanted name, and what is to be told.

    Raises:
        ArchiveError: an absolute path is nowhere in the folder.
    """
    left = {unicodedata.normalize("NFC", name): name for name in there}
    found: dict[str, str] = {}
    notes = []
    for alike, how in _WAYS:
        pairs = alike([name for name in wanted if name not in found], left)
        taken = Counter(pairs.values())
        pairs = {name: other for name, other in pairs.items() if taken[other] == 1}
        for name, other in pairs.items():
            found[name] = left.pop(other)
        if how and pairs:
            name = next(iter(pairs))
            notes.append(f"{len(pairs)} files were found {how}: {name} is {found[name]}")
    for name in wanted:
        if name not in found and (name.startswith("/") or _DRIVE.match(name)):
            raise _outside(f"{name}.tif")
    return [found.get(name) for name in wanted], notes


def nearest_name(wanted: str, there: Sequence[str]) -> str:
    """The name there that is most like a wanted one; "" where none is like it."""
    last = wanted.rpartition("/")[2].casefold()
    same = [name for name in there if name.rpartition("/")[2].casefold() == last]
    among = same or list(there[:: -(-len(there) // _MOST_COMPARED) or 1])
    return next(iter(difflib.get_close_matches(wanted, among, n=1, cutoff=0.3)), same[0] if same else "")


def _outside(file: str) -> ArchiveError:
    return ArchiveError(f"{file} is not in the folder", where=TABLE, hint="Name files by their path below it.")


def _exactly(wanted: Sequence[str], left: Mapping[str, str]) -> dict[str, str]:
    return {name: name for name in wanted if name in left}


def _without_case(wanted: Sequence[str], left: Mapping[str, str]) -> dict[str, str]:
    return _by_key(wanted, left, str.casefold, lambda *_: True)


def _by_last_parts(wanted: Sequence[str], left: Mapping[str, str]) -> dict[str, str]:
    return _by_key(wanted, left, lambda name: name.casefold().rpartition("/")[2], _one_ends_with_the_other)


def _by_key(
    wanted: Sequence[str], left: Mapping[str, str], key: Callable[[str], str], fits: Callable[[str, str], bool]
) -> dict[str, str]:
    """Each wanted name to the only one with its key that fits."""
    if not wanted:
        return {}
    by_key: dict[str, list[str]] = {}
    for name in left:
        by_key.setdefault(key(name), []).append(name)
    fitting = {name: [other for other in by_key.get(key(name), ()) if fits(name, other)] for name in wanted}
    return {name: others[0] for name, others in fitting.items() if len(others) == 1}


def _one_ends_with_the_other(one: str, other: str) -> bool:
    short, long = sorted((one.casefold().split("/"), other.casefold().split("/")), key=len)
    return long[-len(short) :] == short


_WAYS = (
    (_exactly, ""),
    (_without_case, "without regard to case"),
    (_by_last_parts, "by the last parts of their names"),
)
