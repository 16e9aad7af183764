"""What metrics and calibration accept: one place that says so, before anything is computed.

Flows in: arrays as they were read or predicted. Flows out: the same as contiguous arrays of few types, or an
InputError that says what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import InputError

Probabilities: TypeAlias = NDArray[np.floating[Any]]
Labels: TypeAlias = NDArray[np.uint8]


def check_labels(labels: NDArray[Any], label_names: Sequence[str], what: str = "labels") -> Labels:
    """Labels (rows, classes) as contiguous uint8.

    Raises:
        InputError: another shape, no rows, a name given twice, or a value that is neither 0 nor 1.
    """
    if labels.ndim != 2 or labels.shape[1] != len(label_names):
        raise InputError(f"{what} of shape {labels.shape} for {len(label_names)} label names", where=what)
    if len(set(label_names)) != len(label_names):
        raise InputError("a label name is given twice", where="label names")
    if not labels.size:
        raise InputError("there is nothing to score", where=what)
    if not ((labels == 0) | (labels == 1)).all():
        raise InputError("values are not all 0 or 1", where=what)
    return np.ascontiguousarray(labels, np.uint8)


def check_unnamed(labels: NDArray[Any]) -> Labels:
    """Labels of classes whose names do not matter, (rows, classes), as uint8; raises what `check_labels` does."""
    return check_labels(labels, [str(column) for column in range(labels.shape[-1])])


def check_probabilities(probabilities: Probabilities, labels: Labels) -> Probabilities:
    """Probabilities of the labels' shape, contiguous, as float32 or float64.

    Raises:
        InputError: another shape, or a value that is not from 0 to 1.
    """
    if probabilities.shape != labels.shape:
        raise InputError(f"probabilities are {probabilities.shape}, labels {labels.shape}", where="probabilities")
    narrow = probabilities.dtype in (np.float16, np.float32)
    scores: Probabilities = np.ascontiguousarray(probabilities, np.float32 if narrow else np.float64)
    if not (scores.min() >= 0 and scores.max() <= 1):  # either is NaN where any value is
        hint = "Give the sigmoid of the logits."
        raise InputError("values are not all from 0 to 1", where="probabilities", hint=hint)
    return scores
