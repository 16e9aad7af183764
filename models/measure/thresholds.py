"""The probability from which a class is predicted, fitted on validation.

Flows in: probabilities and labels, (rows, classes), of the validation split, never of another. Flows out: a threshold a
class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.measure.checks import Labels, Probabilities, check_probabilities, check_unnamed
from models.measure.metrics import DEFAULT_THRESHOLD

PRIOR_POSITIVES = 10
"""A class with this many positives goes half the way from the default threshold to its own best one."""


def fit_thresholds(probabilities: NDArray[np.floating[Any]], labels: NDArray[Any], beta: float = 1.0) -> list[float]:
    """Threshold of each class that gives the best F-beta, drawn towards 0.5 the fewer positives the class has.

    A class without positives gets 0.5.

    Args:
        probabilities: (rows, classes) from 0 to 1.
        labels: (rows, classes) of 0 and 1.
        beta: 1 for F1, 2 for F2, which counts recall twice.

    Raises:
        InputError: shapes do not fit each other, nothing to fit on, or values that are no probabilities or labels.
    """
    truth = check_unnamed(labels)
    scores = check_probabilities(probabilities, truth)
    positives = truth.sum(axis=0, dtype=np.float64)
    trust = positives / (positives + PRIOR_POSITIVES)
    best = np.array([_best_threshold(one, kind, beta) for one, kind in zip(scores.T, truth.T, strict=True)])
    thresholds: list[float] = (DEFAULT_THRESHOLD + trust * (best - DEFAULT_THRESHOLD)).tolist()
    return thresholds


def _best_threshold(scores: Probabilities, truth: Labels, beta: float) -> float:
    """Halfway between the lowest score that is worth taking and the next below it; equal scores go together."""
    order = np.argsort(-scores)
    ranked = scores[order].astype(np.float64)
    hits = np.cumsum(truth[order], dtype=np.int64)
    if not hits[-1]:
        return DEFAULT_THRESHOLD
    value = (1 + beta**2) * hits / (np.arange(1, len(order) + 1) + beta**2 * hits[-1])
    value[:-1][ranked[1:] == ranked[:-1]] = -1
    last = int(np.argmax(value))
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    middle = float((ranked[last] + below) / 2)
    return middle if middle > below else float(ranked[last])
