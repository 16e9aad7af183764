"""Kernels that nobody trained: small squares of a dataset's own pixels, whitened.

Neighbouring pixels and neighbouring bands say nearly the same, so a square as it is answers to brightness and to little
else. Whitening divides by what all squares have in common (ZCA, Coates and Ng 2011): each kernel then answers to what
sets its square apart. It is linear, and so lies in the kernel itself.

Flows in: the training split, and a net of random convolutions. Flows out: that net, its kernels drawn from the split.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.nets.build import ReflectanceNet
from models.nets.random_convolutions import KERNELS, SIDE, RandomConvolutions
from pipelines.feeding.batches import assemble
from pipelines.feeding.rows import Rows

PATCHES, SQUARES = 512, 40
"""Patches that squares are taken from, at most, and squares of each."""

RIDGE = 0.01
"""Share of the mean variance that is added to each: directions in which there is nothing but noise stay small."""

_AT_ONCE = 64


def draw_kernels(net: ReflectanceNet, rows: Rows, size: int, seed: int) -> None:
    """Fill the kernels of a net of random convolutions, in place, from patches of the training split.

    Args:
        net: its backbone is `RandomConvolutions`, on the CPU.
        rows: with the net's bands in its order.
        size: pixels a side that patches are brought to.
        seed: of what is drawn.
    """
    backbone = net.backbone
    assert isinstance(backbone, RandomConvolutions)
    rng = np.random.default_rng([seed, 7])
    squares = _squares(net, rows, size, rng)
    mean = squares.mean(0)
    away = squares - mean
    values, axes = torch.linalg.eigh(away.T @ away / len(away))
    values = values.clamp_min(0)
    whiten = axes @ torch.diag((values + RIDGE * values.mean() + 1e-12).rsqrt()) @ axes.T
    chosen = away[torch.from_numpy(rng.choice(len(away), KERNELS, replace=len(away) < KERNELS))] @ whiten
    kernels = chosen / chosen.norm(dim=1, keepdim=True).clamp_min(1e-12) @ whiten
    with torch.no_grad():
        backbone.features.weight.copy_(kernels.view(KERNELS, len(rows.bands), SIDE, SIDE))
        assert backbone.features.bias is not None
        backbone.features.bias.copy_(-(kernels @ mean))


def _squares(net: ReflectanceNet, rows: Rows, size: int, rng: np.random.Generator) -> Tensor:
    """Squares of normalised pixels, float64 (squares, bands × SIDE × SIDE)."""
    taken = np.sort(rng.choice(len(rows), min(PATCHES, len(rows)), replace=False))
    found = []
    for start in range(0, len(taken), _AT_ONCE):
        chunk = rows.take(taken[start : start + _AT_ONCE])
        with torch.no_grad():
            images = net.prepare(assemble(chunk, rows.bands, size))
        windows = images.unfold(2, SIDE, 1).unfold(3, SIDE, 1)  # (patches, bands, down, right, SIDE, SIDE), no copy
        down, right = (torch.from_numpy(rng.integers(0, each, (len(images), SQUARES))) for each in windows.shape[2:4])
        patch = torch.arange(len(images))[:, None]
        found.append(windows.permute(0, 2, 3, 1, 4, 5)[patch, down, right].flatten(0, 1).flatten(1).double())
    return torch.cat(found)
