"""A running mean of a net's weights, which generalises better than the last ones where the steps are noisy.

Flows in: a net after each step. Flows out: another of the same kind, for evaluating and keeping.
"""

from __future__ import annotations

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

N = TypeVar("N", bound=nn.Module)


class Average(Generic[N]):
    """Exponential mean of parameters and floating buffers (Polyak and Juditsky 1992); whole numbers are copied.

    The decay rises to its full value: after n steps it is min(decay, (1 + n) / (10 + n)), as in TensorFlow's
    `ExponentialMovingAverage`, so that the start is soon forgotten.
    """

    def __init__(self, net: N, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, net: N) -> None:
        """Move towards the weights of `net`."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        ours, theirs = (list(_floats(each)) for each in (self.net, net))
        get_ema_multi_avg_fn(decay)(ours, theirs, self.steps)  # type: ignore[no-untyped-call]  # torch types it not
        for kept, now in zip(self.net.buffers(), net.buffers(), strict=True):
            if not kept.is_floating_point():
                kept.copy_(now)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return {"net": self.net.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave; RuntimeError where that is of another net."""
        self.net.load_state_dict(state["net"])
        self.steps = int(state["steps"])


def _floats(net: nn.Module) -> list[Tensor]:
    return [each.detach() for each in (*net.parameters(), *net.buffers()) if each.is_floating_point()]
