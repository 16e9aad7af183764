"""Shards to float32 batches at 120 px, against the same patches read from their TIFFs: one run, same patches, ratios.

    python benchmarks/feed.py ARCHIVE SHARDS

Contenders: the bytes of the columns alone (the limit), a plain rasterio loop in one process, and ours, for all bands
and for RGB. Files are in the page cache (warm): each contender goes over them once before it is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import torch
import typer
from rich.console import Console
from rich.table import Table

from pipelines.bands import parse_bands
from pipelines.batches import Batches, assemble
from pipelines.feed import read_parts
from pipelines.metadata import read_catalogue
from pipelines.shards import open_dataset, read_table

BATCH = 64


def raw_bytes(shards: Path, bands: tuple[str, ...]) -> int:
    """Decompress the columns and do nothing with them."""
    parts = open_dataset(shards).splits["train"]
    return sum(read_table(shards / part.file, bands).num_rows for part in parts)


def rasterio_loop(archive: Path, folders: list[str], bands: tuple[str, ...]) -> int:
    """Open each band's TIFF, then make batches as ours are."""
    for start in range(0, len(folders), BATCH):
        pixels: dict[str, list[np.ndarray]] = {band: [] for band in bands}
        for folder in folders[start : start + BATCH]:
            path = archive / folder
            for band in bands:
                with rasterio.open(path / f"{path.name}_{band}.tif") as source:
                    pixels[band].append(source.read(1))
        assemble({band: np.stack(arrays) for band, arrays in pixels.items()}, bands, 120)
    return len(folders)


def ours(shards: Path, bands: tuple[str, ...]) -> int:
    """Part by part, as a trial that streams would."""
    return sum(len(images) for part in read_parts(shards, "train", bands) for images, _ in Batches(part, BATCH, 120))


def rate(run: Callable[[], int]) -> float:
    """Patches a second, of the second of two runs."""
    run()
    started = time.perf_counter()
    patches = run()
    return patches / (time.perf_counter() - started)


def main(archive: Path, shards: Path) -> None:
    """Print patches a second and the ratio to the rasterio loop."""
    torch.set_num_threads(1)
    catalogue = read_catalogue(archive)
    folders = catalogue.rows.loc[catalogue.rows["split"] == "train", "folder"].tolist()
    table = Table("bands", "contender", "patches/s", "ratio to rasterio", title=f"{len(folders)} patches, one thread")
    for name in ("all", "rgb"):
        bands = parse_bands(name)
        contenders: dict[str, Callable[[], int]] = {
            "rasterio loop": lambda bands=bands: rasterio_loop(catalogue.images, folders, bands),
            "ours": lambda bands=bands: ours(shards, bands),
            "bytes alone": lambda bands=bands: raw_bytes(shards, bands),
        }
        rates = {contender: rate(run) for contender, run in contenders.items()}
        for contender, value in rates.items():
            table.add_row(name, contender, f"{value:.0f}", f"{value / rates['rasterio loop']:.1f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    typer.run(main)
