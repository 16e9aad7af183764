"""A task that a net learns in a second: is a patch bright, and has it a bright corner? As a split, and as a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipelines.dataset.part_file import write_part
from pipelines.feeding.rows import Split
from tests.fakes import write_manifest

SIZES = {"B04": 24, "B05": 12}
LABELS = ["Bright corner", "Bright patch"]


def bright_or_dark(rows: int, seed: int) -> Split:
    """Two classes that one band tells apart: bright patches, and patches with a bright corner."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((rows, 2)) < 0.5).astype(np.uint8)
    pixels = rng.integers(500, 700, (rows, 24, 24)).astype(np.uint16)
    pixels[labels[:, 0] == 1] += 900
    pixels[labels[:, 1] == 1, :6, :6] += 3000
    ids = np.array([str(i) for i in range(rows)], dtype=object)
    return Split(("B04",), ({"B04": pixels, "labels": labels, "patch_id": ids},))


def write_bright(folder: Path, rows: Mapping[str, int], *, rows_per_part: int = 40) -> Path:
    """A dataset folder of such patches, split to number of rows; B05 is B04 at half the resolution."""
    splits = {}
    for number, (name, count) in enumerate(rows.items()):
        split = bright_or_dark(count, number)
        chunk, parts = split.chunks[0], []
        for place, start in enumerate(range(0, count, rows_per_part)):
            here = slice(start, start + rows_per_part)
            ids = [f"{name}-{each}" for each in chunk["patch_id"][here]]
            columns = {
                "patch_id": ids,
                "country": ["Austria"] * len(ids),
                "crs": ["EPSG:32633"] * len(ids),
                "x": np.zeros(len(ids)),
                "y": np.zeros(len(ids)),
                "nodata": np.zeros(len(ids)),
                "labels": chunk["labels"][here, ::-1].copy(),
            }
            pixels = {"B04": chunk["B04"][here], "B05": chunk["B04"][here, ::2, ::2].copy()}
            parts.append(write_part(folder, f"{name}/part-{place:05d}.parquet", columns, pixels))
        splits[name] = parts
    return write_manifest(folder, SIZES, LABELS, splits, mean=1000, std=500)
