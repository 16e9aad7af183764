"""`landsweep models weights`: what a file is, and what of it would be loaded; for people and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from models.bundle.weights import write_bundle
from models.pretrained.describe import describe_weights
from models.settings import WeightsSettings
from pipelines.errors import SettingsError
from tests.doors.command_line import landsweep
from tests.models.nets.test_build import config_of, patch_of
from tests.models.pretrained.others import TINY, moco, net_of, plain
from tests.models.pretrained.test_load import fresh, loaded

pytestmark = pytest.mark.usefixtures("one_thread")


def said_of(*arguments: str | Path) -> str:
    ended = landsweep("models", "weights", *arguments)
    assert ended.code == 0, ended.err
    return ended.out


def test_a_known_file_is_told_with_what_would_be_loaded(tmp_path: Path) -> None:
    moco(net_of("resnet", 13), tmp_path / "moco.pth")
    found = json.loads(said_of(tmp_path / "moco.pth", "--model", TINY["resnet"], "--bands", "rgb", "--json"))
    assert (found["form"], found["publisher"], found["channels"]) == ("moco", "SSL4EO-S12", 13)
    assert found["bands"][9:] == ["B09", "B10", "B11", "B12"]
    assert found["written_as"] == "pickle within state_dict"
    assert found["normalisation"] == "digital numbers / 10,000"
    assert "encoder_k.conv1.weight" in found["beside_the_encoder"]
    tried = found["would_load"]
    assert (tried["model"], tried["on"]) == (TINY["resnet"], ["B04", "B03", "B02"])
    assert tried["adapted"]["conv1.weight"].startswith("B04, B03, B02 by name, B01, B05")
    assert set(tried["fresh"]) == {"fc.weight", "fc.bias"}
    text = said_of(tmp_path / "moco.pth", "--model", TINY["resnet"])
    assert "bands: B01, B02, B03" in text
    assert "conv1.weight, adapted: B01, B02" in text
    assert "fc.weight, fc.bias, fresh: the source has none" in text


def test_a_file_whose_channels_nobody_names_is_told_with_the_way_to_name_them(tmp_path: Path) -> None:
    plain(net_of("resnet", 5, num_classes=4), tmp_path / "five.pth")
    text = said_of(tmp_path / "five.pth")
    assert "bands: none" in text
    assert "hint: Name them in their order: pretrained_bands" in text
    found = describe_weights(WeightsSettings(file=tmp_path / "five.pth"))
    assert (found["channels"], found["classes"], found["would_load"]) == (5, 4, None)
    with pytest.raises(SettingsError, match="nobody says which bands its 5 channels are"):
        describe_weights(WeightsSettings(file=tmp_path / "five.pth", model=TINY["resnet"]))
    named = WeightsSettings(file=tmp_path / "five.pth", model=TINY["resnet"], pretrained_bands="B4,B3,B2,B8,B11")
    assert describe_weights(named)["bands"] == ["B04", "B03", "B02", "B08", "B11"]


def test_a_bundle_is_told_from_its_config(tmp_path: Path) -> None:
    bands = ("B04", "B08")
    net = fresh("test_resnet", bands)
    write_bundle(tmp_path / "bundle", net, config_of("test_resnet", [*bands], ["a", "b"]), {}, patch_of([*bands]))
    for file in (tmp_path / "bundle", tmp_path / "bundle" / "model.safetensors"):
        found = describe_weights(WeightsSettings(file=file, bands="rgb-nir"))
        assert (found["form"], found["seems_to_be"], found["bands"]) == ("bundle", "test_resnet", ["B04", "B08"])
        assert found["would_load"]["adapted"]["conv1.0.weight"].startswith("B04, B08 by name, 2 more from the mean")


def test_what_is_no_file_of_weights_is_refused_in_a_line(tmp_path: Path) -> None:
    ended = landsweep("models", "weights", tmp_path / "absent.pth")
    assert ended.code == 2
    assert "no such file of weights" in ended.err


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cloud nets of the German Aerospace Center, from the package index: 145 MB. Their code is not installed."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "-q", "-d"]
    ended = subprocess.run([*command, str(folder), "ukis-csmask==1.0.0"], capture_output=True, text=True)
    if ended.returncode:
        pytest.skip(f"the package index does not give it: {ended.stderr.strip().splitlines()[-1]}")
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    return folder / "ukis_csmask"


@pytest.mark.slow
@pytest.mark.parametrize(("file", "bands"), [
    ("model_4b_l1c", ["B02", "B03", "B04", "B08"]),
    ("model_6b_l2a", ["B02", "B03", "B04", "B08", "B11", "B12"]),
])  # fmt: skip
def test_the_cloud_nets_encoder_is_taken_whole(wheel: Path, file: str, bands: list[str]) -> None:
    """All 603 of its tensors fit timm's net, of which they are 16.87 of 17.68 million numbers."""
    found = describe_weights(WeightsSettings(file=wheel / f"{file}.onnx", bands=",".join(bands)))
    assert (found["seems_to_be"], found["bands"]) == ("tf_efficientnet_b4", bands)
    tried = found["would_load"]
    assert len(tried["loaded"]) == 603
    assert tried["unused"] == []
    assert {name.partition(".")[0] for name in tried["fresh"]} == {"conv_head", "bn2", "classifier"}
    given: dict[str, Any] = {"pretrained": str(wheel / f"{file}.onnx"), "normalisation": "theirs"}
    net, report = loaded("tf_efficientnet_b4", tuple(bands), **given)
    said = json.loads((wheel / f"{file}.json").read_text())["data"]["dataset_statistics"]["img"]
    torch.testing.assert_close(net.mean.flatten(), torch.tensor(said[0]) * 10_000)
    torch.testing.assert_close(net.std.flatten(), torch.tensor(said[1]) * 10_000)
    assert report.share > 0.95
