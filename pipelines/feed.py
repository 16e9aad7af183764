"""Shards to arrays in memory: the bands that are asked for, and no others.

Flows in: a dataset folder, a split, a band set. Flows out: a `Split`: native-resolution uint16 arrays by band,
in the chunks they were read in, so that arrays from Ray's object store are used where they lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ShardError
from pipelines.shards import Manifest, decode_columns, open_dataset, read_table

Chunk = dict[str, NDArray[Any]]
"""Band to (rows, size, size) uint16, `labels` to (rows, classes) uint8, `patch_id` to (rows,) objects."""


@dataclass(frozen=True)
class Split:
    """Rows of one split. Chunks may be read-only; `take` copies what it returns."""

    bands: tuple[str, ...]
    chunks: tuple[Chunk, ...]

    def __len__(self) -> int:
        return int(self._ends[-1])

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(len(chunk["labels"]) for chunk in self.chunks)])

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """Multi-hot labels, (rows, classes) uint8."""
        return np.concatenate([chunk["labels"] for chunk in self.chunks])

    @cached_property
    def patch_ids(self) -> NDArray[Any]:
        return np.concatenate([chunk["patch_id"] for chunk in self.chunks])

    def select(self, bands: Sequence[str]) -> Split:
        """The same rows with fewer or reordered bands; nothing is copied.

        Raises:
            ShardError: a band was not read.
        """
        missing = [band for band in bands if band not in self.bands]
        if missing:
            raise ShardError(f"band {missing[0]} was not read", hint="Read the union of the bands that are used.")
        return Split(tuple(bands), self.chunks)

    def take(self, rows: NDArray[np.int64]) -> Chunk:
        """Gather rows: each band as (len(rows), size, size) uint16, and `labels`."""
        owner = np.searchsorted(self._ends, rows, side="right") - 1
        local = rows - self._ends[owner]
        keys = (*self.bands, "labels")
        taken = {key: np.empty((len(rows), *self.chunks[0][key].shape[1:]), self.chunks[0][key].dtype) for key in keys}
        for number in np.unique(owner):
            here = owner == number
            for key in keys:
                taken[key][here] = self.chunks[number][key][local[here]]
        return taken


def read_split(folder: Path, split: str, bands: Sequence[str]) -> Split:
    """Read one split into this process.

    Raises:
        ShardError: no such dataset, or the split is empty.
        BandError: the dataset lacks a band.
    """
    parts = list(read_parts(folder, split, bands))
    return Split(tuple(bands), tuple(chunk for part in parts for chunk in part.chunks))


def read_parts(folder: Path, split: str, bands: Sequence[str]) -> Iterator[Split]:
    """Read one split part by part, each a split of its own; see `read_split`."""
    manifest = open_dataset(folder)
    sizes = {band: manifest.size_of(band) for band in bands}
    for part in parts_of(manifest, folder, split):
        yield Split(tuple(bands), (decode_columns(read_table(part, [*bands, "labels", "patch_id"]), sizes),))


def parts_of(manifest: Manifest, folder: Path, split: str) -> list[Path]:
    """Absolute paths of a split's parts.

    Raises:
        ShardError: the split has no rows.
    """
    parts = [folder / part.file for part in manifest.splits.get(split, ())]
    if not parts:
        raise ShardError(f'the dataset has no patches in split "{split}"', where=str(folder), hint="Ingest more.")
    return parts
