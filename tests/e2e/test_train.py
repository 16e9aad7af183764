"""`landsweep train` and `landsweep test`, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

import landsweep
from models.training.run_folder import open_run
from pipelines.errors import SettingsError
from tests.models.bright import write_bright


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(*arguments: object) -> Result:
    ended = CliRunner().invoke(
        landsweep.command_line(), [str(each) for each in arguments], env={"COLUMNS": "300", "TERM": "dumb"}
    )
    if ended.exception and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return ended


def test_every_setting_has_a_flag() -> None:
    shown = run("train", "--help").stdout
    for flag in ("--model", "--augment-rotation", "--no-augment-flips", "--loss-name", "fp32|bf16|fp16", "--config"):
        assert flag in shown
    assert "--checkpoint" in run("test", "--help").stdout


def test_train_and_test(tmp_path: Path) -> None:
    data = write_bright(tmp_path / "shards", {"train": 48, "validation": 24, "test": 16})
    (tmp_path / "mine.yaml").write_text("epochs: 9\nbatch_size: 8\naugment:\n  rotation: 10\n  jitter: 0.1\n")
    flags = ["--model", "landnet-s", "--bands", "B05,B04", "--epochs", 2, "--threads", 1, "--explain", 0]
    flags += ["--augment-rotation", 15]
    out = tmp_path / "run"
    trained = run("train", "--data", data, *flags, "--config", tmp_path / "mine.yaml", "--out", out, "--json")
    found = json.loads(trained.stdout)
    settings = open_run(out).settings
    assert (settings.epochs, settings.batch_size, settings.bands) == (2, 8, "B05,B04")
    assert (settings.augment.rotation, settings.augment.jitter, settings.augment.flips) == (15, 0.1, True)
    tested = json.loads(run("test", out, "--data", data, "--explain", 0, "--json").stdout)
    assert tested["metrics"]["ap_macro"] == pytest.approx(found["metrics"]["test"]["ap_macro"], abs=1e-4)
    assert tested["patches"] == 16
    shown = run("test", out / "checkpoints" / "final", "--data", data, "--split", "validation").stdout
    assert all(text in shown for text in ("ap_macro", "Bright patch", "without"))
    with pytest.raises(SettingsError, match="the run has ended"):
        run("train", "--out", out, "--resume")
