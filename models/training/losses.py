"""Losses for labels that are many and uneven.

Flows in: logits and labels (batch, classes), of 0 and 1 or, mixed, between them. Flows out: a scalar.

All are means over the batch and the classes, so that a learning rate means the same under each. Half precision goes
up to float32 first: 16 bits round away what a rare class adds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from models.settings import Loss
from pipelines.errors import TrainingError

MAX_WEIGHT: float = Loss().max_positive_weight
"""Largest weight of a class's positives where the settings say nothing else."""

_TINY = 1e-12
"""A shifted probability below this adds less than it to the loss, and its powers no longer have a slope."""


def create_loss(settings: Loss, counts: Sequence[int], rows: int) -> nn.Module:
    """The loss that the settings name.

    Args:
        settings: its name and parameters.
        counts: positives of each class in the training split.
        rows: its rows.
    """
    loss = _by_name(settings, positive_weights(counts, rows, settings.max_positive_weight))
    loss.label_smoothing = settings.label_smoothing
    return loss


def _by_name(settings: Loss, weights: Tensor) -> LabelLoss:
    match settings.name:
        case "bce":
            return WeightedBCE(weights)
        case "focal":
            return Focal(weights, settings.gamma)
        case "asymmetric":
            return Asymmetric(settings.gamma_positive, settings.gamma_negative, settings.margin)
        case "soft-f1":
            return SoftF1(settings.smoothing)
        case "hybrid":
            return Hybrid(WeightedBCE(weights), SoftF1(settings.smoothing), settings.f1_share)


def positive_weights(counts: Sequence[int], rows: int, largest: float = MAX_WEIGHT) -> Tensor:
    """Weight of each class's positives (classes,): the square root of negatives per positive, within 1 and `largest`.

    The full ratio (King and Zeng 2001) makes a class seen in 0.3 % of patches outweigh all others; its square
    root keeps rare classes in view without that.
    """
    positive = torch.tensor(counts, dtype=torch.float32).clamp_min(1)
    return ((rows - positive) / positive).clamp_min(1).sqrt().clamp_max(largest)


class LabelLoss(nn.Module):
    """What all losses do first: labels of the logits' own shape, smoothed, and both in float32 at least."""

    label_smoothing = 0.0

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of logits and labels, both (batch, classes), as a scalar of float32 at least.

        Raises:
            TrainingError: their shapes differ.
        """
        if logits.shape != labels.shape:
            raise TrainingError(f"logits are {tuple(logits.shape)}, labels {tuple(labels.shape)}", where="loss")
        wide = logits.float() if logits.itemsize < 4 else logits
        labels = labels.to(wide.dtype)
        if self.label_smoothing:
            labels = labels.lerp(torch.full_like(labels, 0.5), self.label_smoothing)
        return self.measure(wide, labels)

    def measure(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss itself, a scalar, of logits and labels of one shape and of one type, float32 at least."""
        raise NotImplementedError


class WeightedBCE(LabelLoss):
    """Binary cross-entropy; `weights` (classes,) multiply its positive part."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.weights: Tensor

    def measure(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over all decisions."""
        return binary_cross_entropy_with_logits(logits, labels, pos_weight=self.weights.to(logits.dtype))


class Focal(LabelLoss):
    """Focal loss (Lin et al. 2017): each part of the cross-entropy times (its own error) ** gamma.

    Positives are weighted as in `WeightedBCE`, in place of the paper's alpha, which is one for all classes.
    """

    def __init__(self, weights: Tensor, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weights", weights)
        self.weights: Tensor

    def measure(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over all decisions, both sides with one gamma."""
        positive = self.weights.to(logits.dtype) * labels * _focused(logits, self.gamma)
        return -(positive + (1 - labels) * _focused(-logits, self.gamma)).mean()


class Asymmetric(LabelLoss):
    """Asymmetric loss (Ridnik et al. 2021): focal, with a gamma for each side, and easy negatives dropped.

    A negative's probability p counts as max(p - margin, 0), both in its error and in its logarithm.
    """

    def __init__(self, gamma_positive: float, gamma_negative: float, margin: float) -> None:
        super().__init__()
        self.gamma_positive, self.gamma_negative, self.margin = gamma_positive, gamma_negative, margin

    def measure(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over all decisions, each side with its own gamma."""
        positive = labels * _focused(logits, self.gamma_positive)
        return -(positive + (1 - labels) * self._negative(logits)).mean()

    def _negative(self, logits: Tensor) -> Tensor:
        """q ** gamma * log(1 - q) of the shifted probability q, and 0, slope and all, where that is 0."""
        right = logsigmoid(-logits)
        if self.margin:
            right = torch.logaddexp(right, torch.full_like(right, math.log(self.margin))).clamp_max(0)
        shifted = torch.sigmoid(logits) - self.margin
        counts = shifted > _TINY
        power = torch.where(counts, shifted, 1).pow(self.gamma_negative)
        return torch.where(counts, power * right, 0)


class SoftF1(LabelLoss):
    """1 - the mean over classes of F1 in the batch, with probabilities for decisions.

    F1 = (2 sum(p y) + s) / (sum(p) + sum(y) + s), smoothed by s: a class that the batch has no positive of has
    s / (sum(p) + s), so the less it is predicted the better, and nothing is ever 0 / 0. It depends on the batch, so
    that batches of another size give another loss.
    """

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing

    def measure(self, logits: Tensor, labels: Tensor) -> Tensor:
        """1 - the mean over classes of F1, each over the batch as a whole."""
        probabilities = torch.sigmoid(logits)
        hits = (probabilities * labels).sum(0)
        total = probabilities.sum(0) + labels.sum(0)
        return 1 - ((2 * hits + self.smoothing) / (total + self.smoothing)).mean()


class Hybrid(LabelLoss):
    """(1 - share) of one loss, which has a slope for every decision, and share of soft F1, which is nearer the goal."""

    def __init__(self, main: LabelLoss, f1: SoftF1, share: float) -> None:
        super().__init__()
        self.main, self.f1, self.share = main, f1, share

    def measure(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Both losses, each by its share."""
        return (1 - self.share) * self.main.measure(logits, labels) + self.share * self.f1.measure(logits, labels)


def _focused(logits: Tensor, gamma: float) -> Tensor:
    """(1 - p) ** gamma * log(p), by logarithms: the power of a rounded 1 - p would have no finite slope."""
    return torch.exp(gamma * logsigmoid(-logits)) * logsigmoid(logits)
