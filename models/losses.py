"""Losses for labels that are many and uneven.

Flows in: logits and multi-hot labels (batch, classes). Flows out: a scalar.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MAX_WEIGHT = 5.0


def positive_weights(counts: Sequence[int], rows: int) -> Tensor:
    """Weight of each class's positives: the square root of negatives per positive, within 1 and `MAX_WEIGHT`.

    The full ratio (King and Zeng 2001) makes a class seen in 0.3 % of patches outweigh all others; its square
    root keeps rare classes in view without that.
    """
    positive = torch.tensor(counts, dtype=torch.float32).clamp_min(1)
    return ((rows - positive) / positive).clamp_min(1).sqrt().clamp_max(MAX_WEIGHT)


def weighted_bce(counts: Sequence[int], rows: int) -> nn.Module:
    """Binary cross-entropy over classes, positives weighted by `positive_weights`."""
    return nn.BCEWithLogitsLoss(pos_weight=positive_weights(counts, rows))
