"""Rows to batches on the device: shuffled, each row exactly once an epoch, all bands brought to one grid.

Flows in: `Rows`. Flows out: (images, labels): float32 digital numbers (batch, bands, size, size) in the order
of the rows' bands, and float32 labels (batch, classes). Normalisation is not done here: it is part of the net,
so that what was trained is what is served.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.errors import PatchError
from pipelines.feed import Rows
from pipelines.prefetch import prefetch

AHEAD = 2
"""Batches made while one is used."""


def assemble(
    pixels: Mapping[str, NDArray[Any]], bands: Sequence[str], size: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Bring native-resolution bands to one grid by repeating pixels, on the device.

    Args:
        pixels: band to (batch, h, h) array; `size` must be a multiple of each h.
        bands: the channels of the result, in order.
        size: pixels a side of the result.

    Returns:
        float32 (batch, bands, size, size), the digital numbers unchanged.

    Raises:
        PatchError: a band's grid does not divide `size`.
    """
    count = len(pixels[bands[0]])
    images = _empty((count, len(bands), size, size), torch.device(device))
    for channel, band in enumerate(bands):
        native = torch.from_numpy(np.ascontiguousarray(pixels[band])).to(device, non_blocking=True)
        side = native.shape[-1]
        if size % side:
            raise PatchError(f"{side} px do not fit {size} px", where=band, hint="Send the band at 10, 20 or 60 m.")
        rows = native if side == size else native.to(torch.float32).repeat_interleave(size // side, dim=2)
        # Each row is written to the rows of the target that it stands for, without a copy of them in between.
        images[:, channel].view(count, side, size // side, size).copy_(rows[:, :, None])
    return images


def _empty(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """A tensor to be filled. On a CPU numpy gets the memory: it asks for huge pages, and 44 MB then take 20 page
    faults in place of 11,000, which cost more than all the rest of a batch."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, dtype=torch.float32, device=device)


class Batches:
    """Re-iterable batches of rows; every iteration is one epoch with its own order, drawn from the seed."""

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        size: int,
        *,
        device: torch.device | str = "cpu",
        shuffle_seed: int | None = None,
        ahead: int = AHEAD,
    ) -> None:
        self.rows, self.batch_size, self.size, self.device = rows, batch_size, size, device
        self.shuffle_seed, self.ahead = shuffle_seed, ahead
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        seed = None if self.shuffle_seed is None else (self.shuffle_seed, self.epoch)
        self.epoch += 1
        return prefetch(lambda: self._make(seed), self.ahead)

    def _make(self, seed: tuple[int, int] | None) -> Iterator[tuple[Tensor, Tensor]]:
        for chunk in self.rows.epoch(self.batch_size, seed):
            labels = torch.from_numpy(chunk["labels"]).to(self.device, torch.float32)
            yield assemble(chunk, self.rows.bands, self.size, self.device), labels
