"""Feature maps: every family's stages are found, lie as the patch does, and come out as one PDF."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from matplotlib.text import Text

from models.bundle.weights import Bundle
from models.explain.activations import CHANNELS, activations, draw_stages, pdf_of, stage_names
from models.nets.build import ReflectanceNet
from pipelines.errors import SettingsError
from tests.models.seen import corners, fresh

pytestmark = pytest.mark.usefixtures("one_thread")

PICTURE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "grids"),
    [
        ("landnet-s", [32, 16, 8, 4]),
        ("test_resnet", [32, 16, 8, 4, 2]),
        ("densenet121", [32, 16, 8, 4, 2]),
        ("test_efficientnet", [32, 16, 8, 4, 2]),
        ("swin", [16, 8, 4, 2]),
        ("test_vit", [4]),
        ("test_convnext", [16, 8, 4, 2]),
        ("test_byobnet", [32, 16, 8, 4, 2]),
        ("test_mambaout", [16, 8, 4, 2]),
    ],
)
def test_stages_of_every_family_are_found(name: str, grids: list[int]) -> None:
    bundle = fresh(name, 64)
    first = activations(bundle, corners(1, 64, 0)[0])[0]
    sides = [stage.shape[1] for stage in first]
    assert sides == sorted(sides, reverse=True)
    assert sorted(set(sides), reverse=True) == [side for side in grids if side in sides]
    assert sides[-1] == grids[-1]
    assert len(first) >= min(3, len(grids))
    for stage in first:
        depth, height, width = stage.shape
        assert stage.mean.shape == (height, width)
        assert (stage.mean >= 0).all()
        assert len(stage.channels) == min(CHANNELS, depth)
        assert all(0 <= channel < depth and each.shape == (height, width) for channel, each in stage.channels.items())
    assert not [each for each in bundle.net.modules() if each._forward_hooks]


@pytest.mark.parametrize("name", ["landnet-s", "test_resnet", "swin", "test_vit"])
def test_maps_lie_as_the_patch_does(name: str) -> None:
    """What changes in a patch's upper right changes most there."""
    bundle, images = fresh(name, 64), corners(2, 64, 1)[0]
    images[1] = images[0]
    images[1, :, :20, 44:] += 900
    one, other = activations(bundle, images)
    changed = np.abs(other[0].mean - one[0].mean)
    half = len(changed) // 2
    quarters = {
        (down, right): changed[down * half :, right * half :][:half, :half].mean()
        for down in (0, 1)
        for right in (0, 1)
    }
    assert max(quarters, key=quarters.__getitem__) == (0, 1)


def test_mean_and_channels_are_those_of_the_layer() -> None:
    bundle, images = fresh("landnet-s", 64), corners(1, 64, 2)[0]
    with torch.no_grad():
        grid = bundle.net.backbone.get_submodule("features")(bundle.net.prepare(images))[0].numpy()
    last = activations(bundle, images)[0][-1]
    assert last.name == "features"
    np.testing.assert_allclose(last.mean, np.abs(grid).mean(axis=0), atol=1e-6)
    strongest = np.argsort(-grid.std(axis=(1, 2)))[:CHANNELS].tolist()
    assert sorted(last.channels) == sorted(strongest)
    for channel, values in last.channels.items():
        np.testing.assert_allclose(values, grid[channel], atol=1e-6)


def test_many_blocks_are_thinned_to_a_page() -> None:
    bundle = fresh("vit", 32)
    names = stage_names(bundle.net)
    assert len(names) == 8
    assert (names[0], names[-1]) == ("blocks.0", "blocks.11")


def test_a_net_without_maps_is_said_to_have_none() -> None:
    net = ReflectanceNet(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2)), [0.0], [1.0])
    with pytest.raises(SettingsError, match="no layer of this model has a grid"):
        activations(Bundle(fresh("landnet-s", 40).config, net), torch.zeros(1, 1, 128, 128))


def test_pdf_has_a_page_a_patch_and_is_the_same_every_time() -> None:
    bundle, images = fresh("landnet-s", 64), corners(2, 64, 3)[0]
    found = activations(bundle, images)

    def pdf() -> bytes:
        return pdf_of([draw_stages(stages, PICTURE, f"$patch_{place}$") for place, stages in enumerate(found)])

    data = pdf()
    assert data == pdf()
    assert data.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", data)) == 2
    assert b"CreationDate" not in data
    figure = draw_stages(found[0], PICTURE, "one")
    written = [each.get_text() for each in figure.findobj(Text)]
    assert all(f"{stage.name}\n{' × '.join(map(str, stage.shape))}" in written for stage in found[0])
