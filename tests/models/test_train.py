"""Training runs: all is in the folder, a killed run goes on to the very same weights, and nothing good is lost."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.bundle import WEIGHTS, check_bundle, read_config, read_metrics
from models.checkpoint import PREVIOUS, STATE, read_state
from models.epochs import TABLE, read_epochs
from models.find import RECORD
from models.graph import FILE
from models.learning import draw_learning
from models.results import score_bundle
from models.run import folder_of, open_run
from models.saved import read_predictions
from models.settings import AssessSettings, RunSettings
from models.train import train
from pipelines.canvas import png_of
from pipelines.errors import BandError, BundleError, BusyError, SettingsError, ShardError, TrainingError
from pipelines.files import exclusive
from tests.models.bright import LABELS, write_bright
from tests.models.events import read_events, read_graph

ROOT = Path(__file__).parents[2]
ROWS = {"train": 72, "validation": 40, "test": 24}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bright(tmp_path_factory.mktemp("bright") / "shards", ROWS)


def settings_for(dataset: Path, out: Path, **more: Any) -> RunSettings:
    plain = {"data": dataset, "out": out, "model": "landnet-s", "epochs": 3, "batch_size": 16, "threads": 1, "seed": 5}
    return RunSettings.parse(plain | {"explain": 0} | more)


@dataclass
class Ears:
    """Hears what a run tells."""

    lines: list[str] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)

    def run(self, settings: RunSettings, **more: Any) -> dict[str, Any]:
        return train(settings, progress=lambda *step: self.steps.append(step), tell=self.lines.append, **more)


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Ears]:
    """A finished run, what `train` returned, and what it told."""
    before = torch.get_num_threads()
    ears, out = Ears(), tmp_path_factory.mktemp("runs") / "run"
    found = ears.run(settings_for(dataset, out, explain=1))
    torch.set_num_threads(before)
    return out, found, ears


def weights_of(run: Path, name: str = "final") -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / name / WEIGHTS)


def assert_same_weights(run: Path, other: Path) -> None:
    for name in ("best_acc", "best_loss", "final"):
        ours, theirs = weights_of(run, name), weights_of(other, name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name


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


def test_the_record_says_where_the_run_comes_from(trained: tuple[Path, dict[str, Any], Ears], dataset: Path) -> None:
    run, _, _ = trained
    record = open_run(run).record
    config = read_config(run / "checkpoints" / "final")
    assert record.settings == settings_for(dataset, run, explain=1, feed="memory"), "as resolved"
    assert record.data == config.dataset
    assert len(record.code) == 64
    assert {"torch", "timm", "numpy", "python"} <= set(record.versions)
    assert record.begun < record.ended
    assert config.trial["parameters"]["batch_size"] == 16
    assert "data" not in config.trial["parameters"], "a bundle goes to others: no paths of this machine"


def test_learning_curves_mark_the_epoch_that_is_scored(trained: tuple[Path, dict[str, Any], Ears]) -> None:
    run, _, _ = trained
    rows = read_epochs(run / TABLE)
    best = max(rows, key=lambda row: row["ap_macro"])["epoch"]
    drawn = (run / "results" / "visualizations" / "learning_curves.png").read_bytes()
    assert drawn == png_of(draw_learning(rows, best))


def test_what_was_measured_is_everywhere_the_same(trained: tuple[Path, dict[str, Any], Ears], dataset: Path) -> None:
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


def scalars(path: Path) -> dict[tuple[str, int], float]:
    """Values in an event file, by name and step."""
    values = ((value, event.step) for event in read_events(path) for value in event.summary.value)
    return {(value.tag, step): value.simple_value for value, step in values}


EVERYTHING = {
    "augment": {"rotation": 20, "mixup": 0.2},
    "ema": 0.9,
    "accumulate": 2,
    "sampling": "weighted",
    "schedule": "plateau",
    "epochs": 4,
    "batch_size": 8,
    "feed": "streamed",
    "checkpoint_steps": 1,
}


def test_a_run_killed_within_an_epoch_resumes_to_the_very_same_weights(dataset: Path, tmp_path: Path) -> None:
    """kill -9 of the whole process, stopped first so that it is certain where it stands."""
    train(settings_for(dataset, tmp_path / "whole", **EVERYTHING))
    file = tmp_path / "run.yaml"
    file.write_text(settings_for(dataset, tmp_path / "killed", **EVERYTHING).dump_yaml())
    command = [sys.executable, "-m", "landsweep", "train", "--config", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        place = stop_within_an_epoch(process, tmp_path / "killed" / "checkpoints")
        process.kill()
    assert place[0] >= 1
    assert place[1] >= 1
    ears = Ears()
    ears.run(RunSettings(out=tmp_path / "killed"), resume=True)
    assert any(line.startswith(f"going on after epoch {place[0]}, step") for line in ears.lines), ears.lines
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")
    ours, theirs = (tables(tmp_path / name) for name in ("whole", "killed"))
    assert ours == theirs
    assert len(open_run(tmp_path / "killed").record.resumed) == 1


def tables(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "logs" / "epochs.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def stop_within_an_epoch(process: subprocess.Popen[bytes], checkpoints: Path) -> tuple[int, int]:
    """Leave the process stopped where its last checkpoint is one of the middle of the second epoch or a later one."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        if not (checkpoints / PREVIOUS).is_file():
            continue
        process.send_signal(signal.SIGSTOP)
        there = checkpoints / (STATE if (checkpoints / STATE).is_file() else PREVIOUS)
        state = read_state(there)["fit"]
        if state["done"] >= 1 and state["step"] >= 1:
            return state["done"], state["step"]
        process.send_signal(signal.SIGCONT)
    process.kill()
    raise AssertionError(f"never within an epoch: {process.communicate()[0].decode()}")


def interrupt(settings: RunSettings, step: int) -> None:
    """Run until so many steps are done, and end it as Ctrl-C does."""

    def progress(done: int, total: int) -> None:
        if done == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, progress=progress)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    dataset: Path, tmp_path: Path, trained: tuple[Path, dict[str, Any], Ears]
) -> None:
    settings = settings_for(dataset, tmp_path / "run", checkpoint_steps=1)
    interrupt(settings, 8)
    state = tmp_path / "run" / "checkpoints" / STATE
    state.write_bytes(state.read_bytes()[:-1])
    ears = Ears()
    ears.run(RunSettings(out=tmp_path / "run"), resume=True)
    said = "checkpoint is damaged: its checksum differs. Going on from the one before."
    assert any(line.endswith(said) for line in ears.lines)
    assert said in (tmp_path / "run" / "logs" / "train.log").read_text()
    assert_same_weights(tmp_path / "run", trained[0])


def test_both_checkpoints_damaged_end_the_run(dataset: Path, tmp_path: Path) -> None:
    interrupt(settings_for(dataset, tmp_path / "run", checkpoint_steps=1), 8)
    for name in (STATE, PREVIOUS):
        (tmp_path / "run" / "checkpoints" / name).write_bytes(b"junk" * 100)
    said = (
        r"run/checkpoints/state.previous.pt: checkpoint is damaged.*\. Begin the run anew.*\. What was reached before"
    )
    with pytest.raises(TrainingError, match=said):
        train(RunSettings(out=tmp_path / "run"), resume=True)


def test_a_run_that_was_interrupted_while_it_replaced_a_bundle_has_one(dataset: Path, tmp_path: Path) -> None:
    interrupt(settings_for(dataset, tmp_path / "run"), 8)
    best = tmp_path / "run" / "checkpoints" / "best_acc"
    best.rename(best.with_name(".best_acc.old"))
    interrupt_again = RunSettings(out=tmp_path / "run")
    train(interrupt_again, resume=True)
    check_bundle(best)
    assert not best.with_name(".best_acc.old").exists()


def test_only_what_changes_no_number_may_be_given_anew(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    interrupt(settings_for(dataset, run, augment={"rotation": 5}), 3)
    for more, said in (
        ({"epochs": 4}, "the run has epochs 3, not 4"),
        ({"augment": {"rotation": 6}}, "the run has augment.rotation 5.0, not 6.0"),
        ({"seed": 1, "threads": 2}, "the run has seed 5, not 1"),
        ({"feed": "streamed"}, "the run has feed memory, not streamed"),
    ):
        with pytest.raises(SettingsError, match=said):
            train(RunSettings.parse({"out": run} | more), resume=True)
    other = write_bright(tmp_path / "other", ROWS | {"train": 71})
    record = (run / RECORD).read_bytes()
    for wrong, kind, said in (
        ({"data": other}, ShardError, "another dataset than the run's"),
        ({"data": tmp_path}, ShardError, "not a dataset"),
        ({"device": "nix"}, SettingsError, 'no device "nix" here'),
    ):
        with pytest.raises(kind, match=said):
            train(RunSettings.parse({"out": run} | wrong), resume=True)
        assert (run / RECORD).read_bytes() == record, "what was refused is not on record"
    same = {"data": str(dataset), "epochs": 3, "feed": "auto"}
    train(RunSettings.parse({"out": run, "accumulate": 2, "checkpoint_seconds": 5} | same), resume=True)
    assert open_run(run).settings.accumulate == 2
    with pytest.raises(SettingsError, match="the run has ended"):
        train(RunSettings(out=run), resume=True)


def test_a_folder_is_used_once(dataset: Path, tmp_path: Path, trained: tuple[Path, dict[str, Any], Ears]) -> None:
    with pytest.raises(SettingsError, match="there is a run already"):
        train(settings_for(dataset, trained[0]))
    with pytest.raises(SettingsError, match="no run there"):
        train(RunSettings(out=tmp_path / "absent"), resume=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    with pytest.raises(SettingsError, match="folder is not empty"):
        train(settings_for(dataset, tmp_path / "full"))
    with exclusive(tmp_path / "busy" / ".lock", "this test"), pytest.raises(BusyError, match="already running"):
        train(settings_for(dataset, tmp_path / "busy"))
    assert folder_of(RunSettings(model="landnet", bands="B04,B08", seed=3)) == Path("experiments/landnet_B04_B08_3")


def test_what_is_wrong_is_said_before_anything_is_written(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    small = write_bright(tmp_path / "small", {"train": 10})
    for settings, kind, said in (
        (RunSettings(out=out), SettingsError, "no dataset is given"),
        (settings_for(tmp_path / "absent", out), ShardError, "no such dataset folder"),
        (settings_for(small, out), ShardError, 'no patches in split "validation"'),
        (settings_for(dataset, out, bands="B09"), BandError, "B09"),
        (settings_for(dataset, out, model="Landnet"), SettingsError, "unknown model"),
        (settings_for(dataset, dataset / "manifest.json"), SettingsError, "not a folder"),
        (settings_for(dataset, out, batch_size=1), SettingsError, "batch norm needs 2 patches"),
        (settings_for(dataset, out, pretrained=str(tmp_path / "absent")), SettingsError, "no such file of weights"),
        (settings_for(dataset, out, device="nix"), SettingsError, 'device: no device "nix" here'),
    ):
        with pytest.raises(kind, match=said):
            train(settings)
        assert not out.exists()


def test_a_job_of_a_cluster_is_told_that_its_own_folder_is_temporary(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    with pytest.raises(SettingsError, match=r"out: .*temporary folder"):
        train(settings_for(dataset, Path("run")))


def test_divergence_keeps_what_was_reached_before(dataset: Path, tmp_path: Path) -> None:
    settings = settings_for(
        dataset, tmp_path / "run", learning_rate=10, weight_decay=10, warmup=0.9, clip=0, epochs=60, checkpoint_steps=1
    )
    said = r"Lower the learning rate.* What was reached before is kept in .* --pretrained .*/best_acc\."
    with pytest.raises(TrainingError, match=said) as caught:
        train(settings)
    state = read_state(tmp_path / "run" / "checkpoints" / STATE)
    assert all(bool(tensor.isfinite().all()) for tensor in state["fit"]["net"].values())
    check_bundle(tmp_path / "run" / "checkpoints" / "best_acc")
    assert str(caught.value).split(".")[0] in (tmp_path / "run" / "logs" / "train.log").read_text()
    assert not open_run(tmp_path / "run").record.ended
    calmer = train(settings_for(dataset, tmp_path / "calmer", pretrained=str(tmp_path / "run"), epochs=1, test=False))
    assert calmer["metrics"]["validation"]["ap_macro"] > 0.4, "the way out that it names is one"


def test_patience_is_not_begun_anew_where_a_run_goes_on(dataset: Path, tmp_path: Path) -> None:
    slow = {"epochs": 50, "patience": 2, "learning_rate": 1e-9, "test": False}
    train(settings_for(dataset, tmp_path / "whole", **slow))
    interrupt(settings_for(dataset, tmp_path / "halved", **slow), 7)
    train(RunSettings(out=tmp_path / "halved"), resume=True)
    assert len(tables(tmp_path / "halved")) == len(tables(tmp_path / "whole"))


def test_training_stops_where_patience_ends(dataset: Path, tmp_path: Path) -> None:
    ears = Ears()
    ears.run(settings_for(dataset, tmp_path / "run", epochs=50, patience=2, learning_rate=1e-9, test=False))
    rows = tables(tmp_path / "run")
    best = int(np.argmax([row["ap_macro"] for row in rows]))
    assert len(rows) == best + 1 + 2
    check_bundle(tmp_path / "run" / "checkpoints" / "final")
    assert read_predictions(tmp_path / "run" / "results" / "predictions.npz").split == "validation"
    assert not (tmp_path / "run" / "results" / "best_test_metrics.json").exists()


def test_a_dataset_without_test_patches_is_said_to_have_none(tmp_path: Path) -> None:
    ears = Ears()
    dataset = write_bright(tmp_path / "shards", {"train": 40, "validation": 20})
    found = ears.run(settings_for(dataset, tmp_path / "run", epochs=1))
    assert set(found["metrics"]) == {"train", "validation"}
    assert "Not scored on test: the dataset has no such patches." in ears.lines


def test_a_run_or_a_bundle_is_scored_again(
    dataset: Path, tmp_path: Path, trained: tuple[Path, dict[str, Any], Ears]
) -> None:
    run, _, _ = trained
    before = json.loads((run / "results" / "best_test_metrics.json").read_text())
    found = score_bundle(AssessSettings(source=run, data=str(dataset), out=tmp_path / "again", explain=0))
    assert found["metrics"]["ap_macro"] == before["ap_macro"]
    assert json.loads((tmp_path / "again" / "best_test_metrics.json").read_text()) == before
    bundle = AssessSettings(source=run / "checkpoints" / "best_loss", data=str(dataset), split="validation")
    found = score_bundle(bundle)
    rows = tables(run)
    lowest = min(rows, key=lambda row: float(row["validation_loss"]))
    assert found["metrics"]["ap_macro"] == pytest.approx(lowest["ap_macro"], abs=1e-6)
    assert "out" not in found, "a bundle's folder is not written to"
    assert "note" not in found
    final = score_bundle(AssessSettings(source=run, data=str(dataset), checkpoint="final", explain=0))
    assert final["out"] == str(run / "results_final")
    assert (run / "results_final" / "visualizations" / "learning_curves.png").is_file()
    assert json.loads((run / "results" / "best_test_metrics.json").read_text()) == before, "those of the best epoch"
    shutil.copytree(run / "checkpoints" / "best_loss", tmp_path / "search" / "checkpoints" / "best")
    search = AssessSettings(source=tmp_path / "search", data=str(dataset), split="validation", explain=1)
    found = score_bundle(search)
    assert found["bundle"].endswith("best"), "a search keeps one bundle"
    assert {"best_metrics.json", "activations.pdf", FILE} <= set(found["files"])
    assert all((tmp_path / "search" / "results" / name).is_file() for name in found["files"])


def test_scoring_what_does_not_fit_is_refused(
    dataset: Path, tmp_path: Path, trained: tuple[Path, dict[str, Any], Ears]
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
    manifest.write_text(manifest.read_text().replace(LABELS[0], "Dark corner"))
    for settings, kind, said in (
        (AssessSettings(source=run, data=str(other)), BundleError, "other classes than the model"),
        (AssessSettings(source=tmp_path / "absent", data=str(dataset)), BundleError, "no such folder"),
        (AssessSettings(source=tmp_path, data=str(dataset)), BundleError, "no bundle there"),
        (AssessSettings(source=run, data=str(other), split="train"), BundleError, "other classes"),
    ):
        with pytest.raises(kind, match=said):
            score_bundle(settings)
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    (tmp_path / "empty" / RECORD).write_text("{}")
    with pytest.raises(BundleError, match='the run has no bundle "final"'):
        score_bundle(AssessSettings(source=tmp_path / "empty", data=str(dataset), checkpoint="final"))
    with pytest.raises(TrainingError, match="record is damaged"):
        open_run(tmp_path / "empty")
