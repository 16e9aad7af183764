"""What every threshold of a class would give: the numbers below all curves.

Flows in: scores and the truth, (rows,). Flows out: hits and predictions from each distinct score up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.measure.checks import Probabilities

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Sweep:
    """One entry a distinct score, the highest first: a class predicted from `scores[i]` up is predicted `taken[i]`
    times, `hits[i]` of them rightly."""

    scores: Values
    taken: NDArray[np.int64]
    hits: NDArray[np.int64]
    rows: int

    @property
    def positives(self) -> int:
        """Rows that have the class."""
        return int(self.hits[-1])

    @property
    def negatives(self) -> int:
        """Rows that have it not."""
        return self.rows - self.positives

    @property
    def recall(self) -> Values:
        """Needs a positive."""
        return self.hits / self.positives

    @property
    def precision(self) -> Values:
        """Share of the predicted that is right; from every score up, at least one is predicted."""
        return self.hits / self.taken

    @property
    def false_alarms(self) -> Values:
        """Share of the negatives that are predicted; needs a negative."""
        return (self.taken - self.hits) / self.negatives

    def at(self, thresholds: Values) -> tuple[Values, Values]:
        """How often the class is predicted from each of these thresholds up, and how often rightly."""
        count = np.searchsorted(-self.scores, -thresholds, side="right")
        return np.concatenate([[0], self.taken])[count].astype(float), np.concatenate([[0], self.hits])[count].astype(
            float
        )


def sweep(scores: Probabilities, truth: NDArray[np.uint8]) -> Sweep:
    """Sort once, count from the top; rows with equal scores are taken together."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order].astype(np.float64)
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(truth[order], dtype=np.int64)
    return Sweep(ordered[last], last + 1, hits[last], len(ordered))


def sweep_classes(probabilities: Probabilities, labels: NDArray[np.uint8]) -> list[Sweep]:
    """One a column."""
    return [sweep(scores, truth) for scores, truth in zip(probabilities.T, labels.T, strict=True)]
