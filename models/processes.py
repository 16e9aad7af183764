"""Processes that train one net together: each takes its share of every batch, and gradients are averaged.

Flows in: torch's process group, which somebody else has set up (see `tune.distributed`); none for a process alone.
Flows out: a `Team`. Alone, all of it is nothing to do, so that the fit loop does not ask.

Batch norm sees each process's own share, whatever the device, as in Goyal et al., "Accurate, large minibatch SGD", 2017
(with 32 images each): no layer waits for the other processes, but a team's numbers are near those of a process alone,
not the same. Running statistics are averaged over the team before they are used.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn


@dataclass(frozen=True)
class Team:
    """A process's place: its number, from 0, and how many there are. Number 0 writes what is kept."""

    number: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this one writes what is kept."""
        return self.number == 0

    def wrap(self, net: nn.Module, device: torch.device) -> nn.Module:
        """The net as it is to be called in training, so that gradients are averaged."""
        if self.size == 1:
            return net
        places = [device.index or 0] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(net, device_ids=places, broadcast_buffers=False)

    def quiet(self, call: Any) -> AbstractContextManager[object]:
        """A block in which what `wrap` returned, or its compiled form, adds gradients up without averaging them."""
        return nullcontext() if self.size == 1 else call.no_sync()

    def share(self, rows: int, mine: int) -> float:
        """What a mean over `mine` of a batch's `rows` counts, so that the average over the team is the batch's mean."""
        return mine * self.size / rows

    def align(self, net: nn.Module) -> None:
        """Average the running statistics of batch norm."""
        if self.size > 1:
            for buffer in net.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer /= self.size

    def sum(self, value: float) -> float:
        """Of all processes."""
        return value if self.size == 1 else float(sum(self.gather(value)))

    def gather(self, value: Any) -> list[Any]:
        """What each process has, in the order of their numbers, for all."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def join(self, mine: NDArray[np.float32], rows: int, batch_size: int) -> NDArray[np.float32]:
        """Put together what each process made of its share of every batch, as `Plan` dealt it.

        Args:
            mine: (rows of this process, classes).
            rows: of all processes.
            batch_size: rows of a batch, of all processes together.

        Returns:
            (rows, classes) in the rows' order, for all.
        """
        if self.size == 1:
            return mine
        parts = self.gather(mine)
        whole = np.empty((rows, mine.shape[1]), np.float32)
        place = np.arange(rows) % batch_size % self.size
        for number, part in enumerate(parts):
            whole[place == number] = part
        return whole


ALONE = Team()
