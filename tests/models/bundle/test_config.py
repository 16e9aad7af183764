"""Bundles: whole or refused, and the same model before and after."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.bundle.config import CARD, CONFIG, EXAMPLE, METRICS, WEIGHTS, check_bundle, checksum_of, read_config
from models.bundle.weights import load_bundle, write_bundle
from models.explain.maps import explain
from pipelines.errors import BundleError, LabelError
from pipelines.files import sha256_of
from pipelines.pixels.patch import read_stack
from tests.fakes import write_fresh_bundle, write_fresh_ensemble


@pytest.fixture(scope="module")
def ensemble(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fresh_ensemble(tmp_path_factory.mktemp("ensemble") / "ensemble", shards)


@pytest.fixture(params=["bundle", "ensemble"])
def kind(request: pytest.FixtureRequest) -> Path:
    """A bundle of one net, or of several: both go through the same cases."""
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def copy(kind: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kind, tmp_path / "copy"))


def change_config(folder: Path, **values: object) -> None:
    """As somebody writes it who has another config, its checksum too."""
    path = folder / CONFIG
    changed = json.loads(path.read_text()) | values
    path.write_text(json.dumps(changed | {"checksum": checksum_of(changed)}))


def test_round_trip(kind: Path, tmp_path: Path) -> None:
    loaded = load_bundle(kind)
    example = read_stack((kind / EXAMPLE).read_bytes(), wanted=loaded.config.bands)
    write_bundle(tmp_path / "again", loaded.net, loaded.config, json.loads((kind / METRICS).read_text()), example)
    again = load_bundle(tmp_path / "again")
    images = torch.rand(2, loaded.config.in_chans, 120, 120) * 3000
    torch.testing.assert_close(again.net(images), loaded.net(images), rtol=0, atol=0)
    assert again.config.files[WEIGHTS] == loaded.config.files[WEIGHTS]
    assert again.config.members == loaded.config.members


def test_a_bundle_of_one_net_says_what_it_always_said(bundle: Path) -> None:
    """So that versions which know of no ensembles read it."""
    assert "members" not in json.loads((bundle / CONFIG).read_text())


def test_band_order_and_statistics_travel_by_name(shards: Path, tmp_path: Path) -> None:
    """The same weights on bands in another order, with inputs in that order, say the same."""
    first = load_bundle(write_fresh_bundle(tmp_path / "a", shards, bands="B04,B08", seed=2))
    assert list(first.config.mean) == ["B04", "B08"]
    assert first.net.mean.flatten().tolist() == pytest.approx(list(first.config.mean.values()))
    swapped = json.loads((tmp_path / "a" / CONFIG).read_text())
    swapped["mean"] = dict(reversed(swapped["mean"].items()))
    (tmp_path / "a" / CONFIG).write_text(json.dumps(swapped))
    assert torch.equal(load_bundle(tmp_path / "a").net.mean, first.net.mean)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["bands"].reverse(),
        lambda config: config["label_names"].reverse(),
        lambda config: config["thresholds"].update(dict.fromkeys(config["thresholds"], 0.01)),
        lambda config: config.update(temperature=2.0),
        lambda config: config["mean"].update(B04=1.0),
        lambda config: config.pop("checksum"),
    ],
)
def test_a_config_that_a_hand_has_changed_is_refused(copy: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """It would still fit the weights, and serve other predictions without a word."""
    config = json.loads((copy / CONFIG).read_text())
    change(config)
    (copy / CONFIG).write_text(json.dumps(config))
    with pytest.raises(BundleError, match="changed after it was written"):
        read_config(copy)


@pytest.mark.parametrize("name", [WEIGHTS, METRICS, EXAMPLE])
def test_flipped_byte_is_refused(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} is damaged"):
        check_bundle(copy)


WRONG_CONFIGS: dict[str, tuple[dict[str, object], str]] = {
    "newer format": ({"format": 2}, "format 2"),
    "class count": ({"num_classes": 3}, "do not fit each other"),
    "channel count": ({"in_chans": 3}, "do not fit each other"),
    "missing statistic": ({"mean": {}}, "do not fit each other"),
    "missing threshold": ({"thresholds": {}}, "do not fit each other"),
    "other weights": ({"architecture": "resnet18"}, "weights do not fit|nothing else has"),
    "unknown model": ({"architecture": "nonesuch"}, "weights do not fit|nothing else has"),
    "unknown key": ({"surprise": 1}, "config does not fit"),
    "no end to the temperature": ({"temperature": float("inf")}, "finite number"),
    "threshold that is no number": ({"thresholds": {"x": float("nan")}}, "finite number"),
    "threshold beyond 1": ({"thresholds": {"x": 1.5}}, "less than or equal to 1"),
    "mean that is no number": ({"mean": {"B04": float("nan")}}, "finite number"),
    "negative deviation": ({"std": {"B04": -1.0}}, "greater than or equal to 0"),
    "no files": ({"files": {}}, "names no model.safetensors"),
    "weights alone": ({"files": {WEIGHTS: "0"}}, "names no metrics.json"),
    "file outside": ({"files": dict.fromkeys(("../x", WEIGHTS, METRICS, CARD, EXAMPLE), "0")}, r"unexpected file"),
}


@pytest.mark.parametrize("fault", WRONG_CONFIGS)
def test_config_that_does_not_fit_is_refused(copy: Path, fault: str) -> None:
    values, said = WRONG_CONFIGS[fault]
    change_config(copy, **values)
    with pytest.raises(BundleError, match=said):
        load_bundle(copy)


WRONG_MEMBERS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "none": (lambda config: config.update(members=[]), "nothing else has"),
    "one is gone": (lambda config: config["members"].pop(1), "what the members read do not fit"),
    "one more band": (lambda config: config["members"][1]["bands"].append("B02"), "bands and statistics do not fit"),
    "a band twice": (lambda config: config["members"][1].update(bands=["B11", "B11"]), "do not fit each other"),
    "shares of more than all": (lambda config: config["members"][0].update(share=0.5), "do not add up to 1"),
    "a share of none": (lambda config: config["members"][0].update(share=0.0), "greater than 0"),
    "no end to a temperature": (lambda config: config["members"][0].update(temperature=float("inf")), "finite number"),
    "another size": (lambda config: config["members"][2]["architecture_arguments"].update(image_size=64), "is built"),
    "other weights": (lambda config: config["members"][0].update(architecture="landnet-s"), "weights do not fit"),
    "unknown model": (lambda config: config["members"][0].update(architecture="nonesuch"), "weights do not fit"),
    "in one another": (lambda config: config["members"][0].update(architecture="ensemble"), "weights do not fit"),
}


@pytest.mark.parametrize("fault", WRONG_MEMBERS)
def test_members_that_do_not_fit_are_refused(fault: str, ensemble: Path, tmp_path: Path) -> None:
    change, said = WRONG_MEMBERS[fault]
    copy = Path(shutil.copytree(ensemble, tmp_path / "copy"))
    config = json.loads((copy / CONFIG).read_text())
    change(config)
    change_config(copy, **config)
    with pytest.raises(BundleError, match=said):
        load_bundle(copy)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, EXAMPLE])
def test_missing_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        check_bundle(copy)


def test_pickle_under_the_weights_name_is_refused(copy: Path) -> None:
    torch.save({"x": torch.zeros(1)}, copy / WEIGHTS)
    config = read_config(copy)
    change_config(copy, files=config.files | {WEIGHTS: sha256_of(copy / WEIGHTS)})
    with pytest.raises(BundleError, match="weights do not fit"):
        load_bundle(copy)


def test_bundles_are_not_overwritten(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    example = read_stack((bundle / EXAMPLE).read_bytes(), wanted=loaded.config.bands)
    with pytest.raises(BundleError, match="exists already"):
        write_bundle(bundle, loaded.net, loaded.config, {}, example)


def test_model_card_states_the_facts(bundle: Path) -> None:
    card = (bundle / "README.md").read_text()
    config = read_config(bundle)
    assert config.dataset[:16] in card
    assert all(name in card for name in config.label_names)


def test_grad_cam_shape_and_dependence_on_weights(bundle: Path, shards: Path, tmp_path: Path) -> None:
    other = write_fresh_bundle(tmp_path / "other", shards, bands="all", seed=9)
    images = torch.rand(2, 12, 120, 120, generator=torch.Generator().manual_seed(0)) * 3000
    maps = [explain(load_bundle(path), images, "Urban fabric") for path in (bundle, other)]
    assert len(maps[0]) == 2
    assert maps[0][0].heat.shape == (120, 120)
    assert 0 <= maps[0][0].heat.min() <= maps[0][0].heat.max() <= 1
    assert not np.allclose(maps[0][0].heat, maps[1][0].heat)
    with pytest.raises(LabelError, match='Did you mean "Urban fabric"'):
        explain(load_bundle(bundle), images, "Urban fabrik")
