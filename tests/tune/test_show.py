"""`landsweep search show`: what is said of a study, from what stands in its folder."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from typer.testing import CliRunner

from landsweep import command_line
from tune.outcome.floor import FLOOR, FloorRow, Kept
from tune.outcome.show import described
from tune.settings import SearchSettings
from tune.study import RUNGS, SETTINGS, WINNERS, Finalist, open_storage

SEEN = (30, 90, 270)


@pytest.fixture
def experiments(tmp_path: Path) -> Path:
    """A study of nine trials, three of which went to the end; with a floor, and two finalists."""
    settings = SearchSettings(name="known", data=str(tmp_path / "shards"), experiments=tmp_path, trials=9)
    settings.folder.mkdir()
    (settings.folder / SETTINGS).write_text(settings.dump_yaml(), encoding="utf-8")
    study = optuna.create_study(
        study_name="known",
        storage=open_storage(settings, settings.folder),
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    study.set_user_attr(RUNGS, SEEN)
    study.set_user_attr(WINNERS, [Finalist.of(0, {0: 0.8, 1: 0.6}).kept, Finalist.of(1, {0: 0.7}).kept])
    for number in range(9):
        trial = study.ask()
        rate = trial.suggest_float("learning_rate", 1e-3, 8e-3)
        trial.suggest_categorical("model", ["landnet", "resnet18"])
        seen = SEEN if number < 3 else SEEN[:1]
        curve = [{"patches": each, "seconds": each / 10, "epoch": 1, "ap_macro": 0.5 + 10 * rate} for each in seen]
        for row in curve:
            trial.report(float(row["ap_macro"]), int(row["patches"]))
        trial.set_user_attr("curves", curve)
        if number < 3:
            study.tell(trial, 0.5 + 10 * rate)
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    floor = FloorRow(name="logistic regression", bands=["B04"], values={"validation": 0.56})
    kept = Kept(question="", splits=["validation"], rows=[floor])
    (settings.folder / FLOOR).write_text(kept.model_dump_json(), encoding="utf-8")
    return tmp_path


def test_cost_is_what_was_spent_and_what_pausing_saved(experiments: Path) -> None:
    found = described(experiments, "known")
    assert found["cost"] == {"seconds": 3 * 27.0 + 6 * 3.0, "saved": 6 * 24.0, "share_saved": round(144 / 243, 3)}


def test_the_floor_comes_first_and_the_rate_decided(experiments: Path) -> None:
    found = described(experiments, "known")
    assert found["floor"] == [{"name": "logistic regression", "validation": 0.56, "note": ""}]
    assert found["importances"][0]["parameter"] == "learning_rate"
    assert found["finals"][0] == {"trial": 0, "mean": 0.7, "±": pytest.approx(1.2706), "seed 0": 0.8, "seed 1": 0.6}
    assert found["finals"][1] == {"trial": 1, "mean": 0.7, "seed 0": 0.7}, "no interval of one seed"
    best = found["trials"][found["best"]]
    assert found["parameters"] == best["parameters"]
    assert found["repeat"].startswith("landsweep train --data ")
    assert str(best["parameters"]["learning_rate"]) in found["repeat"]


def test_it_is_printed_as_tables_and_as_one_object(experiments: Path) -> None:
    asked = ["search", "show", "known", "--experiments", str(experiments)]
    said = CliRunner().invoke(command_line(), asked)
    assert said.exit_code == 0
    order = [said.stdout.index(word) for word in ("\nfloor:", "\nfinals:", "\nimportances:", "\ninteractions:")]
    assert order == sorted(order)
    as_json = CliRunner().invoke(
        command_line(), ["search", "show", "known", "--experiments", str(experiments), "--json"]
    )
    assert json.loads(as_json.stdout)["cost"]["saved"] == 144.0
