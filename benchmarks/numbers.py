"""What numbers of other types cost, against uint16: bytes on the disk, and patches a second out of the shards.

    python -m benchmarks.numbers STACKS [--rounds 7] [--save]

STACKS is a folder of GeoTIFFs with all bands of a patch (EuroSAT's, say). Their digital numbers are written as shards
in each of the types that a dataset stores: as they are, as int16, as reflectance in float32 (number ÷ 10,000), as
uint8 (÷ 40); and as uint16 with a corner of no data in every fourth patch. Each is streamed as float32 batches of 64
in random order, one pass a round; what is read is compared with what was written first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.rounds import CELLS, Contender, Go, Rates, Rounds, Save, machine, run_rounds, show
from pipelines.dataset.manifest import MANIFEST, BandColumn, Manifest, Part, Statistics, open_dataset
from pipelines.dataset.part_file import write_part
from pipelines.feeding.batches import Batches
from pipelines.feeding.rows import read_split
from pipelines.feeding.streamed import open_stream
from pipelines.pixels.meaning import Encoding
from pipelines.pixels.raster import read_raster

BATCH, ROWS_A_PART = 64, 256
UINT16 = "uint16"
HOLE = 65_535

Pixels = dict[str, NDArray[Any]]


def read_stacks(folder: Path) -> Pixels:
    """Band to (patches, size, size) uint16, of all files of one form."""
    arrays = [read_raster(path.read_bytes()).pixels for path in sorted(folder.rglob("*.tif"))]
    stacked = np.stack([array for array in arrays if array.shape == arrays[0].shape]).astype(np.uint16)
    return {f"b{place}": np.ascontiguousarray(stacked[:, place]) for place in range(stacked.shape[1])}


def forms(pixels: Pixels) -> dict[str, tuple[Encoding, Pixels]]:
    """Each type's name to its encoding and the stored numbers."""
    holed = {band: array.copy() for band, array in pixels.items()}
    for array in holed.values():
        array[::4, :12, :12] = HOLE
    return {
        UINT16: (Encoding(), pixels),
        "int16": (Encoding(dtype="int16"), {band: array.astype(np.int16) for band, array in pixels.items()}),
        "float32": (
            Encoding(dtype="float32"),
            {band: array.astype(np.float32) / np.float32(10_000) for band, array in pixels.items()},
        ),
        "uint8": (
            Encoding(dtype="uint8"),
            {band: (array // 40).clip(0, 255).astype(np.uint8) for band, array in pixels.items()},
        ),
        "uint16, holes": (Encoding(nodata=HOLE), holed),
    }


def write(folder: Path, encoding: Encoding, pixels: Pixels) -> Path:
    """One dataset with a training split."""
    count, size = next(iter(pixels.values())).shape[:2]
    parts = [_write_part(folder, number, pixels, start) for number, start in enumerate(range(0, count, ROWS_A_PART))]
    manifest = Manifest(
        source={}, splits={"train": parts}, label_names=["one", "other"], label_counts={}, country_counts={},
        bands=[BandColumn(name=band, size=size, numbers=encoding) for band in pixels],
        statistics={band: Statistics(mean=0, std=1) for band in pixels},
        dropped={}, unmapped={}, settings={}, versions={},
    )  # fmt: skip
    (folder / MANIFEST).write_text(manifest.model_dump_json(), encoding="utf-8")
    return folder


def _write_part(folder: Path, number: int, pixels: Pixels, start: int) -> Part:
    rows = slice(start, start + ROWS_A_PART)
    here = {band: array[rows] for band, array in pixels.items()}
    count = len(next(iter(here.values())))
    columns: dict[str, Any] = {name: [""] * count for name in ("patch_id", "country", "crs")}
    columns |= dict.fromkeys(("x", "y", "nodata"), [0.0] * count)
    columns["labels"] = np.eye(2, dtype=np.uint8)[np.arange(count) % 2]
    return write_part(folder, f"train/part-{number:05d}.parquet", columns, here)


def check(folder: Path, encoding: Encoding, pixels: Pixels) -> None:
    """Raise a RuntimeError where what is read is not what was written."""
    split = read_split(folder, "train", list(pixels))
    read = split.take(np.arange(len(split)))
    for band, array in pixels.items():
        expected = np.where(array == encoding.nodata, np.nan, array) if encoding.nodata else array
        if not np.array_equal(read[band], expected, equal_nan=array.dtype.kind == "f" or bool(encoding.nodata)):
            raise RuntimeError(f"{folder.name} gives other numbers in {band}")


@contextmanager
def _passing(folder: Path) -> Iterator[Go]:
    manifest = open_dataset(folder)
    rows = open_stream(folder, "train", manifest.band_names, manifest)
    size = max(band.size for band in manifest.bands)
    yield lambda: sum(len(labels) for _, labels in Batches(rows, BATCH, size, shuffle_seed=0))


def table(rates: Rates, folders: dict[str, Path]) -> Table:
    """A row a type."""
    result = Table("stored as", "bytes a number", "of its raw bytes", *CELLS, "× uint16")
    for name, folder in folders.items():
        manifest = open_dataset(folder)
        stored = sum(part.bytes for part in manifest.parts("train"))
        numbers = manifest.rows("train") * sum(band.size**2 for band in manifest.bands)
        raw = numbers * np.dtype(manifest.bands[0].numbers.dtype).itemsize
        ratio = f"{rates.ratio(name, UINT16):.2f}"
        result.add_row(name, f"{stored / numbers:.2f}", f"{stored / raw:.2f}", *rates.cells(name), ratio)
    return result


def main(stacks: Annotated[Path, typer.Argument()], rounds: Rounds = 7, save: Save = False) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folders: dict[str, Path] = {}
        for name, (encoding, pixels) in forms(read_stacks(stacks)).items():
            folders[name] = write(Path(temporary) / name, encoding, pixels)
            check(folders[name], encoding, pixels)
        contenders = [
            Contender(name, partial(_passing, folder), sorted(folder.rglob("*.parquet")))
            for name, folder in folders.items()
        ]
        rates = run_rounds(contenders, rounds, cold=False)
        show("numbers", save, table(rates, folders), machine(Path(temporary), [rates]))


if __name__ == "__main__":
    typer.run(main)
