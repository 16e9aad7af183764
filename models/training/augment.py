"""Augmentation: what may change about a patch without changing what is on it, and mixtures of patches.

Flows in: a training batch on its device: float32 digital numbers (batch, bands, size, size), before normalisation,
and float32 labels (batch, classes). Flows out: the same in shape, type and device; what flowed in is left as it was.

Each sample has its own draw. All are made on the CPU from the generator that is passed in, so that a resumed run
repeats them and a GPU gets the same ones; only the drawn numbers travel to the device.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.settings import Augment

MAX_ELONGATION = 1 / 0.3
"""Longer side of an erased rectangle to its shorter one: 1 / r1 of Zhong et al. 2020."""

MAX_DEVIATIONS = 3.0
"""Where the normal draws of `jitter` are cut, so that no factor is near zero, and their mean stays 1."""


def augment(images: Tensor, labels: Tensor, settings: Augment, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Apply what is switched on, in this order: flips, rotation, erasing, jitter, mixup.

    What is switched off draws nothing from the generator. Labels stay 0 or 1, unless mixup puts them between.
    """
    if settings.flips:
        images = turn_and_flip(images, generator)
    if settings.rotation:
        images = rotate(images, settings.rotation, generator)
    if settings.erasing:
        images = erase(images, settings.erasing, settings.erasing_area, generator)
    if settings.jitter:
        images = jitter(images, settings.jitter, generator)
    if settings.mixup:
        images, labels = mixup(images, labels, settings.mixup, generator)
    return images, labels


def turn_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Apply one of the eight symmetries of the square to each sample: from above, no direction is the upper one."""
    batch, bands, size, _ = images.shape
    choice = torch.randint(8, (batch,), generator=generator).to(images.device)
    grid = torch.arange(size * size, device=images.device).view(size, size)
    turned = torch.stack([torch.rot90(grid, quarter) for quarter in range(4)])
    sources = torch.cat([turned, turned.flip(2)]).flatten(1)[choice]
    # One pass over the pixels, whatever was drawn: half the time of turning the samples of each symmetry in turn.
    return images.flatten(2).gather(2, sources[:, None].expand(-1, bands, -1)).view(images.shape)


def rotate(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Turn each sample about its centre by an angle drawn evenly from -`degrees` to `degrees`, bilinearly.

    What comes into view from beyond the edge is the patch mirrored there.
    """
    angles = torch.empty(len(images)).uniform_(-1, 1, generator=generator) * math.radians(degrees)
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    matrices = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3).to(images.device)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def erase(images: Tensor, chance: float, largest: float, generator: torch.Generator) -> Tensor:
    """Fill a rectangle of some samples with the sample's mean of each band (Zhong et al. 2020).

    Args:
        images: the batch.
        chance: of each sample to lose a rectangle.
        largest: share of the area up to which the rectangle's is drawn, evenly; it has a pixel at least.
        generator: what is drawn from.
    """
    top, bottom, left, right = _rectangles(len(images), images.shape[-1], chance, largest, generator).to(images.device)
    line = torch.arange(images.shape[-1], device=images.device)
    rows = (line >= top[:, None]) & (line < bottom[:, None])
    columns = (line >= left[:, None]) & (line < right[:, None])
    hole = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(hole, images.mean((2, 3), keepdim=True), images)


def _rectangles(batch: int, size: int, chance: float, largest: float, generator: torch.Generator) -> Tensor:
    """First row, row after the last, first column, column after the last: int64 (4, batch); empty where not drawn."""
    drawn, area, shape, down, across = torch.rand(5, batch, generator=generator, dtype=torch.float64)
    area = area * largest
    # Only shapes that fit: a large rectangle cannot be long.
    elongation = torch.exp((2 * shape - 1) * area.log().neg().clamp_max(math.log(MAX_ELONGATION)))
    height = ((area * elongation).sqrt() * size).long().clamp_min(1)
    width = ((area / elongation).sqrt() * size).long().clamp_min(1)
    top, left = (down * (size - height + 1)).long(), (across * (size - width + 1)).long()
    return torch.stack([top, top + height * (drawn < chance), left, left + width])


def jitter(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Multiply each band of each sample by its own factor, normal about 1, cut at `MAX_DEVIATIONS`.

    Args:
        images: the batch.
        deviation: standard deviation of the factors; below 1 / `MAX_DEVIATIONS`, so that they are positive.
        generator: what is drawn from.
    """
    normal = torch.randn(images.shape[:2], generator=generator).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)
    return images * (1 + deviation * normal).to(images.device)[:, :, None, None]


def mixup(images: Tensor, labels: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mix each sample with another of the batch, and their labels alike (Zhang et al. 2018).

    The share that a sample keeps is drawn from Beta(`alpha`, `alpha`). Mixing digital numbers is mixing normalised
    ones, as normalisation is linear.
    """
    order = torch.randperm(len(images), generator=generator).to(images.device)
    # torch's own Beta takes no generator; numpy's does, and is exact for small alpha, where gammas underflow.
    seed = int(torch.randint(2**62, (1,), generator=generator))
    shares = np.random.default_rng(seed).beta(alpha, alpha, len(images)).astype(np.float32)
    kept = torch.from_numpy(shares).to(images.device)
    return images[order].lerp_(images, kept[:, None, None, None]), labels[order].lerp_(labels, kept[:, None])
