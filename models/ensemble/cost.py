"""What an answer of one net costs beside that of another: time a patch, the two measured in turns.

Flows in: two nets and a batch. Flows out: parameters and milliseconds of both.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn

BATCH = 8
"""Patches of a pass, as many as an endpoint under some load gathers."""

_ROUNDS = 5


Timed = tuple[nn.Module, Tensor]
"""A net, and what it takes."""


def cost_beside(net: Timed, other: Timed) -> dict[str, Any]:
    """Run both on the same patches by turns, so that whatever else the machine does meets both.

    Returns:
        `parameters` and `ms` a patch of the net (the median of some passes), `best_parameters` and `best_ms` of the
        other; and what they were measured on: `batch`, `device`, `threads`.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    with torch.inference_mode():
        for passes in range(_ROUNDS + 1):
            for (each, images), times in zip((net, other), taken, strict=True):
                begun = time.perf_counter()
                each(images).cpu()  # waits for a device that works on its own
                times += [time.perf_counter() - begun] if passes else []  # the first makes room, and counts nothing
    images = net[1]
    ms, best_ms = (1000 * statistics.median(times) / len(images) for times in taken)
    counts = [sum(each.numel() for each in one.parameters()) for one, _ in (net, other)]
    measured = {"batch": len(images), "device": images.device.type, "threads": torch.get_num_threads()}
    return {"parameters": counts[0], "best_parameters": counts[1], "ms": ms, "best_ms": best_ms} | measured
