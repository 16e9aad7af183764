"""`landsweep probe`: it learns what can be learned, says what its bundle says, and is registered and served."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

import landsweep
from models.bundle.config import CARD, EXAMPLE, check_bundle, read_metrics
from models.bundle.weights import load_bundle
from models.measure.prediction_file import read_predictions
from models.nets.build import create_net
from models.nets.random_convolutions import NAME
from models.probe.probe import FLOOR, probe
from models.results.score_split import score_bundle
from models.settings import AssessSettings, ProbeSettings
from models.training.run_folder import open_run
from pipelines.errors import BandError, BundleError, InputError, SettingsError, ShardError, TrainingError
from pipelines.feeding.rows import read_split
from pipelines.pixels.patch import Patch
from serve.predictor import Predictor
from serve.registry import add_bundle
from serve.routes import create_app
from serve.schema import LabelPrediction, ModelInfo
from tests.doors.in_process import InProcess
from tests.doors.requests import TIFF
from tests.models.bright import LABELS, write_bright
from tests.models.runs import Ears
from tests.ui.stand_in import StandIn

pytestmark = pytest.mark.usefixtures("one_thread")


def settings_for(data: Path, out: Path, **more: Any) -> ProbeSettings:
    return ProbeSettings.parse({"data": data, "out": out, "threads": 1, "explain": 0, "seed": 3} | more)


@pytest.fixture(scope="module")
def probed(bright: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[str]]:
    """A probe on random convolutions, what it returned, and what it told."""
    out, told = tmp_path_factory.mktemp("probe") / "run", list[str]()
    return out, probe(settings_for(bright, out, explain=1), told.append), told


def test_it_learns_what_can_be_learned_and_beats_what_is_simpler(
    probed: tuple[Path, dict[str, Any], list[str]],
) -> None:
    _, found, _ = probed
    assert found["metrics"]["test"]["ap_macro"] > 0.97
    assert list(found["floor"]) == ["probe", "nearest neighbours", "band statistics", "training frequencies"]
    reached = {name: each["test"]["ap_macro"] for name, each in found["floor"].items()}
    assert reached["training frequencies"] < 0.7 < reached["nearest neighbours"]
    assert reached["probe"] == found["metrics"]["test"]["ap_macro"] > reached["training frequencies"] + 0.2


def test_its_folder_is_a_runs(probed: tuple[Path, dict[str, Any], list[str]], bright: Path) -> None:
    run, found, told = probed
    config = check_bundle(run / "checkpoints" / "best_acc")
    assert (config.architecture, config.label_names, config.bands) == (NAME, LABELS, ["B04", "B05"])
    assert config.trial["probe"] == {"strength": found["strength"], "features": 512}
    assert config.trial["parameters"]["model"] == NAME
    assert not {"data", "out"} & set(config.trial["parameters"]), "a bundle goes to others"
    results = {path.relative_to(run / "results").as_posix() for path in (run / "results").rglob("*") if path.is_file()}
    assert {"best_metrics.json", "predictions.npz", "activations.pdf", "gradcam_visualizations/best_01.png"} <= results
    assert set(found["results"]) <= results
    assert not [line for line in told if line.startswith("No ")], "all could be shown"
    floor = json.loads((run / "results" / FLOOR).read_text())
    assert floor["probe"] == read_metrics(run / "checkpoints" / "best_acc")
    assert (
        floor["probe"]["test"]["f1_macro"]
        == json.loads((run / "results/best_test_metrics.json").read_text())["f1_macro"]
    )
    record = json.loads((run / "run.json").read_text())
    assert (record["kind"], record["data"], record["settings"]["model"]) == ("probe", config.dataset, NAME)
    assert all(line in (run / "logs" / "train.log").read_text() for line in told)
    card = (run / "checkpoints" / "best_acc" / CARD).read_text()
    assert "- A probe: a logistic regression a class on frozen features" in card
    assert "not a setting of this version" not in card
    with pytest.raises(SettingsError, match=r"a probe is fitted at once, there is nothing to resume\. Score it with"):
        open_run(run)
    again = score_bundle(AssessSettings(source=run, data=str(bright), explain=0, out=run.parent / "again"))
    assert again["metrics"]["ap_macro"] == pytest.approx(floor["probe"]["test"]["ap_macro"], abs=1e-6)


def test_the_predictor_says_of_its_bundle_what_the_probe_said(
    probed: tuple[Path, dict[str, Any], list[str]], bright: Path
) -> None:
    run, _, _ = probed
    predictor = Predictor(run / "checkpoints" / "best_acc", device="cpu", threads=1)
    said, split = read_predictions(run / "results" / "predictions.npz"), read_split(bright, "test", ("B04", "B05"))
    chunk = split.take(np.arange(len(split)))
    patches = [Patch({band: chunk[band][row] for band in split.bands}) for row in range(len(split))]
    for row, found in enumerate(predictor.predict(patches)):
        served = {each.label: each.probability for each in found}
        assert [served[name] for name in said.label_names] == pytest.approx(said.probabilities[row].tolist(), abs=1e-5)


class Replica(StandIn):
    """The endpoint with one real bundle behind it."""

    def __init__(self, bundle: Path) -> None:
        self.bundle, self.predictor = bundle, Predictor(bundle, device="cpu", threads=1)
        config = self.predictor.config
        given: dict[str, Any] = config.model_dump(include=set(ModelInfo.model_fields) & set(type(config).model_fields))
        more = {"labels": config.label_names, "metrics": read_metrics(bundle), "name": "floor", "version": 1}
        super().__init__((ModelInfo(**given | more),))

    async def predict(self, model: str, patch: Patch) -> list[LabelPrediction]:
        return self.predictor.predict([patch])[0]


def test_it_is_registered_and_served(probed: tuple[Path, dict[str, Any], list[str]], tmp_path: Path) -> None:
    run, _, _ = probed
    entry = add_bundle(tmp_path / "registry", "floor", run)
    assert (entry.name, entry.version) == ("floor", 1)
    replica = Replica(entry.path)
    with httpx.Client(transport=InProcess(create_app(replica)), base_url="http://endpoint.test") as client:
        (listed,) = client.get("/v1/models").json()["models"]
        answer = client.post("/v1/predict", content=(entry.path / EXAMPLE).read_bytes(), headers=TIFF)
    assert (listed["name"], listed["architecture"]) == ("floor", NAME)
    assert answer.status_code == 200, answer.text
    assert {each["label"] for each in answer.json()["predictions"]} == set(LABELS)


def test_a_bundles_own_features_are_taken(
    trained: tuple[Path, dict[str, Any], Ears], bright: Path, tmp_path: Path
) -> None:
    """Its bands too; all weights but those of the last layer stay as they were."""
    run, _, _ = trained
    found = probe(settings_for(bright, tmp_path / "run", pretrained=str(run), test=False, explain=0))
    assert set(found["metrics"]) == {"train", "validation"}
    theirs, ours = load_bundle(run / "checkpoints" / "best_acc"), load_bundle(Path(found["bundle"]))
    assert (ours.config.architecture, ours.config.bands) == (theirs.config.architecture, theirs.config.bands)
    assert ours.config.trial["parameters"]["pretrained"] == run.name, "no path of this machine"
    mine, known = ours.net.state_dict(), theirs.net.state_dict()
    changed = {key for key in known if not np.array_equal(mine[key].numpy(), known[key].numpy())}
    assert changed == {"backbone.head.1.weight", "backbone.head.1.bias"}
    reached = json.loads((run / "results" / "best_metrics.json").read_text())["ap_macro"]
    assert found["metrics"]["validation"]["ap_macro"] > reached - 0.05


def test_weights_from_a_file_and_none_at_all(bright: Path, tmp_path: Path) -> None:
    told: list[str] = []
    given = {"model": "test_resnet", "test": False, "bands": "B04"}
    found = probe(settings_for(bright, tmp_path / "drawn", **given), told.append)
    assert "no weights are given: test_resnet as it is drawn. Name some with --pretrained." in told
    assert load_bundle(Path(found["bundle"])).config.bands == ["B04"]
    net = create_net("test_resnet", mean=[0.0] * 3, std=[1.0] * 3, bands=("B04", "B03", "B02"), num_classes=2, seed=1)
    torch.save(net.backbone.state_dict(), tmp_path / "weights.pth")
    probe(settings_for(bright, tmp_path / "file", pretrained=str(tmp_path / "weights.pth"), **given), told.append)
    assert any("weights.pth loaded" in line for line in told)


def test_what_is_wrong_is_said_before_anything_is_written(bright: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    alone = write_bright(tmp_path / "alone", {"train": 10})
    (tmp_path / "weights.pth").write_bytes(b"")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    wrong: tuple[tuple[ProbeSettings, type[InputError], str], ...] = (
        (ProbeSettings(out=out), SettingsError, "no dataset is given"),
        (settings_for(tmp_path / "absent", out), ShardError, "no such dataset folder"),
        (settings_for(alone, out), ShardError, 'no patches in split "validation"'),
        (settings_for(bright, out, bands="B09"), BandError, "B09"),
        (settings_for(bright, out, model="Landnet"), SettingsError, "unknown model"),
        (settings_for(bright, out, pretrained=str(tmp_path / "weights.pth")), SettingsError, "not of which model"),
        (settings_for(bright, out, pretrained=str(bright)), BundleError, "no bundle there"),
        (settings_for(bright, out, device="nix"), SettingsError, 'device: no device "nix" here'),
        (settings_for(bright, tmp_path / "full"), SettingsError, "folder is not empty"),
        (settings_for(bright, bright / "manifest.json"), SettingsError, "not a folder"),
    )
    for settings, kind, said in wrong:
        with pytest.raises(kind, match=said):
            probe(settings)
        assert not out.exists()


def test_a_metric_without_a_value_is_said(tmp_path: Path) -> None:
    few = write_bright(tmp_path / "data", {"train": 20, "validation": 1})
    with pytest.raises(TrainingError, match="validation split: auroc_macro has no value"):
        probe(settings_for(few, tmp_path / "run", metric="auroc_macro"))


def test_the_command_line_prints_a_table_beside_what_is_simpler(
    bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", bright, "--out", tmp_path / "run", "--threads", 1, "--explain", 0]
    monkeypatch.setattr(sys, "argv", ["landsweep", "probe", *map(str, flags)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        landsweep.main()
    printed = capsys.readouterr()
    assert not ended.value.code, printed.err
    assert "nearest neighbours" in printed.out
    assert "whitened squares" in printed.err
    with pytest.raises(SystemExit) as ended:
        landsweep.main()
    assert ended.value.code == 2
    assert "there is a run already" in capsys.readouterr().err
