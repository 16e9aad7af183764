"""Classes that a model and a dataset have in common, matched by name: what can be scored of a region where some of the
model's classes do not occur, where others do, or whose table has them in another order.

Flows in: both lists of names. Flows out: `SharedClasses`, and rows whose labels are of these classes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import BundleError, nearest
from pipelines.feeding.epoch_order import ALL, Plan
from pipelines.feeding.rows import Chunk, Rows


@dataclass(frozen=True)
class SharedClasses:
    """What both know.

    Args:
        names: the classes, in the model's order.
        of_model, of_data: their columns in the model's logits, and in the dataset's labels.
        absent: classes of the model that the dataset does not have.
        unknown: classes of the dataset that the model does not know.
    """

    names: tuple[str, ...]
    of_model: NDArray[np.int64]
    of_data: NDArray[np.int64]
    absent: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known of numbers on these classes, as sentences; none where both have the same."""
        found = []
        if self.absent:
            found.append(f"Not scored, as the dataset does not have them: {', '.join(self.absent)}.")
        if self.unknown:
            found.append(f"The model does not know, and cannot say: {', '.join(self.unknown)}.")
        return tuple(found)


def shared_classes(model: Sequence[str], data: Sequence[str], where: str) -> SharedClasses:
    """Match the classes of a model and of a dataset by name.

    Args:
        model, data: their names, each in its own order.
        where: the dataset, for a complaint.

    Raises:
        BundleError: they have none in common.
    """
    names = tuple(name for name in model if name in data)
    if not names:
        what = f'the dataset has none of the model\'s classes: it has "{data[0]}", the model knows "{model[0]}"'
        hint = f"Give a dataset with some of them, under the model's names. {nearest(data[0], model)}"
        raise BundleError(what, where=where, hint=hint)
    return SharedClasses(
        names,
        np.array([list(model).index(name) for name in names]),
        np.array([list(data).index(name) for name in names]),
        tuple(name for name in model if name not in data),
        tuple(name for name in data if name not in model),
    )


def rows_of(rows: Rows, data: Sequence[str], names: Sequence[str]) -> Rows:
    """Rows with labels of some of a dataset's classes, in this order; the rows themselves where all are wanted so.

    Args:
        rows: of the dataset.
        data: its classes, in its order.
        names: those that are wanted; all are among them.
    """
    if tuple(names) == tuple(data):
        return rows
    return _Relabelled(rows, np.array([list(data).index(name) for name in names]))


@dataclass(frozen=True)
class _Relabelled:
    rows: Rows
    columns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def bands(self) -> tuple[str, ...]:
        return self.rows.bands

    @property
    def patch_ids(self) -> NDArray[Any]:
        return self.rows.patch_ids

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        return np.ascontiguousarray(self.rows.labels[:, self.columns])

    def select(self, bands: Sequence[str]) -> _Relabelled:
        return _Relabelled(self.rows.select(bands), self.columns)

    def take(self, rows: NDArray[np.int64]) -> Chunk:
        return self._changed(self.rows.take(rows))

    def epoch(self, batch_size: int, seed: Sequence[int] | None, plan: Plan = ALL) -> Iterator[Chunk]:
        return map(self._changed, self.rows.epoch(batch_size, seed, plan))

    def _changed(self, chunk: Chunk) -> Chunk:
        return chunk | {"labels": np.ascontiguousarray(chunk["labels"][:, self.columns])}
