"""How often each training row is drawn, where rare classes are to be seen more often than they occur.

Flows in: labels of the training split. Flows out: a weight a row, for sampling with replacement.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def sample_weights(labels: NDArray[Any]) -> NDArray[np.float64]:
    """Relative chance of each row to be drawn, (rows,), with mean 1.

    A row weighs what its rarest class does, and a class sqrt(rows / rows that have it): a class seen in 1 % of rows is
    drawn about ten times as often as one seen in all, not a hundred times, so that its few rows are not learned by
    heart. Rows without any class count as one class of their own.

    Args:
        labels: (rows, classes) of 0 and 1.
    """
    present = labels != 0
    classes = np.column_stack([present, ~present.any(axis=1)])
    weights = np.sqrt(len(labels) / np.maximum(classes.sum(axis=0), 1))
    rarest: NDArray[np.float64] = np.where(classes, weights, 0).max(axis=1, initial=0)
    return rarest / rarest.mean() if len(rarest) else rarest
