"""Rows of one split, wherever their pixels are: in memory, in Ray's object store, or still in the shards.

Flows in: a dataset folder, a split, a band set. Flows out: `Rows`, of which there are two: `Split` (this file) holds
native-resolution arrays in the chunks they were read in, so that arrays from Ray's object store are used
where they lie; `Stream` (`streamed`) reads row groups as they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.dataset.manifest import BandColumn, Manifest, Part, open_dataset
from pipelines.dataset.part_file import decode_columns, open_part
from pipelines.errors import ShardError
from pipelines.feeding.epoch_order import ALL, Plan
from pipelines.location import Location, locate

Chunk = dict[str, NDArray[Any]]
"""Band to (rows, size, size) of its own type, float32 with NaN where there is no data; `labels` to (rows, classes)
uint8; `patch_id` to (rows,) objects."""


class Rows(Protocol):
    """Rows of one split with the bands that were asked for.

    Whatever reads labels, ids or pixels raises ShardError where a part is gone or damaged, and ServiceError where an
    object store does not answer; and so does whatever is handed rows to read, which does not say so again. Rows in
    memory have been read, and raise neither.
    """

    @property
    def bands(self) -> tuple[str, ...]:
        """Names, in the order in which they were asked for."""

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Multi-hot labels, (rows, classes) uint8, in the split's own order."""

    @property
    def patch_ids(self) -> NDArray[Any]:
        """(rows,) objects, in the split's own order."""

    def __len__(self) -> int: ...

    def select(self, bands: Sequence[str]) -> Self:
        """The same rows with fewer or reordered bands; nothing is copied.

        Raises:
            ShardError: a band was not read.
        """

    def take(self, rows: NDArray[np.int64]) -> Chunk:
        """Copies of some rows, in any order and as often as they are asked for: each band, and `labels`.

        Raises:
            IndexError: there is no such row.
        """

    def epoch(self, batch_size: int, seed: Sequence[int] | None, plan: Plan = ALL) -> Iterator[Chunk]:
        """Every row once, `batch_size` at a time, the last batch with what is left; or as the plan has it.

        Which rows make up a batch is drawn; within a batch they come as they lie, which is quicker to gather.

        Args:
            batch_size: rows a batch.
            seed: of the order, and of what is drawn; None for the split's own order.
            plan: which rows, from which batch on, and whose share of them.
        """


@dataclass(frozen=True)
class Split:
    """Rows in memory. Chunks may be read-only; `take` copies what it returns."""

    bands: tuple[str, ...]
    chunks: tuple[Chunk, ...]

    def __len__(self) -> int:
        return int(self._ends[-1])

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(len(chunk["labels"]) for chunk in self.chunks)])

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """Put together from all chunks when first asked for, and kept."""
        return np.concatenate([chunk["labels"] for chunk in self.chunks])

    @cached_property
    def patch_ids(self) -> NDArray[Any]:
        """Put together from all chunks when first asked for, and kept."""
        return np.concatenate([chunk["patch_id"] for chunk in self.chunks])

    def select(self, bands: Sequence[str]) -> Split:
        """Over the same chunks, which hold all bands that were read."""
        check_bands(bands, self.bands)
        return Split(tuple(bands), self.chunks)

    def take(self, rows: NDArray[np.int64]) -> Chunk:
        """In the order of `rows`, which may repeat; gathered chunk by chunk."""
        check_rows(rows, len(self))
        order = np.argsort(rows, kind="stable")
        taken = self._take_ascending(rows[order])
        if (np.diff(order) < 0).any():
            back = np.argsort(order)
            taken = {key: array[back] for key, array in taken.items()}
        return taken

    def _take_ascending(self, rows: NDArray[np.int64]) -> Chunk:
        """Rows that ascend lie together by chunk: each chunk's go to their place in one copy."""
        keys = (*self.bands, "labels")
        bounds = np.searchsorted(rows, self._ends)
        numbers = np.diff(bounds).nonzero()[0]
        taken = {key: self._room(key, len(rows), numbers) for key in keys}
        for number in numbers:
            start, end = bounds[number], bounds[number + 1]
            local = rows[start:end] - self._ends[number]
            for key in keys:
                _gather(self.chunks[number][key], local, taken[key][start:end])
        return taken

    def _room(self, key: str, rows: int, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """For rows of some chunks, of which those with holes are fractions, and the others perhaps not."""
        chunks = [self.chunks[number][key] for number in (numbers if len(numbers) else (0,))]
        return np.empty((rows, *chunks[0].shape[1:]), np.result_type(*{chunk.dtype for chunk in chunks}))

    def epoch(self, batch_size: int, seed: Sequence[int] | None, plan: Plan = ALL) -> Iterator[Chunk]:
        """The order is drawn over the whole split."""
        rows = plan.order(len(self), seed)
        for step in range(plan.skip, plan.steps(len(rows), batch_size)):
            start = step * batch_size
            yield self.take(np.sort(plan.mine(rows[start : start + plan.size(step, len(rows), batch_size)])))


def _gather(chunk: NDArray[Any], rows: NDArray[np.int64], target: NDArray[Any]) -> None:
    if chunk.dtype == target.dtype:
        np.take(chunk, rows, axis=0, out=target, mode="clip")
    else:
        target[...] = chunk[rows]


def check_bands(wanted: Sequence[str], there: Sequence[str]) -> None:
    """Refuse bands that were not read.

    Raises:
        ShardError: naming the first of them.
    """
    missing = [band for band in wanted if band not in there]
    if missing:
        raise ShardError(f"band {missing[0]} was not read", hint="Read the union of the bands that are used.")


def check_rows(wanted: NDArray[np.int64], count: int) -> None:
    """Raise an IndexError for the first row that is not one of so many: what lies there in memory may be anything."""
    strange = wanted[(wanted < 0) | (wanted >= count)]
    if len(strange):
        raise IndexError(f"no row {strange[0]} of {count}")


def read_split(folder: Location | str, split: str, bands: Sequence[str]) -> Split:
    """Read one split into this process.

    Raises:
        ShardError: no such dataset, the split is empty, or a part is damaged.
        BandError: the dataset lacks a band.
        SettingsError, ServiceError: see `open_dataset`.
    """
    folder = locate(folder)
    manifest = open_dataset(folder)
    columns = {band: manifest.column(band) for band in bands}
    parts = manifest.parts(split)
    return Split(tuple(bands), tuple(chunk for part in parts for chunk in read_chunks(folder, part, columns)))


def read_chunks(folder: Location, part: Part, bands: Mapping[str, BandColumn]) -> Iterator[Chunk]:
    """One part's row groups with the given bands.

    Raises:
        ShardError: the part is damaged.
        ServiceError: the object store does not answer.
    """
    columns = [*bands, "labels", "patch_id"]
    opened = open_part(folder, part)
    for group in range(len(opened.groups)):
        yield decode_columns(opened.read(columns, group), bands)


def native_bytes(manifest: Manifest, splits: Sequence[str], bands: Sequence[str]) -> int:
    """Bytes that the pixels of some splits and bands take in memory, each band at its own resolution.

    Raises:
        BandError: the dataset lacks a band.
    """
    columns = [manifest.column(band) for band in bands]
    patch = sum(column.numbers.bytes * column.size**2 for column in columns)
    return patch * sum(manifest.rows(split) for split in splits)
