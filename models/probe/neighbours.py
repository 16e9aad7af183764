"""Nearest neighbours on the same features: what can be said of a patch without fitting anything.

Flows in: standardised features of the training split, with its labels. Flows out: probabilities of other patches: the
share of a patch's nearest training patches that have a class, the nearer counting more.

Near is what has a high cosine: weights are exp(cosine / 0.07), as in Wu et al., "Unsupervised feature learning via
non-parametric instance discrimination", 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.probe.fit import Features

COUNTS = (1, 3, 10, 30, 100)
"""How many neighbours are tried."""

TEMPERATURE = 0.07

_CELLS = 2**25
"""Similarities that are held at a time: 128 MiB."""


@dataclass(frozen=True)
class Neighbours:
    """Training patches to compare with.

    Args:
        features: standardised, (rows, features).
        labels: (rows, classes).
    """

    features: Features
    labels: NDArray[np.uint8]

    def probabilities(self, features: Features, count: int) -> NDArray[np.float32]:
        """Of other patches' standardised features, (rows, classes), by the `count` nearest."""
        known = functional.normalize(torch.from_numpy(self.features))
        truth = torch.from_numpy(self.labels.astype(np.float32))
        asked = functional.normalize(torch.from_numpy(features))
        parts = torch.split(asked, max(1, _CELLS // len(known)))
        return torch.cat([_vote(part @ known.T, truth, count) for part in parts]).clamp(0, 1).numpy()

    def choose(self, features: Features, judge: Callable[[NDArray[np.float32]], float]) -> int:
        """The number of neighbours whose probabilities of these patches `judge` likes best; of equals the smallest."""
        counts = [each for each in COUNTS if each <= len(self.features)]
        return max(counts, key=lambda count: (judge(self.probabilities(features, count)), -count))


def _vote(similar: Tensor, truth: Tensor, count: int) -> Tensor:
    near, place = similar.topk(count, dim=1)
    weight = functional.softmax(near / TEMPERATURE, dim=1)
    return (weight[:, :, None] * truth[place]).sum(1)
