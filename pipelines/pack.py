"""One part's worth of patches: read the folders, write the part, and account for every patch.

Flows in: a `PartTask` (which patches, which part). Flows out: a committed part and its `PartRecord`, the sums
from which the manifest's statistics are made. Both are on disk when this returns, the record last, so an
ingest that is killed does no part twice and commits each once.

Sums are kept as whole numbers: they are exact, so a resumed ingest ends in the same manifest to the last digit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import PatchError
from pipelines.files import write_whole
from pipelines.labels import encode_labels
from pipelines.patch import Patch, read_folder
from pipelines.settings import Settings
from pipelines.shards import Part, write_part

RECORDS = ".ingest"


class PartTask(Settings):
    """Patches of one split that make up one part, in order."""

    images: Path
    out: Path
    split: str
    number: int
    bands: list[str]
    label_names: list[str]
    patch_ids: list[str]
    folders: list[str]
    labels: list[list[str]]
    countries: list[str]

    @property
    def name(self) -> str:
        return f"{self.split}/part-{self.number:05d}"

    @property
    def record(self) -> Path:
        return self.out / RECORDS / f"{self.name}.json"


class BandSums(Settings):
    pixels: int
    total: int
    squares: int


class PartRecord(Settings):
    """What one part contributes to the manifest; `part` is None when none of its patches could be read."""

    split: str
    part: Part | None
    sums: dict[str, BandSums]
    label_counts: list[int]
    dropped: dict[str, list[str]]


def pack_part(task: PartTask) -> PartRecord:
    """Read the task's patches and commit them as one part; unreadable ones are left out by reason."""
    patches: list[Patch] = []
    kept: list[int] = []
    dropped: dict[str, list[str]] = {}
    for row, folder in enumerate(task.folders):
        try:
            patches.append(read_folder(task.images / folder, task.bands))
            kept.append(row)
        except PatchError as error:
            reason = f"{error.what}: {error.where}" if error.where else error.what
            dropped.setdefault(reason, []).append(task.patch_ids[row])
    labels = [encode_labels(task.labels[row], task.label_names) for row in kept]
    part, sums = None, {}
    if patches:
        pixels = {band: np.stack([patch.pixels[band] for patch in patches]) for band in task.bands}
        part = write_part(task.out, f"{task.name}.parquet", _columns(task, kept, patches, labels), pixels)
        sums = {band: _sums(array) for band, array in pixels.items()}
    counts = [sum(int(vector[i]) for vector in labels) for i in range(len(task.label_names))]
    record = PartRecord(split=task.split, part=part, sums=sums, label_counts=counts, dropped=dropped)
    write_whole(task.record, record.model_dump_json())
    return record


def _columns(
    task: PartTask, kept: list[int], patches: list[Patch], labels: list[NDArray[np.uint8]]
) -> dict[str, list[Any]]:
    corners = [(patch.bounds[0], patch.bounds[3]) if patch.bounds else (np.nan, np.nan) for patch in patches]
    return {
        "patch_id": [task.patch_ids[row] for row in kept],
        "country": [task.countries[row] for row in kept],
        "crs": [patch.crs for patch in patches],
        "x": [corner[0] for corner in corners],
        "y": [corner[1] for corner in corners],
        "labels": labels,
    }


def _sums(array: NDArray[np.uint16]) -> BandSums:
    flat = array.reshape(-1)
    wide = flat.astype(np.uint64)
    return BandSums(pixels=flat.size, total=int(wide.sum()), squares=int(np.dot(wide, wide)))
