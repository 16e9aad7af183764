"""Operations are counted right, forwards and backwards, whatever the groups of a convolution; and there is a peak."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.operations import SIDES, count_operations, matrix_peak


class Second(nn.Sequential):
    """A module behind one without operations, so that its input has a gradient."""

    def __init__(self, module: nn.Module, channels: int) -> None:
        super().__init__(nn.BatchNorm2d(channels), module)


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_a_convolutions_gradients_have_twice_its_operations(groups: int) -> None:
    found = count_operations(Second(nn.Conv2d(8, 16, 3, padding=1, groups=groups), 8), (2, 8, 10, 10))
    assert found.forward == 2 * (8 // groups) * 16 * 3 * 3 * 10 * 10
    assert found.step == 3 * found.forward


def test_the_gradient_of_what_comes_in_is_not_counted() -> None:
    found = count_operations(nn.Conv2d(12, 16, 4, stride=4), (2, 12, 8, 8))
    assert found.forward == 2 * 12 * 16 * 4 * 4 * 2 * 2
    assert found.step == 2 * found.forward


class Attention(nn.Module):
    """One head over tokens (batch, tokens, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        heads = (tokens * self.scale)[:, None]
        return functional.scaled_dot_product_attention(heads, heads, heads)


def test_attention_is_counted() -> None:
    found = count_operations(Attention(32), (2, 50, 32))
    assert found.forward == 2 * (2 * 50 * 50 * 32)
    assert found.step == 3 * found.forward


def test_the_net_itself_does_not_run() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)).eval()
    before = {name: each.clone() for name, each in net.state_dict().items()}
    count_operations(net, (1, 3, 4, 4))
    assert not net.training
    assert all(each.grad is None for each in net.parameters())
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())


def test_the_peak_is_the_best_of_all_sides_and_times() -> None:
    """By a clock on which each product takes a second, but for the last, which takes half of one."""
    one_product = [0, 1, 1, 2, 9]  # begun, go on?, before, after, go on?
    two_products = [0, 1, 1, 2, 2, 2, 2.5, 9]
    times = iter([*one_product, *one_product, *two_products])
    peak = matrix_peak(torch.device("cpu"), torch.float32, seconds=2.5, clock=times.__next__)
    assert peak == 2 * SIDES["cpu"][-1] ** 3 / 0.5
