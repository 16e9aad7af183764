"""A tar to parts as it streams by, so that the 6.6 million files of BigEarthNet never lie on a disk.

Flows in: a `Catalogue` whose root is a tar. Flows out: one `TarPart` after another: a part's task and the bytes of its
files; at the end, which patches of the table never came by and which came by without a row.

Parts are filled in the tar's order, so the same tar gives the same parts, and those that an earlier run committed are
passed over. Memory holds one unfinished part a split.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from pipelines.archives.catalogue import Catalogue
from pipelines.errors import ArchiveError
from pipelines.packing.pack_part import PartTask
from pipelines.tar.members import Member, members

Files = dict[str, bytes]
"""Path as `patch_files` asks for it to content."""

MakeTask = Callable[[str, int, list[int]], PartTask]
"""A split, a part's number in it, and the catalogue's rows that it holds."""


@dataclass(frozen=True)
class TarPart:
    """A part that the tar has filled: what to make of it, and the files of its patches."""

    task: PartTask
    files: Files


@dataclass
class Passed:
    """What came by, filled while the stream is read: rows of the catalogue, and patches that it has no row for."""

    rows: set[int] = field(default_factory=set)
    strays: list[str] = field(default_factory=list)


def tar_parts(
    catalogue: Catalogue, make_task: MakeTask, rows_per_part: int, done: Collection[str], passed: Passed
) -> Iterator[TarPart]:
    """Cut a tar into parts.

    Args:
        catalogue: what the tar's patches are.
        make_task: builds the task of a part.
        rows_per_part: how many patches fill one.
        done: names of parts that are committed and need not be made.
        passed: filled along the way.

    Raises:
        ArchiveError: see `members`; or the files of one patch do not lie together.
    """
    splits = catalogue.rows["split"].tolist()
    pending: dict[str, list[int]] = {}
    files: dict[str, Files] = {}
    numbers: dict[str, int] = {}

    def cut(split: str) -> Iterator[TarPart]:
        number = numbers.get(split, 0)
        numbers[split] = number + 1
        task, held = make_task(split, number, pending.pop(split)), files.pop(split)
        if task.name not in done:
            yield TarPart(task, held)

    for row, patch in _patches(catalogue, passed):
        split = splits[row]
        pending.setdefault(split, []).append(row)
        files.setdefault(split, {}).update(patch)
        if len(pending[split]) == rows_per_part:
            yield from cut(split)
    for split in list(pending):
        yield from cut(split)


def _patches(catalogue: Catalogue, passed: Passed) -> Iterator[tuple[int, Files]]:
    """Each patch of the catalogue as it comes by: its row, and its files."""
    known = {place: row for row, place in enumerate(catalogue.rows["place"])}
    left_out = catalogue.others.union(*catalogue.dropped.values())
    for place, files in _folders(members(catalogue.root), str(catalogue.root)):
        row = known.get(place)
        if row is not None:
            passed.rows.add(row)
            yield row, files
        elif place.rsplit("/", 1)[-1] not in left_out:
            passed.strays.append(place.rsplit("/", 1)[-1])


def _folders(stream: Iterator[Member], where: str) -> Iterator[tuple[str, Files]]:
    """Members that follow each other in one patch's folder; names are cut to `<tile>/<patch>/<file>`."""
    seen: set[str] = set()
    current, files = "", Files()
    for name, data in stream:
        parts = name.split("/")
        if len(parts) < 3:
            continue
        folder = "/".join(parts[-3:-1])
        if folder != current:
            if files:
                yield current, files
            if folder in seen:
                hint = "Unpack it with `landsweep data download --unpack` and ingest the folder."
                raise ArchiveError(f"files of {folder} do not lie together", where=where, hint=hint)
            seen.add(folder)
            current, files = folder, {}
        files[f"{folder}/{parts[-1]}"] = data
    if files:
        yield current, files
