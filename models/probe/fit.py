"""A logistic regression a class on standardised features, its strength chosen on validation.

Flows in: features and labels of the training and the validation split. Flows out: a `Regression` on features as they
are: standardisation is folded into its weights, so that a net's own last layer can hold it.

All classes are fitted together by L-BFGS, from the strongest penalty to the weakest, each from where the one before
came to: the whole path costs little more than its last step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
"""What is tried: λ of mean cross-entropy + λ/2 |w|², of each class, on features of variance 1."""

STEPS = 200
"""Of L-BFGS for one strength, at most."""

FLAT = 1e-6
"""A feature whose deviation is less than this share of the largest is the same everywhere, and gets no weight."""

Features = NDArray[np.float32]
Judge = Callable[[NDArray[np.float32]], float]
"""How good logits (rows, classes) of the validation split are; more is better."""


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of each feature over the training split, (features,); the deviation is infinite where flat."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def __call__(self, features: Features) -> Features:
        """Standardised, (rows, features)."""
        away: Features = features - self.mean.astype(np.float32)
        away /= self.deviation.astype(np.float32)
        return away


@dataclass(frozen=True)
class Regression:
    """logits = features @ weight.T + bias.

    Args:
        weight, bias: (classes, features) and (classes,).
        strength: of the penalty that was chosen.
        tried: strength to what the validation split said of it; empty where nobody asked it.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    strength: float
    tried: dict[float, float]

    def logits(self, features: Features) -> NDArray[np.float32]:
        """(rows, classes)."""
        return (features @ self.weight.T + self.bias).astype(np.float32)


def scale_of(features: Features) -> Scale:
    """Of the training split's features (rows, features)."""
    mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    return Scale(mean, np.where(deviation > FLAT * max(float(deviation.max()), FLAT), deviation, np.inf))


def fit(features: Features, labels: NDArray[np.uint8], validation: Features, judge: Judge) -> Regression:
    """Fit each strength, and keep what `judge` likes best; of equals the strongest.

    Args:
        features, labels: of the training split, (rows, features) and (rows, classes).
        validation: its features, (rows, features).
        judge: of logits of the validation split.
    """
    found: Regression | None = None
    tried: dict[float, float] = {}
    for here in path(features, labels):
        tried[here.strength] = judge(here.logits(validation))
        if found is None or tried[here.strength] > tried[found.strength]:
            found = here
    assert found is not None
    return replace(found, tried=tried)


def path(features: Features, labels: NDArray[np.uint8]) -> Iterator[Regression]:
    """The regression of each strength, from the strongest penalty to the weakest.

    A class that no training patch has, or that all have, gets no weights: its logit is that of its frequency, by which
    half a patch is added to either side. Where all classes are such, there is one regression.

    Args:
        features, labels: of the training split, (rows, features) and (rows, classes).
    """
    scale = scale_of(features)
    inputs = torch.from_numpy(scale(features))
    truth = torch.from_numpy(labels.astype(np.float32))
    count = labels.sum(0, dtype=np.float64)
    bias = np.log((count + 0.5) / (len(labels) - count + 0.5))
    learnt = np.flatnonzero((count > 0) & (count < len(labels)))
    weight = np.zeros((labels.shape[1], features.shape[1]))
    state = [torch.zeros(features.shape[1], len(learnt)), torch.from_numpy(bias[learnt]).float()]
    for strength in STRENGTHS if len(learnt) else STRENGTHS[:1]:
        state = _descend(inputs, truth[:, learnt], state, strength)
        weight[learnt], bias[learnt] = state[0].T.double().numpy(), state[1].double().numpy()
        folded = weight / scale.deviation
        yield Regression(folded, bias - folded @ scale.mean, strength, {})


def _descend(inputs: Tensor, truth: Tensor, start: list[Tensor], strength: float) -> list[Tensor]:
    """Weight (features, classes) and bias (classes,) at the lowest penalised loss."""
    if not truth.shape[1]:
        return start
    weight, bias = (each.clone().requires_grad_() for each in start)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=STEPS,
        history_size=10,
        tolerance_grad=1e-5,
        tolerance_change=1e-8,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        entropy = functional.binary_cross_entropy_with_logits(inputs @ weight + bias, truth, reduction="sum")
        value: Tensor = entropy / len(truth) + strength / 2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]  # torch leaves it without types
    return [weight.detach(), bias.detach()]
