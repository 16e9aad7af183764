"""The order of an epoch, and what is particular about it: which rows it draws, where it starts, whose share is dealt.

Flows in: what a training run asks for. Flows out: a `Plan`, from which every kind of `Rows` deals the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Plan:
    """By default every row once, from the first batch on, all for the one who asks.

    Args:
        weights: (rows,) of 0 and more. As many rows as there are get drawn with replacement, each by its weight's
            share of the sum. None: each row once.
        least: a last batch with fewer rows than this is joined to the one before it.
        skip: batches at the start that are not dealt: an epoch that was interrupted goes on after them.
        share: number of a worker and how many there are: of each batch it gets every so-manieth row.
    """

    weights: NDArray[np.float64] | None = None
    least: int = 1
    skip: int = 0
    share: tuple[int, int] = (0, 1)

    def steps(self, rows: int, batch_size: int) -> int:
        """Batches of an epoch, those that are skipped counted in."""
        whole, left = divmod(rows, batch_size)
        return max(1, whole + (left >= self.least)) if left else whole

    def size(self, step: int, rows: int, batch_size: int) -> int:
        """Rows of the batch `step` (from 0), of all workers together."""
        last = self.steps(rows, batch_size) - 1
        return batch_size if step < last else rows - last * batch_size

    def mine(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the rows of a batch, those of this worker."""
        number, workers = self.share
        return rows[number::workers]

    def order(self, rows: int, seed: Sequence[int] | None) -> NDArray[np.int64]:
        """Rows of an epoch, (rows,), in the order in which they are dealt: shuffled, or drawn by weight.

        Args:
            rows: how many there are.
            seed: of the order; None for the split's own, which no weights go with.
        """
        if self.weights is not None:
            assert seed is not None, "drawing needs a seed"
            return self.draw(rows, np.random.default_rng(seed))
        order = np.arange(rows)
        if seed is not None:
            np.random.default_rng(seed).shuffle(order)
        return order

    def draw(self, rows: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """As many rows as there are, drawn by weight, in the order in which they were drawn."""
        assert self.weights is not None, "there are weights to draw by"
        return generator.choice(rows, rows, p=self.weights / self.weights.sum())


ALL = Plan()
"""Every row once."""
