"""Why shards are stored as they are: ways to store the pixels of real patches in Parquet, by size and by speed.

    python -m benchmarks.codecs REAL

REAL holds BigEarthNet v2 and v1 patches (`bigearthnet-v2/`, `bigearthnet-v1/`). All lie in one file each way, in row
groups of 64, a column a band or two, without statistics. Reading ends in uint16 arrays of the band's shape that own
their memory, from a mapped file in the page cache, in one thread; writing begins at such arrays and ends in memory.
Times are of the processor, which whatever else runs on the machine disturbs least. Ours is the very code of
`pipelines.dataset.part_file` and does more than the rest: page checksums, which are proved, and those of the footer and
the whole file, labels and places.

Joined: a band's low bytes, then its high bytes, in one column; else they have one each. Differenced: each pixel less
the one to its left, signs folded into the lowest bit (zigzag).
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.peers import read_bands
from benchmarks.rounds import Rounds, Save, show
from pipelines.bands import ALL_BANDS, BAND_SETS, SENTINEL2
from pipelines.dataset.manifest import BandColumn
from pipelines.dataset.part_file import (
    HIGH,
    LOW,
    ROWS_PER_GROUP,
    decode_columns,
    join_planes,
    open_part,
    split_planes,
    write_part,
)

Planes = list[NDArray[np.uint8]]
Pixels = Mapping[str, NDArray[np.uint16]]

OURS, REFERENCE = "ours, checksums proved", "plain, zstd 1"
TRIES = 3


class Form(NamedTuple):
    """How (rows, size, size) uint16 become byte columns (rows, width), and back."""

    split: Callable[[NDArray[np.uint16]], Planes]
    join: Callable[[Planes, int], NDArray[np.uint16]]


def fold(array: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Differences along rows, zigzag."""
    steps = array.copy()
    steps[:, :, 1:] -= array[:, :, :-1]
    signed = steps.view(np.int16)
    return ((signed << 1) ^ (signed >> 15)).view(np.uint16)


def unfold(array: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Inverse of `fold`."""
    steps = (array >> 1) ^ (-(array & 1).view(np.int16)).view(np.uint16)
    return np.cumsum(steps, axis=2, dtype=np.uint16)


def _view(planes: Planes, size: int) -> NDArray[np.uint16]:
    return planes[0].view(np.uint16).reshape(-1, size, size)


def _joined(low: NDArray[np.uint8], high: NDArray[np.uint8], size: int) -> NDArray[np.uint16]:
    return join_planes({LOW: low, HIGH: high}, "uint16", size)


def _halves(planes: Planes, size: int) -> NDArray[np.uint16]:
    return _joined(planes[0][:, : size * size], planes[0][:, size * size :], size)


PLAIN = Form(
    lambda array: [array.reshape(len(array), -1).view(np.uint8)], lambda planes, size: _view(planes, size).copy()
)
JOINED = Form(lambda array: [np.concatenate(list(split_planes(array).values()), axis=1)], _halves)
APART = Form(lambda array: list(split_planes(array).values()), lambda planes, size: _joined(planes[0], planes[1], size))
STEPS = Form(lambda array: PLAIN.split(fold(array)), lambda planes, size: unfold(_view(planes, size)))
STEPS_JOINED = Form(lambda array: JOINED.split(fold(array)), lambda planes, size: unfold(_halves(planes, size)))
STEPS_APART = Form(lambda array: APART.split(fold(array)), lambda planes, size: unfold(APART.join(planes, size)))

SCHEMES: dict[str, tuple[Form, Sequence[str]]] = {
    **{f"plain, {codec}": (PLAIN, [codec]) for codec in ("none", "lz4", "zstd 1", "zstd 3", "zstd 9")},
    **{f"planes joined, {codec}": (JOINED, [codec]) for codec in ("lz4", "zstd 1", "zstd 3")},
    **{f"low none, high {codec}": (APART, ["none", codec]) for codec in ("lz4", "zstd 1", "zstd 3")},
    "low zstd 1, high zstd 1": (APART, ["zstd 1", "zstd 1"]),
    "differenced, zstd 1": (STEPS, ["zstd 1"]),
    "differenced, joined, zstd 1": (STEPS_JOINED, ["zstd 1"]),
    "differenced, low none, high zstd 1": (STEPS_APART, ["none", "zstd 1"]),
}


def write(pixels: Pixels, form: Form, codecs: Sequence[str]) -> bytes:
    columns: dict[str, pa.Array] = {}
    codec: dict[str, str] = {}
    level: dict[str, int] = {}
    for band, array in pixels.items():
        for number, (plane, chosen) in enumerate(zip(form.split(array), codecs, strict=True)):
            name, width = f"{band}.{number}", plane.shape[1]
            buffers = [None, pa.py_buffer(np.ascontiguousarray(plane))]
            columns[name] = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(plane), buffers)
            codec[name], _, digits = chosen.partition(" ")
            level |= {name: int(digits)} if digits else {}
    target = io.BytesIO()
    options = {"row_group_size": ROWS_PER_GROUP, "use_dictionary": False, "write_statistics": False}
    pq.write_table(pa.table(columns), target, compression=codec, compression_level=level or None, **options)
    return target.getvalue()


def read(path: Path, bands: Sequence[str], form: Form, columns: int) -> list[dict[str, NDArray[np.uint16]]]:
    """Row group by row group."""
    groups = []
    with pq.ParquetFile(path, memory_map=True) as file:
        for number in range(file.num_row_groups):
            names = [f"{band}.{column}" for band in bands for column in range(columns)]
            table = file.read_row_group(number, columns=names, use_threads=False)
            planes = {name: _bytes_of(table[name]) for name in names}
            taken = {band: [planes[f"{band}.{column}"] for column in range(columns)] for band in bands}
            groups.append({band: form.join(each, SENTINEL2[band].size) for band, each in taken.items()})
    return groups


def _bytes_of(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    array = column.combine_chunks()
    width = array.type.byte_width
    return np.frombuffer(array.buffers()[1], np.uint8, len(array) * width, array.offset * width).reshape(-1, width)


class Way(NamedTuple):
    """A way to store, as functions: write to a path, and read some bands from it."""

    write: Callable[[], Any]
    read: Callable[[Sequence[str]], Sequence[Mapping[str, NDArray[Any]]]]
    path: Path


def ways(pixels: Pixels, folder: Path) -> dict[str, Way]:
    found: dict[str, Way] = {}
    for name, (form, codecs) in SCHEMES.items():
        path = folder / f"{len(found)}.parquet"
        put = partial(write, pixels, form, codecs)
        path.write_bytes(put())
        found[name] = Way(put, partial(read, path, form=form, columns=len(codecs)), path)
    rows = len(pixels[ALL_BANDS[0]])
    texts: dict[str, Any] = {key: [f"{key} {row}" for row in range(rows)] for key in ("patch_id", "country", "crs")}
    columns = texts | {
        "x": [0.0] * rows,
        "y": [0.0] * rows,
        "nodata": [0.0] * rows,
        "labels": np.eye(rows, 19, dtype=np.uint8),
    }
    file = "ours.parquet"
    part = write_part(folder, file, columns, pixels)

    def take(bands: Sequence[str]) -> list[dict[str, NDArray[Any]]]:
        described = {band: BandColumn(name=band, size=SENTINEL2[band].size) for band in bands}
        opened = open_part(folder, part)
        return [
            decode_columns(opened.read([*bands, "labels"], group), described) for group in range(len(opened.groups))
        ]

    found[OURS] = Way(lambda: write_part(folder, file, columns, pixels), take, folder / file)
    return found


def check(way: Way, pixels: Pixels) -> None:
    """What is read is what was written."""
    got = way.read(ALL_BANDS)
    for band, array in pixels.items():
        if not np.array_equal(np.concatenate([group[band] for group in got]), array):
            raise RuntimeError(f"{way.path.name} gives other pixels in {band}")


def share_of(path: Path, bands: Sequence[str]) -> float:
    """Part of the pixels' bytes that a pass over some bands reads."""
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    sizes = dict.fromkeys(ALL_BANDS, 0)
    for column in (group.column(number) for group in groups for number in range(group.num_columns)):
        band = column.path_in_schema.split(".")[0]
        sizes |= {band: sizes[band] + column.total_compressed_size} if band in sizes else {}
    return sum(sizes[band] for band in bands) / sum(sizes.values())


def read_real(real: Path) -> dict[str, NDArray[np.uint16]]:
    """All patches, in random order, band by band."""
    folders = sorted(real.glob("bigearthnet-v2/BigEarthNet-S2/*/*")) + sorted(real.glob("bigearthnet-v1/*/*"))
    order = np.random.default_rng(0).permutation(len(folders))
    patches = [list(read_bands(folders[number], ALL_BANDS)) for number in order]
    return {band: np.stack(arrays) for band, arrays in zip(ALL_BANDS, zip(*patches, strict=True), strict=True)}


def spend(run: Callable[[], Any]) -> float:
    """CPU seconds."""
    started = time.process_time()
    run()
    return time.process_time() - started


def main(real: Path, rounds: Rounds = 15, save: Save = False) -> None:
    """Print the table."""
    pixels = read_real(real)
    rows, raw = len(pixels[ALL_BANDS[0]]), sum(array.nbytes for array in pixels.values())
    rgb = BAND_SETS["rgb"]
    with tempfile.TemporaryDirectory() as folder:
        found = ways(pixels, Path(folder))
        for way in found.values():
            check(way, pixels)
        sizes = {name: (way.path.stat().st_size, share_of(way.path, rgb)) for name, way in found.items()}
        times: dict[tuple[str, str], list[float]] = {}
        for _ in range(rounds):
            for name, way in found.items():
                jobs: dict[str, Callable[[], Any]] = {
                    "write": way.write,
                    "all": partial(way.read, ALL_BANDS),
                    "rgb": partial(way.read, rgb),
                }
                for job, run in jobs.items():
                    # The best of a few, since the first meets memory as another has left it.
                    times.setdefault((name, job), []).append(min(spend(run) for _ in range(TRIES)) / rows * 1e6)
    titles = ("KiB/patch", "of raw", "RGB of all", "write µs", "read µs", "RGB read µs", "read rate ×")
    table = Table("stored as", *titles)
    for name, (size, share) in sizes.items():
        spent = {job: median(times[name, job]) for job in ("write", "all", "rgb")}
        faster = median(a / b for a, b in zip(times[REFERENCE, "all"], times[name, "all"], strict=True))
        first = (f"{size / rows / 1024:.1f}", f"{size / raw:.3f}", f"{share:.2f}")
        table.add_row(name, *first, *(f"{each:.0f}" for each in spent.values()), f"{faster:.2f}")
    head = f"{rows} real patches of {raw / rows / 1024:.2f} KiB; CPU time a patch, medians of {rounds} rounds"
    wanted = f"read rate: × {REFERENCE}. Wanted of ours: ≤ 0.65 of raw, read rate ≥ 1, RGB ≤ 0.6 of all"
    show("codecs", save, head, table, wanted)


if __name__ == "__main__":
    typer.run(main)
