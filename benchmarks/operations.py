"""What a training step has to compute, and the most that this machine computes: their quotient is a share of the peak.

Flows in: a net and the shape of its input; a device and a number type. Flows out: operations of a patch, forwards and
in a whole step; operations a second of large matrix products, as measured.

A multiplication and an addition are two operations. Only those of convolutions, matrix products and attention are
counted, by `torch.utils.flop_counter`, on torch's meta device, where attention is what it is by definition, whichever
kernel computes it later. That counter (torch 2.14) takes the gradient of a grouped convolution's weights for that of a
dense one's, eight times too much for a depthwise one of eight channels; so gradients of convolutions are counted here.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

SIDES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192, 16384)}
"""Of the matrices whose product is the peak: which one is fastest depends on caches."""


class Operations(NamedTuple):
    """Of one patch: forwards, and forwards and backwards."""

    forward: float
    step: float


def count_operations(net: nn.Module, shape: Sequence[int]) -> Operations:
    """Count what `net` does in training with an input of this shape, batch first; `net` itself does not run."""
    weightless = copy.deepcopy(net).to("meta").train()
    images = torch.empty(tuple(shape), device="meta")
    formulas = {torch.ops.aten.convolution_backward: _gradient_of_convolution}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        logits = weightless(images)
        forward = counter.get_total_flops()
        logits.sum().backward()
    return Operations(forward / shape[0], counter.get_total_flops() / shape[0])


def _gradient_of_convolution(
    gradient: Sequence[int], images: Sequence[int], weight: Sequence[int], *rest: Any, **_: object
) -> int:
    """As many as the convolution itself has, for the gradient of its input and of its weights each, if asked for."""
    transposed, wanted = rest[4], rest[7]
    once: int = conv_flop_count(list(images), list(weight), list(gradient), transposed=transposed)
    return sum(once for each in wanted[:2] if each)


def matrix_peak(
    device: torch.device, dtype: torch.dtype, seconds: float = 1.0, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Operations a second of square matrix products: the best of `seconds` of trying at each of `SIDES`."""
    return max(_fastest(device, dtype, side, seconds, clock) for side in SIDES[device.type])


def _fastest(device: torch.device, dtype: torch.dtype, side: int, seconds: float, clock: Callable[[], float]) -> float:
    one, other, product = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(3))
    repeats = 10 if device.type == "cuda" else 1  # a GPU is asked to wait as seldom as in training
    torch.mm(one, other, out=product)
    best, until = 0.0, clock() + seconds
    while clock() < until:
        wait(device)
        started = clock()
        for _ in range(repeats):
            torch.mm(one, other, out=product)
        wait(device)
        best = max(best, repeats * 2 * side**3 / (clock() - started))
    return best


def wait(device: torch.device) -> None:
    """Until a GPU has done what it was told to; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
