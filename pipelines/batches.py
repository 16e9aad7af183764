"""Arrays to batches on the device: shuffled, each row exactly once an epoch, all bands brought to one grid.

Flows in: a `Split`. Flows out: (images, labels): float32 digital numbers (batch, bands, size, size) in the order
of the split's bands, and float32 labels (batch, classes). Normalisation is not done here: it is part of the net,
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
from pipelines.feed import Split


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
    first = pixels[bands[0]]
    images = torch.empty((len(first), len(bands), size, size), dtype=torch.float32, device=device)
    for channel, band in enumerate(bands):
        native = torch.from_numpy(np.ascontiguousarray(pixels[band])).to(device)
        side = native.shape[-1]
        if size % side:
            raise PatchError(f"{side} px do not fit {size} px", where=band, hint="Send the band at 10, 20 or 60 m.")
        rows = native if side == size else native.to(torch.float32).repeat_interleave(size // side, dim=2)
        # Each row is written to the rows of the target that it stands for, without a copy of them in between.
        images[:, channel].view(len(first), side, size // side, size).copy_(rows[:, :, None])
    return images


class Batches:
    """Re-iterable batches of a split; every iteration is one epoch with its own order, drawn from the seed."""

    def __init__(
        self,
        split: Split,
        batch_size: int,
        size: int,
        *,
        device: torch.device | str = "cpu",
        shuffle_seed: int | None = None,
    ) -> None:
        self.split, self.batch_size, self.size, self.device = split, batch_size, size, device
        self.shuffle_seed = shuffle_seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rows = np.arange(len(self.split))
        if self.shuffle_seed is not None:
            np.random.default_rng((self.shuffle_seed, self.epoch)).shuffle(rows)
        self.epoch += 1
        for start in range(0, len(rows), self.batch_size):
            chunk = self.split.take(rows[start : start + self.batch_size])
            labels = torch.from_numpy(chunk["labels"]).to(self.device, torch.float32)
            yield assemble(chunk, self.split.bands, self.size, self.device), labels
