"""Runs that were killed or interrupted: they go on to the very same weights, whatever was lost meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from models.bundle.config import check_bundle
from models.bundle.locate import RECORD
from models.settings import RunSettings
from models.training.checkpoint import PREVIOUS, STATE, read_state
from models.training.run_folder import open_run
from models.training.train import train
from pipelines.errors import SettingsError, ShardError, TrainingError
from tests.models.bright import write_bright
from tests.models.runs import ROWS, Ears, assert_same_weights, interrupt, scalars, settings_for, tables, train_alone

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.usefixtures("one_thread")


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


@pytest.mark.slow
def test_a_run_killed_within_an_epoch_resumes_to_the_very_same_weights(bright: Path, tmp_path: Path) -> None:
    """kill -9 of the whole process, stopped first so that it is certain where it stands."""
    train(settings_for(bright, tmp_path / "whole", **EVERYTHING))
    file = tmp_path / "run.yaml"
    file.write_text(settings_for(bright, tmp_path / "killed", **EVERYTHING).dump_yaml(), encoding="utf-8")
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


def stop_within_an_epoch(process: subprocess.Popen[bytes], checkpoints: Path) -> tuple[int, int]:
    """Leave the process stopped where its last checkpoint is one of the middle of the second epoch or a later one."""
    while process.poll() is None:
        time.sleep(0.02)
        if not (checkpoints / PREVIOUS).is_file():
            continue
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        there = checkpoints / (STATE if (checkpoints / STATE).is_file() else PREVIOUS)
        state = read_state(there)["fit"]
        if state["done"] >= 1 and state["step"] >= 1:
            return state["done"], state["step"]
        process.send_signal(signal.SIGCONT)
    raise AssertionError(f"never within an epoch: {process.communicate()[0].decode()}")


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    bright: Path, tmp_path: Path, trained: tuple[Path, dict[str, Any], Ears]
) -> None:
    settings = settings_for(bright, tmp_path / "run", checkpoint_steps=1)
    interrupt(settings, 8)
    state = tmp_path / "run" / "checkpoints" / STATE
    state.write_bytes(state.read_bytes()[:-1])
    interrupt(RunSettings(out=tmp_path / "run"), 8, resume=True)
    read_state(state.with_name(PREVIOUS))  # the one that could be read has not given way to the damaged one
    state.write_bytes(state.read_bytes()[:-1])
    lines: list[str] = []
    train_alone(RunSettings(out=tmp_path / "run"), resume=True, tell=lines.append)
    said = "checkpoint is damaged: its checksum differs. Going on from the one before."
    assert any(line.endswith(said) for line in lines)
    assert said in (tmp_path / "run" / "logs" / "train.log").read_text()
    assert_same_weights(tmp_path / "run", trained[0])


def test_both_checkpoints_damaged_end_the_run(bright: Path, tmp_path: Path) -> None:
    interrupt(settings_for(bright, tmp_path / "run", checkpoint_steps=1), 8)
    for name in (STATE, PREVIOUS):
        (tmp_path / "run" / "checkpoints" / name).write_bytes(b"junk" * 100)
    said = (
        r"run/checkpoints/state.previous.pt: checkpoint is damaged.*\. Begin the run anew.*\. What was reached before"
    )
    with pytest.raises(TrainingError, match=said):
        train(RunSettings(out=tmp_path / "run"), resume=True)


def test_a_run_that_was_interrupted_while_it_replaced_a_bundle_has_one(bright: Path, tmp_path: Path) -> None:
    interrupt(settings_for(bright, tmp_path / "run"), 8)
    best = tmp_path / "run" / "checkpoints" / "best_acc"
    best.rename(best.with_name(".best_acc.old"))
    shutil.copytree(best.with_name("best_loss"), best.with_name(".best_acc.77"))
    shutil.copy(best.with_name(STATE), best.with_name(f".{STATE}.77-ab"))
    train_alone(RunSettings(out=tmp_path / "run"), resume=True)
    check_bundle(best)
    assert not list(best.parent.glob(".*")), "nothing that was set aside stays"


def test_a_run_goes_on_without_the_weights_that_it_began_with(
    bright: Path, tmp_path: Path, trained: tuple[Path, dict[str, Any], Ears], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained[0] / "checkpoints" / "final", tmp_path / "final")
    monkeypatch.chdir(tmp_path)
    settings = settings_for(bright, tmp_path / "run", epochs=1, pretrained="final", checkpoint_steps=1, test=False)
    interrupt(settings, 3)
    assert open_run(tmp_path / "run").settings.pretrained == str(tmp_path / "final")
    shutil.rmtree(tmp_path / "final")
    train_alone(RunSettings(out=tmp_path / "run", pretrained="final"), resume=True)
    check_bundle(tmp_path / "run" / "checkpoints" / "final")


def test_events_that_an_interrupted_run_had_yet_to_write_are_written(bright: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    interrupt(settings_for(bright, run, test=False), 8)
    for path in (run / "logs").glob("events*"):
        path.unlink()
    train_alone(RunSettings(out=run), resume=True)
    (events,) = (run / "logs").glob("events*")
    seen = scalars(events)
    rows = tables(run)
    assert [seen["validation/ap_macro", step] for step in (1, 2, 3)] == pytest.approx([row["ap_macro"] for row in rows])


def test_only_what_changes_no_number_may_be_given_anew(bright: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    interrupt(settings_for(bright, run, augment={"rotation": 5}), 3)
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
    same = {"data": str(bright), "epochs": 3, "feed": "auto"}
    train(RunSettings.parse({"out": run, "accumulate": 2, "checkpoint_seconds": 5} | same), resume=True)
    assert open_run(run).settings.accumulate == 2
    with pytest.raises(SettingsError, match="the run has ended"):
        train(RunSettings(out=run), resume=True)


def test_patience_is_not_begun_anew_where_a_run_goes_on(bright: Path, tmp_path: Path) -> None:
    slow = {"epochs": 50, "patience": 2, "learning_rate": 1e-9, "test": False}
    train_alone(settings_for(bright, tmp_path / "whole", **slow))
    interrupt(settings_for(bright, tmp_path / "halved", **slow), 7)
    train_alone(RunSettings(out=tmp_path / "halved"), resume=True)
    assert len(tables(tmp_path / "halved")) == len(tables(tmp_path / "whole"))
