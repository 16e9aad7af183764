"""Which models answer best together: greedy selection with replacement.

Caruana et al., "Ensemble selection from libraries of models", 2004: begin with the best one, add whichever helps the
mean most, itself again if it does, until nothing helps. One that is there twice counts twice.

Flows in: what each model says of the same rows, the truth, and a metric. Flows out: how often each is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import InputError

Metric = Callable[[NDArray[np.float64], NDArray[Any]], float]
"""How good probabilities (rows, classes) are for labels (rows, classes); more is better."""


def choose(probabilities: Sequence[NDArray[Any]], labels: NDArray[Any], metric: Metric, size: int) -> list[int]:
    """How often each model is taken into the mean; 0 for those that do not help. Of equals, the first.

    Args:
        probabilities: of each model, (rows, classes), calibrated.
        labels: (rows, classes) of 0 and 1.
        metric: what the mean is judged by.
        size: models in the mean, those that are there again counted again, at most.

    Raises:
        InputError: there is no model, or two do not say the same number of things; or room for none.
    """
    if not probabilities or size < 1:
        raise InputError(f"{len(probabilities)} models and room for {size} make no ensemble", where="ensemble")
    if wrong := [each.shape for each in probabilities if each.shape != labels.shape]:
        raise InputError(f"a model's probabilities are {wrong[0]}, labels {labels.shape}", where="ensemble")
    total = np.zeros(labels.shape, np.float64)
    counts, reached = [0] * len(probabilities), -np.inf
    for taken in range(1, size + 1):
        values = [metric((total + each) / taken, labels) for each in probabilities]
        best = int(np.argmax(values))
        if not values[best] > reached:
            break
        counts[best] += 1
        total += probabilities[best]
        reached = values[best]
    return counts
