"""Temperature, fitted on validation, and with the thresholds carried by the bundle and used wherever it predicts.

Flows in: logits or probabilities, and labels, of the validation split, never of another. Flows out: a `Calibration`,
and what it changes on any split.

One temperature divides all logits, so the order of all decisions stays as it is: average precision, ROC AUC and the
ranking metrics do not change, probabilities and the calibration error do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.measure.checks import Labels, check_labels, check_probabilities, check_unnamed
from models.measure.metrics import DEFAULT_THRESHOLD, calibration_error, decide, decision_metrics
from models.measure.thresholds import fit_thresholds
from pipelines.errors import InputError

STEPS = 60
"""Of the search for the temperature, at most; it takes about 8."""

TEMPERATURES = (0.1, 10.0)
"""Lowest and highest that is fitted: beyond them it is the validation split that is too small, not the net."""


@dataclass(frozen=True)
class Calibration:
    """What turns logits into decisions: sigmoid(logits / temperature) at or above the class's threshold.

    `thresholds`: (classes,), from 0 to 1.
    """

    temperature: float
    thresholds: list[float]

    def probabilities(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Of logits (rows, classes), in float32."""
        return (torch.from_numpy(logits) / self.temperature).sigmoid().float().numpy()


def fit_calibration(logits: NDArray[np.floating[Any]], labels: NDArray[Any], beta: float = 1.0) -> Calibration:
    """The temperature, and the thresholds of the probabilities that it leads to; see the two fits.

    Args:
        logits: (rows, classes) of the validation split.
        labels: (rows, classes) of 0 and 1.
        beta: 1 for F1, 2 for F2.

    Raises:
        InputError: see `fit_temperature`.
    """
    temperature = fit_temperature(logits, labels)
    probabilities = Calibration(temperature, []).probabilities(logits)
    return Calibration(temperature, fit_thresholds(probabilities, labels, beta))


def fit_temperature(logits: NDArray[np.floating[Any]], labels: NDArray[Any]) -> float:
    """Temperature at which the mean binary cross-entropy of all decisions is lowest (Guo et al. 2017).

    Never one that is worse than 1, and exactly 1 where nothing can be learned: labels all alike, or logits all 0.

    Args:
        logits: (rows, classes) of the validation split.
        labels: (rows, classes) of 0 and 1.

    Raises:
        InputError: shapes do not fit each other, nothing to fit on, or logits that are no finite numbers.
    """
    truth = check_unnamed(labels)
    if logits.shape != truth.shape or not np.isfinite(logits).all():
        raise InputError(f"logits are {logits.shape} or not finite, labels {truth.shape}", where="logits")
    if truth.all() or not truth.any():
        return 1.0
    numbers, kinds = torch.from_numpy(logits.ravel()).double(), torch.from_numpy(truth.ravel()).double()
    temperature = 1 / _sharpness(numbers, float((numbers * kinds).mean()))
    return temperature if _entropy(numbers / temperature, kinds) < _entropy(numbers, kinds) else 1.0


def calibration_effect(
    calibration: Calibration, logits: NDArray[np.floating[Any]], labels: NDArray[Any], label_names: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Metrics `without` and `with` a calibration, of those that it can change: decisions, `ece`, and `bce`.

    `bce` is the mean binary cross-entropy of all decisions. Without means temperature 1 and thresholds of 0.5.

    Args:
        logits: (rows, classes) of any split.
        labels: (rows, classes) of 0 and 1.
        label_names: one a column.

    Raises:
        InputError: shapes do not fit each other, nothing to score, or values that are no labels or finite logits.
    """
    truth = check_labels(labels, label_names)
    plain = Calibration(1.0, [DEFAULT_THRESHOLD] * len(label_names))
    return {name: _of(one, logits, truth) for name, one in (("without", plain), ("with", calibration))}


def _of(calibration: Calibration, logits: NDArray[np.floating[Any]], truth: Labels) -> dict[str, float | None]:
    scores = check_probabilities(calibration.probabilities(logits), truth)
    values, _ = decision_metrics(decide(scores, calibration.thresholds), truth)
    values["ece"] = calibration_error(scores, truth)
    values["bce"] = _entropy(torch.from_numpy(logits).double() / calibration.temperature, torch.from_numpy(truth))
    return {key: None if np.isnan(value) else value for key, value in values.items()}


def _sharpness(logits: Tensor, mean_of_positive: float) -> float:
    """1 / temperature: where the slope of the cross-entropy, which is convex in it, is 0, or the nearest bound.

    Newton's steps, each kept between the bounds that the slopes so far have set.
    """

    def slopes(sharpness: float) -> tuple[float, float]:
        weighted = torch.sigmoid(logits * sharpness) * logits
        return float(weighted.mean()) - mean_of_positive, float((weighted * (logits - weighted)).mean())

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    for bound, beyond in ((low, slopes(low)[0] >= 0), (high, slopes(high)[0] <= 0)):
        if beyond:
            return bound
    sharpness = 1.0
    for _ in range(STEPS):
        slope, curvature = slopes(sharpness)
        low, high = (low, sharpness) if slope > 0 else (sharpness, high)
        step = sharpness - slope / curvature if curvature > 0 else math.inf
        nearer = step if low <= step <= high else (low + high) / 2
        if abs(nearer - sharpness) < 1e-9 * sharpness:
            break
        sharpness = nearer
    return sharpness


def _entropy(logits: Tensor, labels: Tensor) -> float:
    return float(torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype)))
