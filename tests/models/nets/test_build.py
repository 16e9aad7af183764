"""The zoo: every family sees every pixel, takes any bands, comes back from a bundle, and shows its last grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

from models.bundle.config import CONFIG, BundleConfig, config_text
from models.bundle.weights import load_bundle, write_bundle
from models.explain.target_layer import cam_target
from models.nets.build import ReflectanceNet, assemble, create_net, plan
from models.nets.catalog import MODELS, check_model
from pipelines.bands import ALL_BANDS
from pipelines.errors import BundleError, SettingsError
from pipelines.pixels.patch import Patch

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
    "test_byobnet",
]
"""One of each, and one of a family that the zoo knows nothing of."""

NAMES = ("B04", "B05", "B01", "B08")
BANDS, CLASSES = len(NAMES), 5


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> tuple[str, ReflectanceNet]:
    name: str = request.param
    return name, random_net(name, 120)


def random_net(name: str, size: int) -> ReflectanceNet:
    """A net whose scales are random too: as built, some are zero and hide what lies behind them."""
    recipe = plan(name, size)
    given: dict[str, Any] = {"mean": [0.0] * BANDS, "std": [1.0] * BANDS, "bands": NAMES, "num_classes": CLASSES}
    if name.startswith("vgg"):  # 134 million numbers, drawn one by one
        with torch.device("meta"):
            net = assemble(name, recipe, **given)
        net = net.to_empty(device="cpu")
        net.mean.zero_(), net.std.fill_(1)
        for parameter in net.parameters():
            nn.init.constant_(parameter, 0)
            pool = torch.randn(4099, generator=torch.Generator().manual_seed(parameter.ndim))
            flat, spread = parameter.data.view(-1), (2 / max(1, parameter[0].numel())) ** 0.5
            flat.copy_(pool.repeat(-(-len(flat) // len(pool)))[: len(flat)] * spread)
    else:
        net = assemble(name, recipe, seed=0, **given)
        generator = torch.Generator().manual_seed(1)
        for key, parameter in net.named_parameters():
            if parameter.squeeze().ndim <= 1 and key.endswith(("weight", "gamma", "scale")):
                parameter.data.uniform_(0.5, 1.5, generator=generator)
    return net.requires_grad_(False).eval()


def weight_of_pixels(net: nn.Module, size: int) -> Tensor:
    """How much each pixel moves the logits: (size, size), 1 for the median pixel."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, BANDS, size, size, generator=generator).requires_grad_()
    logits = net(images)
    (logits * torch.randn(logits.shape, generator=generator)).sum().backward()
    assert images.grad is not None
    found = images.grad.abs().sum((0, 1))
    return found / found.median()


@pytest.mark.parametrize("size", [120, 64])
def test_every_pixel_moves_the_logits(family: tuple[str, ReflectanceNet], size: int) -> None:
    name, net = family
    weights = weight_of_pixels(random_net(name, size) if net.recipe.image_size else net, size)
    assert weights.min() > 0
    assert min(weights.mean(0).min(), weights.mean(1).min()) > 0.1


@pytest.mark.parametrize("size", [20, 33, 50, 127])
@pytest.mark.parametrize(
    "name", ["landnet-s", "test_resnet", "test_efficientnet", "test_convnext", "test_vit", "test_byobnet"]
)
def test_every_pixel_counts_at_odd_sizes_too(name: str, size: int) -> None:
    weights = weight_of_pixels(random_net(name, size), size)
    assert weights.min() > 0
    assert min(weights.mean(0).min(), weights.mean(1).min()) > 0.1


def test_without_padding_pixels_are_lost() -> None:
    """What the tests above would find: ConvNeXt as it is leaves 50 px out of its 4 × 4 stem."""
    assert (weight_of_pixels(random_net("test_convnext", 50).backbone, 50)[:, -2:] == 0).all()


@pytest.mark.parametrize(("size", "bands"), [(20, 1), (33, 13), (512, 3)])
@pytest.mark.parametrize("name", [name for name in FAMILIES if not name.startswith("test")])
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


@pytest.mark.parametrize("name", ["landnet-s", "swin", "test_vit", "test_mambaout", "xcit_nano_12_p8_224"])
def test_what_grad_cam_looks_at_lies_as_the_patch_does(name: str) -> None:
    net = random_net(name, 120)
    layer, reshape = cam_target(name, net)
    grids: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _module, _given, out: grids.append(reshape(out) if reshape else out))
    images = torch.randn(1, BANDS, 120, 120, generator=torch.Generator().manual_seed(0))
    net(images)
    images[..., :40, 80:] += 3
    net(images)
    handle.remove()
    changed = (grids[1] - grids[0]).abs().sum((0, 1))
    half = changed.shape[0] // 2
    others = (changed[:half, :half], changed[-half:, :half], changed[-half:, -half:])
    assert changed[:half, -half:].mean() > 1.2 * max(each.mean() for each in others)


def test_grad_cam_runs_on_every_family(family: tuple[str, ReflectanceNet]) -> None:
    """On a class or its contrary, something in the patch must speak for it."""
    name, net = family
    layer, reshape = cam_target(name, net)
    images = net.prepare(torch.randn(1, BANDS, 120, 120, generator=torch.Generator().manual_seed(0))).requires_grad_()
    with GradCAM(model=net.backbone, target_layers=[layer], reshape_transform=reshape) as cam:
        maps = [cam(input_tensor=images, targets=[lambda logits, sign=sign: sign * logits[0]]) for sign in (1, -1)]
    assert net.crop(maps[0], 120).shape == (1, 120, 120)
    assert max(each.max() for each in maps) > 0.9
    assert max(each.std() for each in maps) > 0.05


@pytest.mark.parametrize(
    "name",
    [
        "landnet-s",
        "landnet-l",
        "test_resnet",
        "densenet121",
        "test_efficientnet",
        "swin",
        "test_vit",
        "test_convnext",
        "test_maxvit",
        "timm:test_byobnet.r160_in1k",
    ],
)
def test_bundle_brings_the_same_net_back(name: str, tmp_path: Path) -> None:
    bands, labels = ["B04", "B05", "x"], ["a", "b"]
    given: dict[str, Any] = {"mean": [500.0] * 3, "std": [300.0] * 3, "bands": bands, "num_classes": 2}
    net = create_net(name, **given, image_size=40, seed=3, dropout=0.25).eval()
    write_bundle(tmp_path / "bundle", net, config_of(name, bands, labels), {}, patch_of(bands))
    loaded = load_bundle(tmp_path / "bundle")
    images = torch.rand(2, 3, 40, 40) * 3000
    assert torch.equal(loaded.net(images), net(images))
    assert loaded.net.recipe == net.recipe
    assert loaded.config.architecture_arguments == net.recipe


def test_vgg_would_be_rebuilt_tensor_by_tensor() -> None:
    """Half a gigabyte is not written for it: the same names and shapes, by the recipe as a config keeps it."""
    with torch.device("meta"):
        first = create_net("vgg16", mean=[0.0], std=[1.0], bands=["B04"], num_classes=2, image_size=40)
        recipe = type(first.recipe).model_validate_json(first.recipe.model_dump_json())
        again = assemble("vgg16", recipe, mean=[0.0], std=[1.0], bands=["B04"], num_classes=2)
    shapes = [{name: each.shape for name, each in net.state_dict().items()} for net in (first, again)]
    assert shapes[0] == shapes[1]


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


def test_dropout_and_stochastic_depth_reach_the_families_that_have_them() -> None:
    made = [
        create_net(name, mean=[0.0], std=[1.0], bands=["B04"], num_classes=2, dropout=0.4, drop_path=0.3)
        for name in ("landnet", "test_resnet", "test_vit", "test_convnext", "test_efficientnet")
    ]
    for net in made[1:]:
        rates = [each.drop_prob for each in net.modules() if type(each).__name__ == "DropPath"]
        assert max(rates) == pytest.approx(0.3, rel=0.35)
    kept = [each.p for each in made[0].modules() if isinstance(each, nn.Dropout)]
    assert kept == [0.4]
    with torch.device("meta"), pytest.raises(SettingsError, match=r"drop_path: .*vgg16.* has no stochastic depth"):
        create_net("vgg16", mean=[0.0], std=[1.0], bands=["B04"], num_classes=2, drop_path=0.3)


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
