"""Random convolutions: a net like any other, which sees how much of a patch a texture covers and not where it lies."""

from __future__ import annotations

import torch

from models.nets.catalog import MODELS
from models.nets.random_convolutions import FEATURES, NAME, RandomConvolutions
from tests.models.nets.net_suite import NetSuite


class TestRandomConvolutions(NetSuite):
    name = NAME
    has_depth = False


def test_it_is_a_hundredth_of_resnet18() -> None:
    numbers = sum(each.numel() for each in RandomConvolutions(12, 19).parameters())
    assert numbers == MODELS[NAME].parameters < MODELS["resnet18"].parameters / 100


def test_where_a_texture_lies_changes_nothing() -> None:
    net = RandomConvolutions(3, FEATURES).eval()
    torch.nn.init.eye_(net.head[1].weight)
    images = torch.randn(2, 3, 12, 12)
    framed = torch.zeros(2, 2, 3, 40, 40)  # as far from the edges that it is not reflected
    framed[0, ..., 8:20, 8:20] = framed[1, ..., 20:32, 14:26] = images
    with torch.no_grad():
        here, there = (net(each) for each in framed)
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-6)
    assert (here[0] - here[1]).abs().max() > 1e-3
