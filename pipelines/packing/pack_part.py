"""One part's worth of patches: read their files, write the part, and account for every patch.

Flows in: a `PartTask` (which patches, which part) and a way to fetch their files. Flows out: a committed part and its
`PartRecord`, the sums from which the manifest's statistics are made. Both are stored when this returns, the record
last, so an ingest that is killed does no part twice and commits each once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.archives.patch_files import Fetch, Layout, read_patch
from pipelines.dataset.band_sums import BandSums, sums_of
from pipelines.dataset.manifest import Part
from pipelines.dataset.part_file import write_part
from pipelines.errors import PatchError
from pipelines.files import write_whole
from pipelines.location import Location, locate
from pipelines.pixels.encoding import read
from pipelines.pixels.patch import Patch
from pipelines.settings import Settings

RECORDS = ".ingest"

LACKING = "more without data than --max-nodata"
"""The one reason to leave a patch out that is no fault of its file."""


class PartTask(Settings):
    """Patches of one split that make up one part, in order; `labels` are the positions of each one's classes.

    A patch of which more than `max_nodata` was not measured is left out.
    """

    out: str
    split: str
    number: int
    layout: Layout
    label_names: list[str]
    patch_ids: list[str]
    places: list[str]
    labels: list[list[int]]
    countries: list[str]
    max_nodata: float = 1.0

    @property
    def name(self) -> str:
        """The part's file without its ending, relative to the dataset folder: `train/part-00000`."""
        return f"{self.split}/part-{self.number:05d}"

    @property
    def record(self) -> Location:
        """Where its `PartRecord` is stored while the ingest lasts."""
        return locate(self.out) / RECORDS / f"{self.name}.json"


class PartRecord(Settings):
    """What one part contributes to the manifest; `part` is None when none of its patches could be read."""

    split: str
    part: Part | None
    sums: dict[str, BandSums]
    label_counts: list[int]
    country_counts: dict[str, int]
    dropped: dict[str, list[str]]
    notes: dict[str, int] = Field(default={})

    @property
    def patches(self) -> int:
        """How many it accounts for, packed or left out."""
        return (self.part.rows if self.part else 0) + sum(len(ids) for ids in self.dropped.values())


def pack_part(task: PartTask, fetch: Fetch) -> PartRecord:
    """Read the task's patches and commit them as one part; unreadable ones are left out by reason.

    Raises:
        StorageError: the disk is full.
        ServiceError: an object store does not answer.
        OSError: from `fetch`, where it is not one file that is wrong.
    """
    bands = task.layout.bands
    pixels = {band.name: np.empty((len(task.places), band.size, band.size), band.numbers.dtype) for band in bands}
    patches: list[Patch] = []
    kept: list[int] = []
    dropped: dict[str, list[str]] = {}
    for row, place in enumerate(task.places):
        try:
            patch = read_patch(task.layout, place, fetch)
            if patch.nodata > task.max_nodata:
                dropped.setdefault(LACKING, []).append(task.patch_ids[row])
                continue
        except PatchError as error:
            reason = f"{error.what}: {error.where}" if error.where else error.what
            dropped.setdefault(reason, []).append(task.patch_ids[row])
            continue
        for band, array in patch.pixels.items():
            pixels[band][len(kept)] = array
        kept.append(row)
        patches.append(replace(patch, pixels={}))
    labels = np.zeros((len(kept), len(task.label_names)), np.uint8)
    for vector, row in zip(labels, kept, strict=True):
        vector[task.labels[row]] = 1
    part, sums = None, {}
    if kept:
        pixels = {band: array[: len(kept)] for band, array in pixels.items()}
        part = write_part(locate(task.out), f"{task.name}.parquet", _columns(task, kept, patches, labels), pixels)
        sums = {band.name: sums_of(read(band.numbers, pixels[band.name])) for band in bands}
    record = PartRecord(
        split=task.split,
        part=part,
        sums=sums,
        label_counts=labels.sum(axis=0, dtype=int).tolist(),
        country_counts=dict(Counter(task.countries[row] for row in kept)),
        dropped=dropped,
        notes=dict(Counter(note for patch in patches for note in patch.warnings)),
    )
    write_whole(task.record, record.model_dump_json())
    return record


def _columns(task: PartTask, kept: list[int], patches: list[Patch], labels: NDArray[np.uint8]) -> dict[str, Any]:
    corners = [(patch.bounds[0], patch.bounds[3]) if patch.bounds else (np.nan, np.nan) for patch in patches]
    return {
        "patch_id": [task.patch_ids[row] for row in kept],
        "country": [task.countries[row] for row in kept],
        "crs": [patch.crs for patch in patches],
        "x": [corner[0] for corner in corners],
        "y": [corner[1] for corner in corners],
        "nodata": [patch.nodata for patch in patches],
        "labels": labels,
    }
