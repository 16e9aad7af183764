"""From an archive to shards, against reading the same files and throwing them away, in one run.

    python -m benchmarks.ingest ARCHIVE [--memory SMALL LARGE]

"bytes alone" reads every file whole in two processes: the limit. The rasterio loop opens each of a patch's twelve
files and reads its pixels, in one process and in two that share the patches; it writes nothing. Ours is the whole
`landsweep data ingest` but for its start: tables, checks, sums, compression, checksums, and shards synced to the disk;
from the folder, and from a tar.zst of the same files (level 3, as `tar --zstd` makes it). Ray's start and its workers'
imports are left out, by a small ingest before; so are those of the loop's processes.

With --memory, each archive is packed by a fresh process with a fresh Ray. Private is the sum over it and all below it
of what no other process has; PSS counts each shared page once, Ray's object store among them.
"""

from __future__ import annotations

import multiprocessing
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import typer
import zstandard
from rich.table import Table

from benchmarks.peers import read_bands
from benchmarks.processes import Watch, memory_below, mib
from benchmarks.rounds import CELLS, Contender, Go, Rates, Rounds, Save, machine, run_rounds, show
from pipelines.archives.bigearthnet_v2 import IMAGES, METADATA
from pipelines.bands import ALL_BANDS, SENTINEL2
from pipelines.cluster import prepare, ray_cluster
from pipelines.dataset.manifest import open_dataset
from pipelines.packing.ingest import ingest
from pipelines.settings import IngestSettings

BYTES, ONE, TWO = "bytes alone, 2 processes", "rasterio loop, 1 process", "rasterio loop, 2 processes"
FOLDER, TAR = "ours, from the folder", "ours, from the tar.zst"
RAW_BYTES = sum(2 * band.size**2 for band in SENTINEL2.values())
WARM_UP = "128"


def read_bytes(folders: Sequence[Path]) -> int:
    for folder in folders:
        for path in folder.iterdir():
            path.read_bytes()
    return len(folders)


def read_pixels(folders: Sequence[Path]) -> int:
    for folder in folders:
        for _ in read_bands(folder, ALL_BANDS):
            pass
    return len(folders)


@contextmanager
def reading(
    read: Callable[[Sequence[Path]], int], folders: Sequence[Path], pool: ProcessPoolExecutor, processes: int
) -> Iterator[Go]:
    """A reader over the patches, in so many processes of the pool."""
    shares = [folders[number::processes] for number in range(processes)]
    yield lambda: sum(pool.map(read, shares))


@contextmanager
def packing(archive: Path, subset: str = "100%") -> Iterator[Go]:
    """Our ingest, into a folder that is removed with the block."""
    with tempfile.TemporaryDirectory() as folder:
        yield lambda: _pack(archive, Path(folder, "shards"), subset)


def _pack(archive: Path, out: Path, subset: str = "100%") -> int:
    manifest = ingest(IngestSettings(source=str(archive), out=str(out), subset=subset))
    return sum(manifest.rows(split) for split in manifest.splits)


def write_tar(archive: Path, target: Path) -> Path:
    """The archive with its images in a tar.zst, patch by patch."""
    (target / METADATA).write_bytes((archive / METADATA).read_bytes())
    with (
        open(target / f"{IMAGES}.tar.zst", "wb") as file,
        zstandard.ZstdCompressor(3).stream_writer(file) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for path in sorted((archive / IMAGES).glob("*/*/*.tif")):
            tar.add(path, path.relative_to(archive))
    return target


def race(archive: Path, folders: list[Path], rounds: int) -> tuple[dict[bool, Rates], float]:
    """Rates warm (False) and cold (True), and bytes a patch in the shards."""
    files = [path for folder in folders for path in folder.glob("*.tif")]
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as scratch, ProcessPoolExecutor(2, spawn) as pool:
        tar = write_tar(archive, Path(scratch))
        contenders = [
            Contender(BYTES, partial(reading, read_bytes, folders, pool, 2), files),
            Contender(ONE, partial(reading, read_pixels, folders, pool, 1), files),
            Contender(TWO, partial(reading, read_pixels, folders, pool, 2), files),
            Contender(FOLDER, partial(packing, archive), files),
            Contender(TAR, partial(packing, tar), [tar / f"{IMAGES}.tar.zst"]),
        ]
        list(pool.map(read_pixels, [folders[:32]] * 4))
        with ray_cluster():
            for source in (archive, tar):
                with packing(source, WARM_UP) as go:
                    go()
            rates = {cold: run_rounds(contenders, rounds, cold=cold) for cold in (False, True)}
            patches = _pack(archive, Path(scratch, "shards"))
        manifest = open_dataset(Path(scratch, "shards"))
        size = sum(part.bytes for split in manifest.splits for part in manifest.parts(split))
    return rates, size / patches


def _work(archive: Path, pipe: Connection) -> None:
    """What a watched process does: start, say so, pack when told, say how many."""
    prepare()
    with ray_cluster():
        with packing(archive, WARM_UP) as go:
            go()
        pipe.send("warm")
        pipe.recv()
        with packing(archive) as go:
            pipe.send(go())


def watch(archive: Path, table: Table) -> None:
    """Pack an archive in a process of its own and add a row on its memory."""
    here, there = multiprocessing.Pipe()
    worker = multiprocessing.get_context("spawn").Process(target=_work, args=(archive, there))
    worker.start()
    here.recv()
    assert worker.pid is not None
    before = memory_below(worker.pid)
    with Watch(worker.pid) as watched:
        here.send("go")
        patches = here.recv()
    worker.join()
    pairs = zip(before, watched.peak, strict=True)
    table.add_row(f"{patches:,}", *(mib(size) for pair in pairs for size in (*pair, pair[1] - pair[0])))


def main(
    archive: Path,
    memory: Annotated[tuple[Path, Path] | None, typer.Option(help="archives to pack while memory is watched")] = None,
    rounds: Rounds = 3,
    save: Save = False,
) -> None:
    """Print patches a second and MB/s of every contender, size of the shards, and peaks of memory."""
    prepare()
    folders = sorted(path for path in (archive / IMAGES).glob("*/*") if path.is_dir())
    size = sum(path.stat().st_size for folder in folders for path in folder.glob("*.tif")) / len(folders)
    rates, packed = race(archive, folders, rounds)
    table = Table("cache", "contender", *CELLS, "MB/s", "× 2 loops")
    for cold, here in rates.items():
        for name in here.runs:
            cells = (*here.cells(name), f"{here.median(name) * size / 1e6:.0f}", f"{here.ratio(name, TWO):.2f}")
            table.add_row("cold" if cold else "warm", name, *cells)
        table.add_section()
    head = f"{len(folders)} patches, {12 * len(folders)} files, medians of {rounds} rounds"
    where = machine(archive, rates.values())
    share = f"shards: {packed / 1024:.1f} KiB a patch, {packed / RAW_BYTES:.3f} of its raw pixels"
    wanted = "MB/s are of TIFFs; wanted: × 2 loops ≥ 1, shards ≤ 0.65 of raw pixels"
    used = Table(
        "patches", *(f"{kind}, {when} MiB" for kind in ("private", "PSS") for when in ("idle", "peak", "more"))
    )
    for source in memory or ():
        watch(source, used)
    show("ingest", save, head, where, table, share, wanted, *([used] if memory else []))


if __name__ == "__main__":
    typer.run(main)
