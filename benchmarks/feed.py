"""From files to batches for the net: shards against the ways that others read, in one run over the same patches.

    python -m benchmarks.feed ARCHIVE SHARDS

ARCHIVE is BigEarthNet v2's layout (`benchmarks.archive` makes one of real patches), SHARDS what `landsweep data ingest`
made of it. Every contender gives the training split in random order as float32 batches of 64 at 120 px with labels;
that their pixels add up to the same in every band is checked first. Not timed: imports, the start of DataLoader
workers (two, which wait until the clock runs), making the LMDB, and, for "ours, in memory", reading into memory, which
a search does once for all of its trials; cold, that is timed too. torch has one thread, as in a trial of one CPU: what
runs at once are workers, and in ours the threads that read and the one that makes batches.

"bytes alone" reads what ours reads, by `pread`, and does nothing with it: the limit. "LMDB by hand" is what remains if
one gives up on the DataLoader: a loop that writes each band from the map to its place in the batch.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import torch
import typer
from rich.table import Table
from torch import Tensor

from benchmarks.peers import BATCH, Batch, Records, Tiffs, loading, looping, torchgeo_dataset, write_records
from benchmarks.rounds import CELLS, Contender, Go, Rates, Rounds, Save, machine, run_rounds, show
from pipelines.archives.detect import read_archive
from pipelines.bands import ALL_BANDS, PATCH_SIZE, SENTINEL2, parse_bands
from pipelines.dataset.manifest import Manifest, open_dataset
from pipelines.feeding.batches import Batches
from pipelines.feeding.rows import read_split
from pipelines.feeding.streamed import open_stream
from pipelines.settings import IngestSettings

SPLIT = "train"
BYTES, STREAM, MEMORY, TIFFS = "bytes alone", "ours, streamed", "ours, in memory", "TIFFs, DataLoader, 2 workers"
LMDB, BY_HAND = ("LMDB, DataLoader, 1 process", "LMDB, DataLoader, 2 workers"), "LMDB by hand"


Results = dict[tuple[str, bool], Rates]
"""By band set, and whether cold."""


class Reader(NamedTuple):
    """A contender, the bytes that it reads in all, and the bands that must come out as they are in the files."""

    name: str
    ready: Callable[[], AbstractContextManager[Callable[[], Iterator[Batch]]]]
    files: Sequence[Path]
    bytes: int
    exact: Sequence[str]

    @contextmanager
    def counting(self) -> Iterator[Go]:
        with self.ready() as batches:
            yield lambda: sum(len(images) for images, _ in batches())


class Course(NamedTuple):
    """What all contenders run over: the training split of one archive."""

    archive: Path
    shards: Path
    manifest: Manifest
    folders: list[Path]
    labels: Tensor
    records: Path
    root: Path


class Chunk(NamedTuple):
    path: Path
    start: int
    size: int


def chunks(course: Course, bands: Sequence[str]) -> list[Chunk]:
    """The column chunks that a pass over the split reads."""
    found = []
    for file in (course.shards / part.file for part in course.manifest.parts(SPLIT)):
        metadata = pq.read_metadata(file)
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        for column in (group.column(number) for group in groups for number in range(group.num_columns)):
            if column.path_in_schema.split(".")[0] in (*bands, "labels"):
                start = column.dictionary_page_offset or column.data_page_offset
                found.append(Chunk(file, start, column.total_compressed_size))
    return found


@contextmanager
def bytes_alone(found: Sequence[Chunk], patches: int) -> Iterator[Go]:
    files = {path: os.open(path, os.O_RDONLY) for path in {chunk.path for chunk in found}}
    buffer = memoryview(bytearray(max(chunk.size for chunk in found)))

    def go() -> int:
        for path, start, size in found:
            os.preadv(files[path], [buffer[:size]], start)
        return patches

    yield go
    for descriptor in files.values():
        os.close(descriptor)


@contextmanager
def streamed(course: Course, bands: tuple[str, ...]) -> Iterator[Callable[[], Iterator[Batch]]]:
    rows = open_stream(course.shards, SPLIT, bands, course.manifest)
    yield lambda: iter(Batches(rows, BATCH, PATCH_SIZE, shuffle_seed=0))


@contextmanager
def in_memory(course: Course, bands: tuple[str, ...], cold: bool) -> Iterator[Callable[[], Iterator[Batch]]]:
    held = None if cold else read_split(course.shards, SPLIT, bands)
    yield lambda: iter(Batches(held or read_split(course.shards, SPLIT, bands), BATCH, PATCH_SIZE, shuffle_seed=0))


def readers(course: Course, bands: tuple[str, ...], cold: bool) -> list[Reader]:
    """All contenders that make batches."""
    tiffs = Tiffs(course.folders, bands, course.labels)
    records = Records(course.records, [folder.name for folder in course.folders], bands, course.labels)
    theirs = torchgeo_dataset(Path(tempfile.mkdtemp(dir=course.root)), course.archive, bands)
    files, every = _files(course, bands), _files(course, ALL_BANDS)
    size, every_size = (sum(path.stat().st_size for path in paths) for paths in (files, every))
    lmdb, lmdb_size = [course.records / "data.mdb"], len(records) * sum(2 * SENTINEL2[band].size ** 2 for band in bands)
    read = chunks(course, bands)
    parts, parts_size = sorted({chunk.path for chunk in read}), sum(chunk.size for chunk in read)
    fine = [band for band in bands if SENTINEL2[band].gsd == 10]
    found = [
        Reader("rasterio loop", lambda: looping(tiffs), files, size, bands),
        Reader(TIFFS, lambda: loading(tiffs, 2), files, size, bands),
        Reader(LMDB[0], lambda: loading(records, 0), lmdb, lmdb_size, bands),
        Reader(LMDB[1], lambda: loading(records, 2), lmdb, lmdb_size, bands),
        Reader(BY_HAND, lambda: looping(records), lmdb, lmdb_size, bands),
        Reader(STREAM, lambda: streamed(course, bands), parts, parts_size, bands),
        Reader(MEMORY, lambda: in_memory(course, bands, cold), parts, parts_size, bands),
    ]
    if theirs is not None:
        found.insert(2, Reader("torchgeo, DataLoader, 2 workers", lambda: loading(theirs, 2), every, every_size, fine))
    return found


def _files(course: Course, bands: Sequence[str]) -> list[Path]:
    return [folder / f"{folder.name}_{band}.tif" for folder in course.folders for band in bands]


def check(found: Sequence[Reader], bands: Sequence[str]) -> None:
    """All give the same pixels and labels, in sum.

    Raises:
        RuntimeError: one does not.
    """
    expected: dict[str, float] = {}
    for reader in found:
        with reader.ready() as batches:
            sums, labels, rows = torch.zeros(len(bands), dtype=torch.float64), 0.0, 0
            for images, truth in batches():
                sums += images.sum(dim=(0, 2, 3), dtype=torch.float64)
                labels, rows = labels + float(truth.sum()), rows + len(images)
        values = dict(zip(bands, sums.tolist(), strict=True))
        got = {band: values[band] for band in reader.exact} | {"labels": labels, "rows": rows}
        expected = expected or got
        if any(expected[key] != value for key, value in got.items()):
            raise RuntimeError(f"{reader.name} gives other numbers: {got}, not {expected}")


def race(course: Course, rounds: int) -> tuple[Table, Results, dict[str, int]]:
    """Run all: a row a contender, their rates, and the bytes of a pass over the shards by band set."""
    patches = len(course.folders)
    table = Table("bands", "cache", "contender", *CELLS, "KiB/patch", "× TIFFs")
    rates: Results = {}
    sizes: dict[str, int] = {}
    for name in ("all", "rgb"):
        bands = parse_bands(name)
        read = chunks(course, bands)
        sizes[name] = sum(chunk.size for chunk in read)
        limit = Contender(BYTES, partial(bytes_alone, read, patches), sorted({chunk.path for chunk in read}))
        for cold in (False, True):
            entries = readers(course, bands, cold)
            if not cold:
                check(entries, bands)
            runners = [limit, *(Contender(entry.name, entry.counting, entry.files) for entry in entries)]
            here = rates[name, cold] = run_rounds(runners, rounds, cold=cold)
            for who, size in [(BYTES, sizes[name]), *((entry.name, entry.bytes) for entry in entries)]:
                cells = (*here.cells(who), f"{size / patches / 1024:.1f}", f"{here.ratio(who, TIFFS):.1f}")
                table.add_row(name, "cold" if cold else "warm", who, *cells)
            table.add_section()
    return table, rates, sizes


def verdict(rates: Results, sizes: dict[str, int]) -> Table:
    """The ratios that matter, and what they have to be."""
    table = Table("ratio", "streamed, warm", "in memory, warm", "streamed, cold", "in memory, cold", "wanted, warm")

    def row(label: str, name: str, peer: Callable[[Rates], str], wanted: str = "") -> None:
        runs = [(rates[name, cold], own) for cold in (False, True) for own in (STREAM, MEMORY)]
        table.add_row(label, *(f"{here.ratio(own, peer(here)):.2f}" for here, own in runs), wanted)

    def lmdb(here: Rates) -> str:
        return max(LMDB, key=here.median)

    row("all bands / TIFFs by DataLoader", "all", lambda _: TIFFS, "≥ 20")
    row("all bands / LMDB by DataLoader, best", "all", lmdb, "≥ 1.5")
    row("all bands / LMDB by hand", "all", lambda _: BY_HAND)
    row("RGB / LMDB's RGB by DataLoader, best", "rgb", lmdb, "≥ 1")
    row("RGB / LMDB's RGB by hand", "rgb", lambda _: BY_HAND)
    runs = [(rates["rgb", cold], rates["all", cold], own) for cold in (False, True) for own in (STREAM, MEMORY)]
    table.add_row("RGB / all bands", *(f"{few.ratio(own, own, every):.2f}" for few, every, own in runs), "≥ 3")
    table.add_row("bytes of an RGB pass / of all bands", f"{sizes['rgb'] / sizes['all']:.2f}", "", "", "", "≤ 0.6")
    return table


def main(archive: Path, shards: Path, rounds: Rounds = 3, save: Save = False) -> None:
    """Print patches a second of every contender, and the ratios that matter."""
    torch.set_num_threads(1)
    catalogue = read_archive(IngestSettings(source=str(archive), out=str(shards)))
    rows = (catalogue.rows["split"] == SPLIT).to_numpy()
    folders = [Path(str(catalogue.root)) / place for place in catalogue.rows["place"][rows]]
    labels = torch.from_numpy(catalogue.labels[rows]).float()
    with tempfile.TemporaryDirectory() as root:
        records = write_records(Path(root, "lmdb"), folders, ALL_BANDS)
        course = Course(archive, shards, open_dataset(shards), folders, labels, records, Path(root))
        table, rates, sizes = race(course, rounds)
    head = f"{len(folders)} patches, medians of {rounds} rounds; {machine(shards, rates.values())}"
    show("feed", save, head, table, verdict(rates, sizes))


if __name__ == "__main__":
    typer.run(main)
