"""Several bundles as one: the mean of what they say, each of its own bands, wherever a bundle goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.bundle.config import CARD, EXAMPLE, METRICS, check_bundle
from models.bundle.onnx_export import check_extra, export_onnx
from models.bundle.weights import Bundle, load_bundle, write_bundle
from models.ensemble.build import Built, build
from models.ensemble.ensemble import best_ensemble
from models.ensemble.join import join
from models.explain.activations import activations, stages_of
from models.explain.maps import METHODS, explain, made_of
from models.explain.tensorboard_graph import FILE
from models.measure.calibrate import Calibration
from models.nets.build import create_net
from models.nets.ensemble import EnsembleNet
from models.pretrained.load import load_pretrained
from models.results.score_split import score_bundle
from models.settings import AssessSettings, ExportSettings, TrainSettings
from models.training.kept_bundle import config_of, example_of
from models.training.loop import Fit
from pipelines.dataset.manifest import open_dataset
from pipelines.errors import BandError, BundleError, SettingsError
from pipelines.feeding.shared import Streamed
from pipelines.feeding.streamed import open_stream
from pipelines.location import locate
from pipelines.pixels.patch import Patch, read_stack
from serve.predictor import Predictor
from tests.models.bright import write_bright

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = 24
BANDS = ("B05", "B04", "B05,B04")
"""Of three trials."""
KEYS = ("B05", "B04")
"""Of them all, in the order in which they are met."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Streamed:
    folder = write_bright(tmp_path_factory.mktemp("ensemble") / "shards", {"train": 48, "validation": 40, "test": 24})
    return Streamed(open_dataset(folder), locate(folder))


@pytest.fixture(scope="module")
def trials(data: Streamed, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Bundles of three short trials, each with another temperature."""
    folders = []
    for number, bands in enumerate(BANDS):
        settings = TrainSettings(model="landnet-s", bands=bands, epochs=1, batch_size=12, seed=number)
        names = bands.split(",")
        given: dict[str, Any] = {
            "mean": [1000.0] * len(names),
            "std": [500.0] * len(names),
            "bands": names,
            "seed": number,
        }
        fit = Fit(create_net("landnet-s", num_classes=2, image_size=SIZE, **given), settings, SIZE, torch.device("cpu"))
        for epoch in fit.epochs(data.get("train", names), data.get("validation", names)):
            assert epoch.number == 1
        rows = data.get("validation", names)
        config = config_of(settings, data.manifest, Calibration(0.5 + number, [0.4, 0.6]), {"study": "s"}, fit.net)
        folders.append(tmp_path_factory.mktemp("trials") / str(number))
        write_bundle(folders[-1], fit.net, config, {}, example_of(rows))
    return folders


@pytest.fixture(scope="module")
def built(data: Streamed, trials: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Built]:
    out = tmp_path_factory.mktemp("built") / "ensemble"
    origins = [{"number": number} for number in (7, 8, 9)]
    return out, build(trials, [1, 1, 2], out, data, metric="ap_macro", origins=origins, trial={"study": "s"})


def patches(data: Streamed, rows: int = 5) -> Tensor:
    chunk = open_stream(data.folder, "test", KEYS, data.manifest).take(np.arange(rows))
    wide = np.repeat(np.repeat(chunk["B05"], 2, axis=1), 2, axis=2)
    return torch.from_numpy(np.stack([wide, chunk["B04"]], axis=1).astype(np.float32))


def mean_of(trials: list[Path], shares: tuple[float, ...], images: Tensor) -> Tensor:
    """The definition: each bundle asked by itself, on its own bands."""
    total = torch.zeros(len(images), 2)
    for folder, share in zip(trials, shares, strict=True):
        bundle = load_bundle(folder)
        own = images[:, [KEYS.index(band) for band in bundle.config.bands]]
        with torch.inference_mode():
            total += share * torch.sigmoid(bundle.net(own) / bundle.config.temperature)
    return total


def test_it_says_the_mean_of_what_its_members_say_of_their_own_bands(
    data: Streamed, trials: list[Path], built: tuple[Path, Built]
) -> None:
    loaded = load_bundle(built[0])
    assert loaded.config.bands == list(KEYS)
    assert [each.bands for each in loaded.config.members] == [bands.split(",") for bands in BANDS]
    images = patches(data)
    expected = mean_of(trials, (0.25, 0.25, 0.5), images)
    with torch.inference_mode():
        torch.testing.assert_close(torch.sigmoid(loaded.net(images)), expected, rtol=1e-5, atol=1e-6)
        holed = images.clone()
        holed[:, 0, :9] = torch.nan
        said = torch.sigmoid(loaded.net(holed))
    torch.testing.assert_close(said, mean_of(trials, (0.25, 0.25, 0.5), holed), rtol=1e-5, atol=1e-6)
    assert (said - expected).abs().max() > 1e-4
    with pytest.raises(BandError, match="3 bands, and the net takes 2"):
        loaded.net(torch.zeros(1, 3, SIZE, SIZE))


def test_a_mean_near_certainty_still_has_a_logit(trials: list[Path]) -> None:
    """In float32 the probability itself would be 1, and its logit infinite."""
    bundles = [load_bundle(folder) for folder in trials[:1] * 2]
    images = torch.full((1, 1, SIZE, SIZE), 700.0)
    with torch.inference_mode():
        (plain,) = bundles[0].net(images)
        sharp = [Bundle(each.config.model_copy(update={"temperature": 1e-3}), each.net) for each in bundles]
        (found,) = join(sharp, [0.5, 0.5]).net(images)
    torch.testing.assert_close(found, plain / 1e-3, rtol=1e-5, atol=1e-3)


def test_what_was_built_is_said_where_people_look(built: tuple[Path, Built]) -> None:
    folder, made = built
    config, said = check_bundle(folder), made.said
    assert config.files == made.config.files
    assert json.loads((folder / METRICS).read_text()) == made.metrics
    assert set(said["gain"]) == set(made.metrics) == {"validation", "test"}
    assert said["gain"]["test"]["ensemble"] == made.metrics["test"]["ap_macro"]
    assert said["cost"]["parameters"] > 2 * said["cost"]["best_parameters"] > 0
    assert said["cost"]["ms"] > said["cost"]["best_ms"] > 0
    card = (folder / CARD).read_text()
    for fact in ("3 nets that answer as one", "| 3 | 0.500 | `landnet-s` | B05, B04 | 2.5 | s, trial 9 |", "Heat maps",
                 f"member {said['best'] + 1}, the best by itself", "ms a patch beside"):  # fmt: skip
        assert fact in card
    assert "Padding" not in card


def test_the_best_member_is_the_one_whose_own_numbers_are_best(
    data: Streamed, trials: list[Path], built: tuple[Path, Built]
) -> None:
    alone = []
    for folder in trials:
        asked = AssessSettings(source=folder, data=str(data.folder), split="validation", explain=0)
        alone.append(score_bundle(asked)["metrics"]["ap_macro"])
    said = built[1].said
    assert said["best"] == alone.index(max(alone))
    assert said["gain"]["validation"]["best"] == pytest.approx(max(alone), abs=1e-9)
    asked = AssessSettings(source=built[0], data=str(data.folder), split="test", explain=0)
    assert score_bundle(asked)["metrics"]["ap_macro"] == pytest.approx(said["gain"]["test"]["ensemble"], abs=1e-6)


def half_blind(folder: Path, out: Path, row: int) -> Path:
    """The same bundle, that knows nothing of one class."""
    bundle = load_bundle(folder)
    with torch.no_grad():
        for key, weight in bundle.net.named_parameters():
            if key.startswith("backbone.head.1."):
                weight[row] = 0
    example = read_stack((folder / EXAMPLE).read_bytes(), wanted=bundle.config.bands)
    write_bundle(out, bundle.net, bundle.config, {}, example)
    return out


def test_members_are_chosen_and_written_only_where_they_help(
    data: Streamed, trials: list[Path], tmp_path: Path
) -> None:
    assert best_ensemble(trials[:1] * 2, tmp_path / "none", data, "ap_macro") is None
    assert not list(tmp_path.iterdir())
    halves = [half_blind(trials[1], tmp_path / str(row), row) for row in (0, 1)]
    origins: list[dict[str, Any]] = [{"number": number} for number in (11, 12)]
    made = best_ensemble(halves, tmp_path / "some", data, "ap_macro", origins=origins)
    assert made is not None
    assert sorted(each.trial["number"] for each in made.config.members) == [11, 12]
    shares = [each.share for each in made.config.members]
    assert shares == sorted(shares, reverse=True)
    assert made.said["gain"]["validation"]["ensemble"] > made.said["gain"]["validation"]["best"] + 0.02
    assert (made.said["candidates"], made.said["patches"]) == (2, 40)
    with pytest.raises(BundleError, match="no bundles"):
        best_ensemble([], tmp_path / "x", data, "ap_macro")


@pytest.mark.parametrize("method", METHODS)
def test_its_maps_are_the_mean_of_its_members_maps(
    data: Streamed, trials: list[Path], built: tuple[Path, Built], method: str
) -> None:
    loaded, images = load_bundle(built[0]), patches(data, 3)
    label = loaded.config.label_names[0]
    expected = np.zeros((3, SIZE, SIZE), np.float32)
    for folder, share in zip(trials, (0.25, 0.25, 0.5), strict=True):
        alone = load_bundle(folder)
        own = images[:, [KEYS.index(band) for band in alone.config.bands]]
        expected += share * np.stack([each.heat for each in explain(alone, own, label, method)])
    for heat, mean in zip(explain(loaded, images, label, method), expected, strict=True):
        assert heat.evidence == (mean.max() > 0)
        np.testing.assert_allclose(heat.heat, mean / (mean.max() or 1), rtol=1e-4, atol=1e-5)
    assert "mean of its 3 members'" in made_of(loaded)
    assert all(each.requires_grad for each in loaded.net.parameters())
    assert made_of(load_bundle(trials[0])) == ""


def test_its_stages_are_those_of_the_heaviest_member(
    data: Streamed, trials: list[Path], built: tuple[Path, Built]
) -> None:
    loaded, images = load_bundle(built[0]), patches(data, 1)
    (found,), (expected,) = (activations(each, images) for each in (loaded, load_bundle(trials[2])))
    assert [each.name for each in found] == [each.name for each in expected]
    np.testing.assert_array_equal(found[0].mean, expected[0].mean)
    assert stages_of(loaded) == "; member 3 of 3, landnet-s"


def test_it_is_served_as_any_other(data: Streamed, trials: list[Path], built: tuple[Path, Built]) -> None:
    predictor = Predictor(built[0])
    chunk = open_stream(data.folder, "test", KEYS, data.manifest).take(np.arange(2))
    given = [Patch({band: chunk[band][row] for band in KEYS}) for row in range(2)]
    mean = mean_of(trials, (0.25, 0.25, 0.5), patches(data, 2)).logit()
    expected = torch.sigmoid(mean / predictor.config.temperature)
    for row, answer in enumerate(predictor.predict(given)):
        said = {each.label: each.probability for each in answer}
        found = [said[name] for name in predictor.config.label_names]
        np.testing.assert_allclose(found, expected[row], rtol=1e-4, atol=1e-5)
    png, _ = predictor.heat_png(given[0], predictor.config.label_names[0])
    assert b"mean of its 3 members'" in png


def test_its_results_have_all_that_a_nets_have(data: Streamed, built: tuple[Path, Built], tmp_path: Path) -> None:
    told: list[str] = []
    asked = AssessSettings(source=built[0], data=str(data.folder), out=tmp_path / "out", explain=1)
    files = score_bundle(asked, told.append)["files"]
    assert told == []
    assert {"activations.pdf", "gradcam_visualizations/best_01.png", FILE} <= set(files)


def test_its_onnx_file_gives_torchs_numbers(built: tuple[Path, Built], tmp_path: Path) -> None:
    check_extra()
    found = export_onnx(ExportSettings(source=built[0], out=tmp_path / "model.onnx"))
    assert found["input"].startswith("digital_numbers: float32 (batch, 2,")


def test_a_member_keeps_what_it_normalises_by(trials: list[Path]) -> None:
    """Pretrained weights may have brought their own statistics of a band that others read too."""
    bundles = [load_bundle(folder) for folder in (trials[0], trials[2])]
    bundles[1].net.normalise_by([10.0, 20.0], [1.0, 2.0])
    joined = join(bundles, [0.5, 0.5])
    assert joined.config.members[1].mean == {"B05": 10.0, "B04": 20.0}
    assert joined.config.mean == {"B05": bundles[0].config.mean["B05"], "B04": 20.0}
    assert isinstance(joined.net, EnsembleNet)


def test_what_cannot_be_a_member_is_refused(
    data: Streamed, trials: list[Path], built: tuple[Path, Built], tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="an ensemble itself"):
        build([trials[0], built[0]], [1, 1], tmp_path / "x", data, metric="ap_macro")
    with pytest.raises(BundleError, match="no ensemble"):
        build(trials, [1, 0, 1], tmp_path / "x", data, metric="ap_macro")
    other = write_bright(tmp_path / "other", {"train": 9, "validation": 9})
    strange = Streamed(open_dataset(other), locate(other))
    with pytest.raises(BundleError, match="trained on another dataset"):
        build(trials, [1, 1, 1], tmp_path / "x", strange, metric="ap_macro")
    net = create_net("landnet-s", mean=[0.0], std=[1.0], bands=["B04"], num_classes=2, image_size=SIZE)
    with pytest.raises(SettingsError, match="one cannot start from it"):
        load_pretrained(net, "landnet-s", str(built[0]), bands=["B04"], labels=data.manifest.label_names)
    with pytest.raises(SettingsError, match="trained already"):
        create_net("ensemble", mean=[0.0], std=[1.0], bands=["B04"], num_classes=2)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
