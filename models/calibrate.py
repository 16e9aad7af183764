"""Thresholds per class, fitted on validation, carried by the bundle and used wherever it predicts.

Flows in: probabilities and labels of the validation split. Flows out: one threshold a class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DEFAULT_THRESHOLD = 0.5
PRIOR_POSITIVES = 10
"""A class with this many positives goes half the way from the default threshold to its own best one."""


def fit_thresholds(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> list[float]:
    """Threshold of each class that gives the best F1, drawn towards 0.5 the fewer positives the class has.

    Args:
        probabilities: (rows, classes) from 0 to 1.
        labels: (rows, classes) of 0 and 1.
    """
    thresholds = []
    for scores, truth in zip(probabilities.T, labels.T, strict=True):
        positives = int(truth.sum())
        trust = positives / (positives + PRIOR_POSITIVES)
        best = _best_f1(scores, truth) if positives else DEFAULT_THRESHOLD
        thresholds.append(round(trust * best + (1 - trust) * DEFAULT_THRESHOLD, 4))
    return thresholds


def _best_f1(scores: NDArray[np.float32], truth: NDArray[np.uint8]) -> float:
    """Halfway between the lowest score that is worth taking and the next below it."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + truth.sum())
    last = int(np.argmax(f1))
    below = scores[order[last + 1]] if last + 1 < len(order) else 0.0
    return float((scores[order[last]] + below) / 2)
