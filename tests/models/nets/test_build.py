"""The zoo: what a name stands for, for which patches it can be built, and how it is padded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.bundle.config import CONFIG, BundleConfig, config_text
from models.bundle.weights import load_bundle, write_bundle
from models.nets.build import create_net, plan
from models.nets.catalog import MODELS, check_model
from pipelines.bands import ALL_BANDS
from pipelines.errors import BundleError, SettingsError
from pipelines.pixels.patch import Patch
from tests.models.nets.net_suite import lively_net, weight_of_pixels

FAMILIES = [
    "landnet",
    "resnet18",
    "vgg16",
    "densenet121",
    "efficientnet_b0",
    "efficientnetv2_m",
    "swin",
    "vit",
    "convnext",
]
"""One of each; small ones stand in `test_families`."""

pytestmark = pytest.mark.usefixtures("one_thread")


def test_without_padding_pixels_are_lost() -> None:
    """What the suite would find: ConvNeXt as it is leaves 50 px out of its 4 × 4 stem."""
    assert (weight_of_pixels(lively_net("test_convnext", 50).backbone, 50)[:, -2:] == 0).all()


@pytest.mark.parametrize(("size", "bands"), [(20, 1), (33, 13), (512, 3)])
@pytest.mark.parametrize("name", FAMILIES)
def test_any_size_and_any_number_of_bands(name: str, size: int, bands: int) -> None:
    given: dict[str, Any] = {"mean": [0.0] * bands, "std": [1.0] * bands, "bands": [*ALL_BANDS, "B10"][:bands]}
    with torch.device("meta"):
        net = create_net(name, **given, num_classes=3, image_size=size)
        assert net.eval()(torch.empty(2, bands, size, size)).shape == (2, 3)


def test_padding_mirrors_and_is_cropped_again() -> None:
    net = create_net("test_vit", mean=[100.0], std=[10.0], bands=["B04"], num_classes=2, image_size=120)
    images = torch.arange(120.0 * 120).view(1, 1, 120, 120)
    prepared = net.prepare(images)
    assert prepared.shape == (1, 1, 128, 128)
    np.testing.assert_array_equal(net.crop(prepared.numpy(), 120), ((images - 100) / 10).numpy())
    assert torch.equal(prepared[..., 3, :], prepared[..., 5, :])


def test_a_net_built_for_one_size_refuses_another() -> None:
    net = create_net("test_vit", mean=[0.0], std=[1.0], bands=["B04"], num_classes=2, image_size=64)
    with pytest.raises(SettingsError, match="built for patches of 64 px, not 120"):
        net(torch.zeros(1, 1, 120, 120))


def test_bundle_without_a_recipe_is_one_of_before(tmp_path: Path) -> None:
    given: dict[str, Any] = {"mean": [500.0], "std": [300.0], "bands": ["B04"], "num_classes": 2}
    net = create_net("test_resnet", **given, image_size=40, seed=3).eval()
    write_bundle(tmp_path / "bundle", net, config_of("test_resnet", ["B04"], ["a", "b"]), {}, patch_of(["B04"]))
    config = BundleConfig.model_validate_json((tmp_path / "bundle" / CONFIG).read_text())
    old = config.model_copy(update={"architecture_arguments": None})
    (tmp_path / "bundle" / CONFIG).write_text(config_text(old))
    images = torch.rand(2, 1, 40, 40)
    assert torch.equal(load_bundle(tmp_path / "bundle").net(images), net(images))
    wrong = config.model_copy(update={"architecture_arguments": net.recipe.model_copy(update={"image_size": 64})})
    (tmp_path / "bundle" / CONFIG).write_text(config_text(wrong))
    with pytest.raises(BundleError, match="image size"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet8", 'unknown model "resnet8". Did you mean .*"resnet18"'),
        ("landnet-m", 'unknown model "landnet-m". Did you mean "landnet'),
        ("hf-hub:somebody/something", "unknown model"),
        ("../weights", "unknown model"),
        ("test_vit.nobody", 'has no weights "nobody". Known: test_vit.r160_in1k'),
        ("halonet26t", "cannot be built for patches of 120 px"),
    ],
)
def test_what_the_zoo_does_not_have(name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        plan(name, 120)


def test_checking_a_name_loads_no_timm() -> None:
    assert [check_model(name) for name in (*MODELS, "timm:resnet26t", "resnet26t.ra2_in1k")][-1] == "resnet26t.ra2_in1k"
    with pytest.raises(SettingsError, match="unknown model"):
        check_model("Land Net")


def test_short_names_and_timms_names_build_the_same() -> None:
    assert plan("vit", 120) == plan("timm:vit_small_patch16_224", 120) == plan("vit_small_patch16_224", 120)
    assert plan("efficientnetv2_m", 120).timm == "tf_efficientnetv2_m"
    assert plan("timm:efficientnetv2_m", 120).timm == "efficientnetv2_m"


def config_of(name: str, bands: list[str], labels: list[str]) -> BundleConfig:
    return BundleConfig(
        architecture=name,
        num_classes=len(labels),
        label_names=labels,
        in_chans=len(bands),
        bands=bands,
        mean=dict.fromkeys(bands, 500.0),
        std=dict.fromkeys(bands, 300.0),
        image_size=40,
        thresholds=dict.fromkeys(labels, 0.5),
        dataset="0" * 64,
    )


def patch_of(bands: list[str]) -> Patch:
    return Patch({band: np.full((40, 40), 900, np.uint16) for band in bands})
