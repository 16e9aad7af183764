"""Training runs: all is in the folder, what is wrong is said before anything is written, nothing good is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle.config import check_bundle, read_config, read_metrics
from models.bundle.locate import RECORD
from models.device import pick_device
from models.explain.tensorboard_graph import FILE
from models.measure.prediction_file import read_predictions
from models.report.epoch_table import TABLE, read_epochs
from models.report.learning import draw_learning
from models.results.score_split import score_bundle
from models.settings import AssessSettings, RunSettings
from models.training.checkpoint import STATE, read_state
from models.training.run_folder import folder_of, open_run
from models.training.train import scoring_device, train
from pipelines.drawing.canvas import png_of
from pipelines.errors import BandError, BundleError, BusyError, ServiceError, SettingsError, ShardError, TrainingError
from pipelines.files import exclusive
from tests.models.bright import LABELS, write_bright
from tests.models.events import read_graph
from tests.models.runs import Ears, scalars, settings_for, tables, train_alone

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_folder_has_what_the_design_names(trained: tuple[Path, dict[str, Any], Ears]) -> None:
    run, found, ears = trained
    for name in ("best_acc", "best_loss", "final"):
        check_bundle(run / "checkpoints" / name)
    results = {path.relative_to(run / "results").as_posix() for path in (run / "results").rglob("*") if path.is_file()}
    assert {
        "best_metrics.json", "best_test_metrics.json", "train_per_class_metrics.json", "val_per_class_metrics.json",
        "test_per_class_metrics.json", "predictions.npz", "calibration.json", "visualizations/confusion_matrix.png",
        "visualizations/learning_curves.png", "gradcam_visualizations/best_01.png",
        "gradcam_visualizations/worst_01.png", "activations.pdf", FILE,
    } <= results  # fmt: skip
    assert set(found["results"]) <= results
    assert not [line for line in ears.lines if line.startswith("No ")], "all could be shown"
    assert any(name.startswith("ReflectanceNet/LandNet[backbone]/") for name in read_graph(run / "results" / FILE))
    logs = sorted(path.name.split(".")[0] for path in (run / "logs").iterdir())
    assert logs == ["epochs", "events", "train"]
    assert not (run / "checkpoints" / STATE).exists()
    assert not [path for path in run.rglob(".*") if path.name != ".lock"], "nothing that was set aside stays"


def test_the_record_says_where_the_run_comes_from(trained: tuple[Path, dict[str, Any], Ears], bright: Path) -> None:
    run, _, _ = trained
    record = open_run(run).record
    config = read_config(run / "checkpoints" / "final")
    assert record.settings == settings_for(bright, run, explain=1, feed="memory"), "as resolved"
    assert record.data == config.dataset
    assert len(record.code) == 64
    assert {"torch", "timm", "numpy", "python"} <= set(record.versions)
    assert record.begun <= record.ended, "to the second"
    assert config.trial["parameters"]["batch_size"] == 16
    assert "data" not in config.trial["parameters"], "a bundle goes to others: no paths of this machine"


def test_learning_curves_mark_the_epoch_that_is_scored(trained: tuple[Path, dict[str, Any], Ears]) -> None:
    run, _, _ = trained
    rows = read_epochs(run / TABLE)
    best = max(rows, key=lambda row: row["ap_macro"])["epoch"]
    drawn = (run / "results" / "visualizations" / "learning_curves.png").read_bytes()
    assert drawn == png_of(draw_learning(rows, best))


def test_what_was_measured_is_everywhere_the_same(trained: tuple[Path, dict[str, Any], Ears], bright: Path) -> None:
    run, found, _ = trained
    metrics = read_metrics(run / "checkpoints" / "best_acc")
    assert set(metrics) == {"validation", "test"}
    rows = [json.loads(line) for line in (run / "logs" / "epochs.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert max(row["ap_macro"] for row in rows) == pytest.approx(metrics["validation"]["ap_macro"], abs=1e-6)
    assert found["metrics"]["test"]["ap_macro"] == pytest.approx(metrics["test"]["ap_macro"], abs=1e-4)
    stored = json.loads((run / "results" / "best_test_metrics.json").read_text())
    assert stored["f1_macro"] == metrics["test"]["f1_macro"]
    predictions = read_predictions(run / "results" / "predictions.npz")
    assert (predictions.split, predictions.label_names, len(predictions)) == ("test", tuple(LABELS), 24)
    assert predictions.patch_ids is not None
    assert predictions.patch_ids.tolist() == [f"test-{row}" for row in range(24)]
    effect = json.loads((run / "results" / "calibration.json").read_text())
    assert set(effect) == {"train", "validation", "test"}
    assert effect["test"]["with"]["f1_macro"] == metrics["test"]["f1_macro"]
    assert effect["validation"]["with"]["bce"] <= effect["validation"]["without"]["bce"]


def test_the_logs_are_for_people_and_for_tensorboard(trained: tuple[Path, dict[str, Any], Ears]) -> None:
    run, _, ears = trained
    text = (run / "logs" / "train.log").read_text()
    assert all(line in text for line in ears.lines if line.startswith("epoch"))
    assert [line.split(":")[0] for line in ears.lines if line.startswith("epoch")] == [
        f"epoch {n}/3" for n in (1, 2, 3)
    ]
    assert ears.steps[-1] == (15, 15)
    (events,) = (run / "logs").glob("events*")
    rows = [json.loads(line) for line in (run / "logs" / "epochs.jsonl").read_text().splitlines()]
    seen = scalars(events)
    for name in ("training/train_loss", "training/learning_rate", "validation/ap_macro", "validation/f1_macro"):
        expected = [row[name.split("/")[1]] for row in rows]
        assert [seen[name, step] for step in (1, 2, 3)] == pytest.approx(expected, rel=1e-6)


def test_a_folder_is_used_once(bright: Path, tmp_path: Path, trained: tuple[Path, dict[str, Any], Ears]) -> None:
    with pytest.raises(SettingsError, match="there is a run already"):
        train(settings_for(bright, trained[0]))
    with pytest.raises(SettingsError, match="no run there"):
        train(RunSettings(out=tmp_path / "absent"), resume=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    with pytest.raises(SettingsError, match="folder is not empty"):
        train(settings_for(bright, tmp_path / "full"))
    with exclusive(tmp_path / "busy" / ".lock", "this test"), pytest.raises(BusyError, match="already running"):
        train(settings_for(bright, tmp_path / "busy"))
    assert folder_of(RunSettings(model="landnet", bands="B04,B08", seed=3)) == Path("experiments/landnet_B04_B08_3")


def test_what_is_wrong_is_said_before_anything_is_written(bright: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    small = write_bright(tmp_path / "small", {"train": 10})
    for settings, kind, said in (
        (RunSettings(out=out), SettingsError, "no dataset is given"),
        (settings_for(tmp_path / "absent", out), ShardError, "no such dataset folder"),
        (settings_for(small, out), ShardError, 'no patches in split "validation"'),
        (settings_for(bright, out, bands="B09"), BandError, "B09"),
        (settings_for(bright, out, model="Landnet"), SettingsError, "unknown model"),
        (settings_for(bright, bright / "manifest.json"), SettingsError, "not a folder"),
        (settings_for(bright, out, batch_size=1), SettingsError, "batch norm needs 2 patches"),
        (settings_for(bright, out, pretrained=str(tmp_path / "absent")), SettingsError, "no such file of weights"),
        (settings_for(bright, out, device="nix"), SettingsError, 'device: no device "nix" here'),
    ):
        with pytest.raises(kind, match=said):
            train(settings)
        assert not out.exists()


def test_a_refused_run_leaves_a_folder_that_was_there_as_it_was(bright: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to("disk")
    with pytest.raises(SettingsError, match="batch norm needs 2 patches"):
        train(settings_for(bright, tmp_path / "run", batch_size=1))
    assert (tmp_path / "run").is_symlink()
    assert not list((tmp_path / "disk").iterdir())


def test_a_run_whose_weights_cannot_be_fetched_leaves_nothing(bright: Path, tmp_path: Path) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ServiceError("the hub does not give them", where="pretrained")

    with pytest.raises(ServiceError):
        train(settings_for(bright, tmp_path / "run", pretrained="hub"), fit=unreachable)
    assert not (tmp_path / "run").exists()


def test_a_head_without_the_workers_device_scores_on_its_own() -> None:
    assert scoring_device(RunSettings(device="nix", workers=2)) == pick_device("auto")
    with pytest.raises(SettingsError, match='no device "nix" here'):
        scoring_device(RunSettings(device="nix"))


def test_a_job_of_a_cluster_is_told_that_its_own_folder_is_temporary(
    bright: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    with pytest.raises(SettingsError, match=r"out: .*temporary folder"):
        train(settings_for(bright, Path("run")))


def test_divergence_keeps_what_was_reached_before(bright: Path, tmp_path: Path) -> None:
    settings = settings_for(
        bright, tmp_path / "run", learning_rate=10, weight_decay=10, warmup=0.9, clip=0, epochs=60, checkpoint_steps=1
    )
    said = r"Lower the learning rate.* What was reached before is kept in .* --pretrained .*/best_acc\."
    with pytest.raises(TrainingError, match=said) as caught:
        train(settings)
    state = read_state(tmp_path / "run" / "checkpoints" / STATE)
    assert all(bool(tensor.isfinite().all()) for tensor in state["fit"]["net"].values())
    check_bundle(tmp_path / "run" / "checkpoints" / "best_acc")
    assert str(caught.value).split(".")[0] in (tmp_path / "run" / "logs" / "train.log").read_text()
    assert not open_run(tmp_path / "run").record.ended
    train_alone(settings_for(bright, tmp_path / "calmer", pretrained=str(tmp_path / "run"), epochs=1))
    assert tables(tmp_path / "calmer")[-1]["ap_macro"] > 0.4, "the way out that it names is one"


def test_training_stops_where_patience_ends(bright: Path, tmp_path: Path) -> None:
    ears = Ears()
    ears.run(settings_for(bright, tmp_path / "run", epochs=50, patience=2, learning_rate=1e-9, test=False))
    rows = tables(tmp_path / "run")
    best = int(np.argmax([row["ap_macro"] for row in rows]))
    assert len(rows) == best + 1 + 2
    check_bundle(tmp_path / "run" / "checkpoints" / "final")
    assert read_predictions(tmp_path / "run" / "results" / "predictions.npz").split == "validation"
    assert not (tmp_path / "run" / "results" / "best_test_metrics.json").exists()


def test_a_dataset_without_test_patches_is_said_to_have_none(tmp_path: Path) -> None:
    ears = Ears()
    alone = write_bright(tmp_path / "shards", {"train": 40, "validation": 20})
    found = ears.run(settings_for(alone, tmp_path / "run", epochs=1))
    assert set(found["metrics"]) == {"train", "validation"}
    assert "Not scored on test: the dataset has no such patches." in ears.lines


def test_a_run_or_a_bundle_is_scored_again(
    bright: Path, tmp_path: Path, trained: tuple[Path, dict[str, Any], Ears]
) -> None:
    run, _, _ = trained
    before = json.loads((run / "results" / "best_test_metrics.json").read_text())
    bundle = AssessSettings(source=run / "checkpoints" / "best_loss", data=str(bright), split="validation")
    found = score_bundle(bundle)
    rows = tables(run)
    lowest = min(rows, key=lambda row: float(row["validation_loss"]))
    assert found["metrics"]["ap_macro"] == pytest.approx(lowest["ap_macro"], abs=1e-6)
    assert "out" not in found, "a bundle's folder is not written to"
    assert found["note"] == "to keep results and draw their report, name a folder with --out"
    final = score_bundle(AssessSettings(source=run, data=str(bright), checkpoint="final", explain=0))
    assert final["out"] == str(run / "results_final")
    assert (run / "results_final" / "visualizations" / "learning_curves.png").is_file()
    assert json.loads((run / "results" / "best_test_metrics.json").read_text()) == before, "those of the best epoch"
    shutil.copytree(run / "checkpoints" / "best_acc", tmp_path / "search" / "checkpoints" / "best")
    found = score_bundle(AssessSettings(source=tmp_path / "search", data=str(bright), explain=0))
    assert found["bundle"].endswith("best"), "a search keeps one bundle"
    assert found["metrics"]["ap_macro"] == before["ap_macro"]
    assert all((tmp_path / "search" / "results" / name).is_file() for name in found["files"])
    assert json.loads((tmp_path / "search" / "results" / "best_test_metrics.json").read_text()) == before


def test_scoring_what_does_not_fit_is_refused(
    bright: Path, tmp_path: Path, trained: tuple[Path, dict[str, Any], Ears]
) -> None:
    run, _, _ = trained
    other = write_bright(tmp_path / "other", {"test": 12})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "calibration.json").write_text("junk")
    told: list[str] = []
    found = score_bundle(AssessSettings(source=run, data=str(other), out=tmp_path / "out", explain=0), told.append)
    assert found["note"] == "this is not the dataset that the model was trained on"
    assert any("calibration.json is damaged" in line for line in told)
    assert set(json.loads((tmp_path / "out" / "calibration.json").read_text())) == {"test"}
    before = (run / "results" / "calibration.json").read_text()
    found = score_bundle(AssessSettings(source=run, data=str(other), explain=0))
    assert ("out" in found, "name a folder with --out" in found["note"]) == (False, True)
    assert (run / "results" / "calibration.json").read_text() == before
    manifest = other / "manifest.json"
    for number, label in enumerate(LABELS):
        manifest.write_text(manifest.read_text().replace(label, f"Dark {number}"))
    for settings, kind, said in (
        (AssessSettings(source=run, data=str(other)), BundleError, "has none of the model's classes"),
        (AssessSettings(source=tmp_path / "absent", data=str(bright)), BundleError, "no such folder"),
        (AssessSettings(source=tmp_path, data=str(bright)), BundleError, "no bundle there"),
        (AssessSettings(source=run, data=str(other), split="train"), BundleError, "none of the model's classes"),
    ):
        with pytest.raises(kind, match=said):
            score_bundle(settings)
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    (tmp_path / "empty" / RECORD).write_text("{}")
    with pytest.raises(BundleError, match='the run has no bundle "final"'):
        score_bundle(AssessSettings(source=tmp_path / "empty", data=str(bright), checkpoint="final"))
    with pytest.raises(TrainingError, match="record is damaged"):
        open_run(tmp_path / "empty")
