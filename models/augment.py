"""Augmentation that keeps a patch a patch: seen from above, north is as good as any direction.

Flows in: a batch (batch, bands, size, size) on its device. Flows out: the same, each sample flipped and turned
by its own draw.
"""

from __future__ import annotations

import torch
from torch import Tensor


def turn_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Apply one of the eight symmetries of the square to each sample."""
    choice = torch.randint(8, (len(images),), generator=generator)
    result = torch.empty_like(images)
    for symmetry in range(8):
        rows = (choice == symmetry).nonzero().flatten().to(images.device)
        if len(rows):
            turned = torch.rot90(images[rows], symmetry % 4, (2, 3))
            result[rows] = turned.flip(3) if symmetry >= 4 else turned
    return result
