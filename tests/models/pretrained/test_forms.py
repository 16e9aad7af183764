"""Weights in the forms in which others publish them: each comes out of its file as the net that went in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from models.pretrained.architectures import guess_model
from models.pretrained.forms import to_timm
from models.pretrained.known import NDVI, SATLAS, SOFTCON_MEAN, SOFTCON_STD
from models.pretrained.read import read_tensors
from models.pretrained.source import open_source
from pipelines.bands import ALL_BANDS, BAND_SETS, LEVEL_1C
from pipelines.errors import SettingsError
from tests.models.pretrained.others import (
    TEN,
    TINY,
    Other,
    csmask,
    dino,
    mae,
    moco,
    moco_v3,
    net_of,
    plain,
    reben,
    torchvision_swin,
    write_onnx,
)
from tests.models.pretrained.test_load import loaded

pytestmark = pytest.mark.usefixtures("one_thread")

RGB = BAND_SETS["rgb"]
SIX_NAMED = ("B02", "B03", "B04", "B08", "B11", "B12")
OTHERS = [
    Other("resnet", "resnet", "resnet18_sentinel2_all_moco-59bfdff9.pth", LEVEL_1C, plain),
    Other("resnet", "resnet", "renamed.pth", LEVEL_1C, plain),
    Other("resnet", "resnet", "resnet50_sentinel2_all_seco_eco-a273eb78.pth", ALL_BANDS, plain),
    Other("resnet", "resnet", "twelve.pth", ALL_BANDS, plain),
    Other("resnet", "resnet", "resnet50_sentinel2_all_ndvi_seco_eco-3a74b167.pth", NDVI, plain),
    Other("resnet", "resnet", "resnet18_sentinel2_rgb_moco-e3a335e3.pth", RGB, plain),
    Other("vit", "vit", "vit_small_16_sentinel2_all_dino.pth", LEVEL_1C, plain),
    Other("moco", "resnet", "B13_rn50_moco_0099_ckpt.pth", LEVEL_1C, moco),
    Other("mocov3", "vit", "B13_vits16_moco_0099_ckpt.pth", LEVEL_1C, moco_v3),
    Other("dino", "resnet", "B13_rn50_dino_0099_ckpt.pth", LEVEL_1C, dino),
    Other("dino", "vit", "B13_vits16_dino_0099_ckpt.pth", LEVEL_1C, dino),
    Other("mae", "vit", "B13_vits16_mae_0099_ckpt.pth", LEVEL_1C, mae),
    Other("reben", "resnet", "model.safetensors", TEN, reben, mean=500, std=250),
    Other("efficientnet-pytorch", "efficientnet", "model_6b_l2a.onnx", SIX_NAMED, csmask, mean=500, std=1000),
]


def features(net: nn.Module, images: Tensor) -> Tensor:
    """What a net of timm sees before its head."""
    with torch.no_grad():
        found: Tensor = net.forward_features(images)
    return found


def in_order(images: Tensor, theirs: tuple[str, ...], ours: tuple[str, ...]) -> Tensor:
    return images[:, [theirs.index(band) for band in ours]]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: f"{other.form}, {other.file}")
def test_what_went_in_comes_out_whatever_the_order_of_our_bands(other: Other, tmp_path: Path) -> None:
    more = {"img_size": 64} if other.kind == "vit" else {}
    theirs = net_of(other.kind, len(other.bands), **more)
    theirs = theirs.half().float() if other.write is csmask else theirs  # as it is written
    other.write(theirs, tmp_path / other.file)
    source = open_source(tmp_path / other.file)
    assert (source.formed.form, source.bands) == (other.form, other.bands)
    ours = tuple(reversed(other.bands))
    given: dict[str, Any] = {"pretrained": str(tmp_path / other.file), "normalisation": "theirs", "image_size": 64}
    net, report = loaded(TINY[other.kind], ours, **given)
    numbers = torch.rand(2, len(other.bands), 64, 64) * 3000
    mean, std = torch.tensor(other.mean), torch.tensor(other.std)
    for name in ("conv_head", "bn2") if other.write is csmask else ():  # a U-Net's encoder has none
        assert f"{name}.weight" in report.fresh
        getattr(net.backbone, name).load_state_dict(getattr(theirs, name).state_dict())
    expected = features(theirs.double(), (numbers.double() - mean) / std)
    seen = net.double().prepare(in_order(numbers.double(), other.bands, ours).clone())
    torch.testing.assert_close(features(net.backbone, seen), expected)
    assert any("normalised as theirs" in note for note in report.notes)


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: f"{other.form}, {other.file}")
def test_on_all_twelve_their_bands_go_by_name_and_what_we_lack_is_said(other: Other, tmp_path: Path) -> None:
    other.write(net_of(other.kind, len(other.bands)), tmp_path / other.file)
    first = "patch_embed.proj.weight" if other.kind == "vit" else "conv1.weight"
    first = "conv_stem.weight" if other.kind == "efficientnet" else first
    state = to_timm(read_tensors(tmp_path / other.file)).state
    net, report = loaded(TINY[other.kind], ALL_BANDS, pretrained=str(tmp_path / other.file), image_size=64)
    kernel = net.backbone.state_dict()[first]
    pairs = [(kernel[:, ALL_BANDS.index(band)], state[first][:, other.bands.index(band)])
             for band in other.bands if band in ALL_BANDS]  # fmt: skip
    scale = float(pairs[0][0].norm() / pairs[0][1].norm())
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs * scale, rtol=1e-3, atol=1e-5)
    for band in set(other.bands) - set(ALL_BANDS):
        assert f"{band} dropped, which the net has not" in report.adapted[first]
    assert report.matched > 0.9
    assert first not in report.fresh
    assert any("normalised by the dataset's statistics, theirs was" in note for note in report.notes)


def test_satlas_is_told_by_its_name_among_those_of_nine_channels(tmp_path: Path) -> None:
    net = net_of("resnet", 9)
    plain(net, tmp_path / "sentinel2_resnet50_mi_ms-da5413d2.pth")
    assert open_source(tmp_path / "sentinel2_resnet50_mi_ms-da5413d2.pth").bands == SATLAS
    given: dict[str, Any] = {"pretrained": str(tmp_path / "sentinel2_resnet50_mi_ms-da5413d2.pth")}
    ours, _ = loaded(TINY["resnet"], ("B04", "B8A", "B08"), **given, normalisation="theirs")
    assert ours.statistics == ((0, 0, 0), (3558, 8160, 8160))
    plain(net, tmp_path / "nine.pth")
    with pytest.raises(SettingsError, match="nobody says which bands its 9 channels are") as caught:
        loaded(TINY["resnet"], SATLAS, pretrained=str(tmp_path / "nine.pth"))
    assert "Satlas has B04,B03,B02,B05" in str(caught.value)
    assert "NDVI" in str(caught.value)


def test_swin_of_torchvision_is_timms(tmp_path: Path) -> None:
    theirs = torchvision_swin(9)
    plain(theirs, tmp_path / "swin.pth")
    given: dict[str, Any] = {"pretrained": str(tmp_path / "swin.pth"), "image_size": 256}
    net, report = loaded(TINY["swin"], SATLAS, **given)
    images = torch.rand(1, 9, 256, 256)
    with torch.no_grad():
        expected = theirs.norm(theirs.features(images))
    torch.testing.assert_close(features(net.backbone, images), expected, rtol=1e-3, atol=1e-4)
    assert set(report.fresh) == {"head.fc.weight", "head.fc.bias"}


def test_softcon_has_a_mean_and_a_deviation_of_each_band(tmp_path: Path) -> None:
    plain(net_of("resnet", 13), tmp_path / "B13_rn50_softcon.pth")
    plain(net_of("dinov2", 13), tmp_path / "vit.pth")
    for file, kind in (("B13_rn50_softcon.pth", "resnet"), ("vit.pth", "dinov2")):
        given: dict[str, Any] = {"pretrained": str(tmp_path / file), "image_size": 56}
        net, _ = loaded(TINY[kind], ALL_BANDS, **given, normalisation="theirs")
        ten = [number for number, band in enumerate(LEVEL_1C) if band != "B10"]
        assert net.statistics[0] == tuple(SOFTCON_MEAN[number] for number in ten)
        assert net.statistics[1] == tuple(SOFTCON_STD[number] for number in ten)


@pytest.mark.parametrize("channels", [2, 4, 5, 10, 12, 13, 14])
def test_channels_of_an_unknown_file_are_not_guessed(channels: int, tmp_path: Path) -> None:
    """One with a head may be anybody's, such as of EuroSAT's thirteen, whose B8A comes last."""
    net = net_of("resnet", channels, num_classes=10)
    plain(net, tmp_path / "weights.pth")
    for bands in (RGB, (*ALL_BANDS, "B10")):
        with pytest.raises(SettingsError, match=f"nobody says which bands its {channels} channels are"):
            loaded(TINY["resnet"], bands, pretrained=str(tmp_path / "weights.pth"))
    mine = [*ALL_BANDS, "B10", "VV"][:channels]
    (tmp_path / "weights.pth.bands.json").write_text(json.dumps({"bands": mine}))
    ours = tuple(reversed(mine))
    again, _ = loaded(TINY["resnet"], ours, pretrained=str(tmp_path / "weights.pth"))
    assert torch.equal(again.backbone.conv1.weight, net.state_dict()["conv1.weight"].flip(1))


def test_two_orders_are_published_of_ten_channels(tmp_path: Path) -> None:
    reben(net_of("resnet", 10), tmp_path / "model.safetensors", bands=None)
    with pytest.raises(SettingsError, match="nobody says which bands its 10 channels are") as caught:
        loaded(TINY["resnet"], TEN, pretrained=str(tmp_path / "model.safetensors"))
    for order in (TEN, BAND_SETS["all-imp"]):
        assert ",".join(order) in str(caught.value)


def test_classes_of_a_publisher_go_by_name(tmp_path: Path) -> None:
    theirs = net_of("resnet", 10, num_classes=3)
    reben(theirs, tmp_path / "model.safetensors", class_names=["sea", "town", "forest"])
    given: dict[str, Any] = {"labels": ("forest", "sea"), "pretrained": str(tmp_path / "model.safetensors")}
    net, report = loaded(TINY["resnet"], TEN, **given)
    assert torch.equal(net.backbone.fc.weight, theirs.fc.weight[[2, 0]])
    assert report.adapted["fc.weight"] == "2 of 2 classes by name, the others fresh"


def test_what_is_beside_an_encoder_is_told(tmp_path: Path) -> None:
    moco(net_of("resnet", 13), tmp_path / "moco.pth")
    _, report = loaded(TINY["resnet"], ALL_BANDS, pretrained=str(tmp_path / "moco.pth"))
    assert any("tensors beside the encoder not used, such as encoder_k." in note for note in report.notes)
    assert "its channels are said by its form and 13 channels" in report.notes


def test_photographs_stay_photographs_and_it_is_said(tmp_path: Path) -> None:
    plain(net_of("resnet", 3, num_classes=1000), tmp_path / "resnet.pth")
    _, report = loaded(TINY["resnet"], ALL_BANDS, pretrained=str(tmp_path / "resnet.pth"))
    assert "its channels are said by nobody, so they are taken for red, green and blue" in report.notes
    assert "B02, B03, B04 by name, 9 more from the mean of B04, B03, B02" in report.adapted["conv1.weight"]
    with pytest.raises(SettingsError, match="nobody says how its numbers were normalised"):
        loaded(TINY["resnet"], RGB, pretrained=str(tmp_path / "resnet.pth"), normalisation="theirs")


def test_onnx_of_other_names_is_of_another_model_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    write_onnx(tmp_path / "folded.onnx", {"onnx::Conv_12": torch.zeros(4, 3, 3, 3)})
    with pytest.raises(SettingsError, match="of another model"):
        loaded(TINY["efficientnet"], RGB, pretrained=str(tmp_path / "folded.onnx"))
    (tmp_path / "cut.onnx").write_bytes(b"\x08\x07\x12\xff\xff")
    with pytest.raises(SettingsError, match="not weights, or damaged"):
        loaded(TINY["efficientnet"], RGB, pretrained=str(tmp_path / "cut.onnx"))


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vit_tiny_patch16_224",
                                  "vit_small_patch16_224", "vit_base_patch8_224", "vit_small_patch14_dinov2",
                                  "vit_base_patch14_dinov2"])  # fmt: skip
def test_which_net_it_is_shows(name: str) -> None:
    with torch.device("meta"):
        state = timm.create_model(name, in_chans=13, num_classes=0).state_dict()
    assert guess_model(to_timm(state)) == name
