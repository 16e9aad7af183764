"""landnet: three sizes of one net, with stochastic depth where there is depth to spare."""

from __future__ import annotations

from itertools import chain

import pytest
import torch

from models.nets.catalog import MODELS
from models.nets.landnet import SIZES, Block, LandNet, Stem, band_layers
from pipelines.bands import ALL_BANDS, is_coarse

COARSE = [is_coarse(band) for band in ALL_BANDS]


def test_sizes_grow_and_the_largest_is_a_tenth_of_resnet50() -> None:
    numbers = [sum(each.numel() for each in LandNet(COARSE, 19, size).parameters()) for size in SIZES.values()]
    assert numbers == sorted(numbers) == [MODELS[name].parameters for name in SIZES]
    assert numbers[-1] < MODELS["resnet50"].parameters / 10


@pytest.mark.parametrize("name", SIZES)
def test_last_grid_has_8_px_cells_by_8_for_a_patch(name: str) -> None:
    net = LandNet([False, True, False], 5, SIZES[name]).eval()
    images = torch.randn(2, 3, 120, 120)
    assert net.features(images).shape == (2, SIZES[name].widths[-1], 8, 8)
    assert net(images).shape == (2, 5)


def test_stochastic_depth_skips_whole_blocks_of_some_patches_in_training_alone() -> None:
    torch.manual_seed(0)
    block = Block(8, drop_path=0.5)
    x = torch.randn(400, 8, 5, 5)
    shift = (block(x) - x).abs().amax((1, 2, 3))
    assert 0.4 < (shift == 0).float().mean() < 0.6
    block.eval()
    assert ((block(x) - x).abs().amax((1, 2, 3)) > 0).all()


def test_what_is_not_skipped_is_worth_more() -> None:
    """So that the mean over skips is what the block gives in evaluation."""
    torch.manual_seed(0)
    block = Block(8, drop_path=0.25)
    block.body[1].track_running_stats = False  # the same statistics in both modes
    block.body[1].running_mean = block.body[1].running_var = None
    x = torch.randn(1, 8, 5, 5).expand(4000, -1, -1, -1)
    shift = (block(x) - x).mean(0)
    torch.testing.assert_close(shift, (block.eval()(x) - x)[0], rtol=0.1, atol=2e-3)


def test_depth_is_dropped_more_towards_the_end() -> None:
    rates = [
        each.drop_path
        for each in LandNet([False] * 3, 2, SIZES["landnet-l"], drop_path=0.3).modules()
        if isinstance(each, Block)
    ]
    assert rates == sorted(rates)
    assert (rates[0], rates[-1]) == (0, 0.3)
    none = [each.drop_path for each in LandNet([False] * 3, 2).modules() if isinstance(each, Block)]
    assert none == [0] * 6


def test_a_coarse_band_counts_as_measured_and_a_fine_one_pixel_by_pixel() -> None:
    """Pixels of a 20 m band are told apart by no weight: their mean alone counts."""
    torch.manual_seed(0)
    stem = Stem([False, True], 8, 6).double().eval()
    images = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    means = torch.nn.functional.avg_pool2d(images, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    repeated = torch.stack([images[:, 0], means[:, 1]], 1)
    torch.testing.assert_close(stem(repeated), stem(images))
    assert (stem(torch.stack([means[:, 0], images[:, 1]], 1)) - stem(images)).abs().max() > 0.01


@pytest.mark.parametrize("bands", [("B04",), ("B11", "B01"), ("B11", "B04", "B10"), ("height",)])
def test_any_bands_in_any_order(bands: tuple[str, ...]) -> None:
    """The same bands in another order, each layer's weights in that order: the same features."""
    torch.manual_seed(0)
    coarse = [is_coarse(band) for band in bands]
    net = LandNet(coarse, 2, SIZES["landnet-s"]).double().eval()
    images = torch.randn(2, len(bands), 16, 16, dtype=torch.float64)
    back = LandNet(coarse[::-1], 2, SIZES["landnet-s"]).double().eval()
    state = net.state_dict()
    for layer in band_layers(coarse):
        state[f"{layer}.weight"] = state[f"{layer}.weight"].flip(1)
    back.load_state_dict(state)
    torch.testing.assert_close(back(images.flip(1)), net(images))
    assert sorted(chain(*band_layers(coarse).values())) == list(range(len(bands)))
