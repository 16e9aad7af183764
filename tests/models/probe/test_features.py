"""Features are what a net's last layer is given; kernels of random convolutions answer evenly to what patches hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.nets.build import ReflectanceNet, create_net
from models.nets.random_convolutions import NAME, RandomConvolutions
from models.probe.features import features_of, last_layer, put_in
from models.probe.kernels import draw_kernels
from pipelines.errors import SettingsError
from tests.models.bright import bright_or_dark

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
ONE: dict[str, Any] = {"mean": [1000.0], "std": [500.0], "bands": ["B04"], "num_classes": 2, "image_size": 24}


@pytest.mark.parametrize("name", [NAME, "landnet-s", "test_resnet", "test_vit"])
def test_features_are_what_the_last_layer_is_given(name: str) -> None:
    net, rows = create_net(name, **ONE, seed=0), bright_or_dark(9, 0)
    layer = last_layer(net, 24, name)
    with torch.inference_mode():
        expected = net(torch.from_numpy(rows.chunks[0]["B04"].astype(np.float32))[:, None])
    features = features_of(net, layer, rows, 24, CPU, 4)
    linear = net.backbone.get_submodule(layer)
    assert isinstance(linear, nn.Linear), "it is put back"
    with torch.inference_mode():
        torch.testing.assert_close(linear(torch.from_numpy(features)), expected, rtol=1e-4, atol=1e-5)
    weight = np.random.default_rng(0).normal(size=(3, features.shape[1]))
    put_in(net, layer, weight, np.array([1.0, 2.0, 3.0]))
    with torch.inference_mode():
        found = net(torch.from_numpy(rows.chunks[0]["B04"].astype(np.float32))[:, None]).numpy()
    np.testing.assert_allclose(found, features @ weight.T + (1, 2, 3), rtol=1e-3, atol=1e-3)


def test_a_net_that_does_not_end_in_a_linear_layer_is_refused() -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(1)[:, :4]
            mean: Tensor = (self.one(x) + self.other(x)) / 2
            return mean

    with pytest.raises(SettingsError, match=r'model: "two" does not end in one linear layer'):
        last_layer(ReflectanceNet(TwoHeads(), [0.0], [1.0]), 24, "two")


def test_kernels_are_drawn_from_the_pixels_and_by_the_seed() -> None:
    def drawn(rows: int, seed: int) -> RandomConvolutions:
        net = create_net(NAME, **ONE, seed=0)
        draw_kernels(net, bright_or_dark(rows, 0), 24, seed)
        assert isinstance(net.backbone, RandomConvolutions)
        return net.backbone

    one, same, other, few = (drawn(*each).features.weight for each in ((40, 1), (40, 1), (40, 2), (2, 1)))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert few.isfinite().all(), "fewer squares than kernels"
    images = torch.from_numpy(bright_or_dark(40, 0).chunks[0]["B04"].astype(np.float32))[:, None]
    with torch.no_grad():
        maps = drawn(40, 1).features((images - 1000) / 500)
    means, spreads = maps.mean((0, 2, 3)), maps.std((0, 2, 3))
    assert means.abs().max() < 0.3, "for a kernel and against it, patches come alike"
    assert spreads.max() < 1.5
