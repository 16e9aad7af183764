"""Rows to batches on the device: shuffled, each row exactly once an epoch, all bands brought to one grid.

Flows in: `Rows`. Flows out: (images, labels): float32 digital numbers (batch, bands, size, size) in the order
of the rows' bands, and float32 labels (batch, classes). Normalisation is not done here: it is part of the net,
so that what was trained is what is served.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.errors import PatchError
from pipelines.feeding.epoch_order import ALL, Plan
from pipelines.feeding.prefetch import prefetch
from pipelines.feeding.rows import Rows

AHEAD = 2
"""Batches made while one is used."""


def assemble(
    pixels: Mapping[str, NDArray[Any]],
    bands: Sequence[str],
    size: int,
    device: torch.device | str = "cpu",
    buffers: Buffers | None = None,
) -> Tensor:
    """Bring native-resolution bands to one grid by repeating pixels, on the device.

    Args:
        pixels: band to (batch, h, h) array; `size` must be a multiple of each h.
        bands: the channels of the result, in order.
        size: pixels a side of the result.
        buffers: where a batch on the CPU gets its memory; None for memory of its own.

    Returns:
        float32 (batch, bands, size, size), the digital numbers unchanged.

    Raises:
        PatchError: a band's grid does not divide `size`.
    """
    for band in bands:
        side = pixels[band].shape[-1]
        if size % side:
            raise PatchError(f"{side} px do not fit {size} px", where=band, hint="Send the band at 10, 20 or 60 m.")
    shape = (len(pixels[bands[0]]), len(bands), size, size)
    if torch.device(device).type == "cpu":
        target = (buffers or Buffers()).take(shape)
        for channel, band in enumerate(bands):
            _repeat(pixels[band], target[:, channel])
        return torch.from_numpy(target)
    images = torch.empty(shape, dtype=torch.float32, device=device)
    for channel, band in enumerate(bands):
        repeat_on_device(torch.from_numpy(np.ascontiguousarray(pixels[band])), images[:, channel])
    return images


def repeat_on_device(native: Tensor, target: Tensor) -> None:
    """Fill (batch, size, size) on a device with (batch, h, h) from the host: few bytes travel, many are made there."""
    count, side, size = len(native), native.shape[-1], target.shape[-1]
    rows = native.to(target.device, torch.float32).repeat_interleave(size // side, dim=2)
    target.view(count, side, size // side, size).copy_(rows[:, :, None])


def _repeat(native: NDArray[Any], target: NDArray[np.float32]) -> None:
    """Fill (batch, size, size) with (batch, h, h). By numpy: torch's threads wait for each other at every band, which
    on busy cores costs more than the work."""
    count, side, size = len(native), native.shape[-1], target.shape[-1]
    if side == size:
        np.copyto(target, native)
        return
    factor = size // side
    wide = np.empty((count, side, 1, side, factor), np.float32)
    for place in range(factor):
        wide[:, :, 0, :, place] = native
    # Each row is written to the rows of the target that it stands for, without a copy of them in between.
    target.reshape(count, side, factor, size)[...] = wide.reshape(count, side, 1, size)


class Buffers:
    """Memory of batches that nobody holds any more, to be filled again.

    A fresh batch of 44 MB costs 11,000 page faults, more than all the rest of it. (numpy's arrays also ask for huge
    pages, which torch's do not.) A tensor holds on to the array it was made from, and so does every view of it: an
    array that only this list knows is free.
    """

    _KEPT = 4  # two made ahead, one in use, one being filled

    def __init__(self) -> None:
        self._arrays: list[NDArray[np.float32]] = []

    def take(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array of this shape with anything in it."""
        for place in range(len(self._arrays)):
            if self._arrays[place].shape == shape and sys.getrefcount(self._arrays[place]) == _UNUSED:
                return self._arrays[place]
        array = np.empty(shape, np.float32)
        self._arrays = [*self._arrays[1 - self._KEPT :], array]
        return array


_UNUSED = 2
"""References to what only a list holds, as `sys.getrefcount` counts them: the list's, and that of its own argument."""


class Batches:
    """Re-iterable batches of rows; every iteration is one epoch with its own order, drawn from the seed.

    What the rows and `assemble` raise is raised while iterating.

    Args:
        rows: whose bands become the channels, in their order.
        batch_size: rows a batch, of all workers together.
        size: pixels a side that all bands are brought to.
        shuffle_seed: with the number of the epoch, what its order is drawn from; None for the rows' own order.
        ahead: batches made in a thread while one is used; 0 for no thread.
        plan: which rows, from which batch on, and whose share of them.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        size: int,
        *,
        device: torch.device | str = "cpu",
        shuffle_seed: int | None = None,
        ahead: int = AHEAD,
        plan: Plan = ALL,
    ) -> None:
        self.rows, self.batch_size, self.size, self.device = rows, batch_size, size, device
        self.shuffle_seed, self.ahead, self.plan = shuffle_seed, ahead, plan
        self.epoch = 0
        self._buffers = Buffers()

    def __len__(self) -> int:
        """Batches of an epoch, those that the plan skips counted in."""
        return self.plan.steps(len(self.rows), self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        seed = None if self.shuffle_seed is None else (self.shuffle_seed, self.epoch)
        self.epoch += 1
        plan = self.plan
        return prefetch(lambda: self._make(seed, plan), self.ahead)

    def _make(self, seed: tuple[int, int] | None, plan: Plan) -> Iterator[tuple[Tensor, Tensor]]:
        for chunk in self.rows.epoch(self.batch_size, seed, plan):
            labels = torch.from_numpy(chunk["labels"]).to(self.device, torch.float32)
            yield assemble(chunk, self.rows.bands, self.size, self.device, self._buffers), labels
