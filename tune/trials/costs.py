"""What a trial's net costs whoever serves it, measured on the worker that fits it.

Flows in: a net, its bundle's folder. Flows out: numbers.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Container
from pathlib import Path

import torch
from torch import nn

from models.nets.layers import parameter_count

PASSES = 15
"""Forward passes whose median is the latency."""


def costs_of(wanted: Container[str], net: nn.Module, channels: int, side: int, bundle: Path) -> dict[str, float]:
    """What is asked for of latency in milliseconds, parameters, and size in bytes.

    Two bundles of one net differ by some bytes, and two measurements of its latency by some percent. So that neither
    makes one net better than the other, a size is rounded to three digits and a latency to two.

    Args:
        wanted: of `tune.objectives.COSTS`.
        net, channels, side: see `latency_ms`.
        bundle: its folder.
    """
    found: dict[str, float] = {}
    if "latency" in wanted:
        found["latency"] = float(f"{latency_ms(net, channels, side):.2g}")
    if "parameters" in wanted:
        found["parameters"] = float(parameter_count(net))
    if "size" in wanted:
        found["size"] = float(f"{bundle_bytes(bundle):.3g}")
    return found


def bundle_bytes(folder: Path) -> int:
    """Bytes of a bundle's files, all that has to be carried to where it is served."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def latency_ms(
    net: nn.Module, channels: int, side: int, passes: int = PASSES, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Milliseconds of a forward pass of one patch, as the endpoint makes it; the median of several.

    The net is left as it was, in its own memory format and mode. It runs where it is, with the threads there are.

    Args:
        net: takes float32 (1, channels, side, side).
        channels, side: of its patches.
        passes: so many are timed, after two that are not.
        clock: in seconds.
    """
    # A copy: serving's memory format would change the order of sums in the training that goes on.
    served = copy.deepcopy(net).eval().to(memory_format=torch.channels_last)
    device = next((each.device for each in served.parameters()), torch.device("cpu"))
    images = torch.zeros(1, channels, side, side, device=device)
    taken = []
    with torch.inference_mode():
        for _ in range(passes + 2):
            start = clock()
            torch.sigmoid(served(images)).cpu()  # waits for a GPU, as an answer does
            taken.append(1000 * (clock() - start))
    return statistics.median(taken[2:])
