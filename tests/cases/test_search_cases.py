"""Searches and nets that people brought: numbers as they write them, a database that somebody holds, transformers."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path

import optuna
import pytest

from models.settings import RunSettings
from models.training.train import train
from pipelines.packing.ingest import ingest
from pipelines.settings import IngestSettings
from tests.cases.conftest import Make
from tune.settings import SearchSettings
from tune.study import DATABASE, open_storage

HELD = 8_000
"""Milliseconds for which the case's backup holds the database."""


def settings_of(make: Make, case: str) -> SearchSettings:
    return SearchSettings.load(make(case).parent / f"{case}.yaml")


def test_s01_numbers_as_people_write_them(make: Make) -> None:
    space = settings_of(make, "s01").space.model_dump()
    limits = {name: (space[name]["low"], space[name]["high"]) for name in ("learning_rate", "weight_decay")}
    assert limits == {"learning_rate": (1e-4, 1e-2), "weight_decay": (1e-5, 1e-1)}


def test_s07_a_trial_reports_when_the_database_is_let_go(make: Make, tmp_path: Path) -> None:
    storage = open_storage(settings_of(make, "s07"), tmp_path)
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() > HELD
    study = optuna.create_study(study_name="s07", storage=storage)
    trial = study.ask()
    holder = sqlite3.connect(tmp_path / DATABASE)
    holder.execute("BEGIN EXCLUSIVE")
    with ThreadPoolExecutor(1) as others:
        told = others.submit(lambda: (trial.report(0.5, 1), study.tell(trial, 0.5)))
        with pytest.raises(NotYet):
            told.result(0.5)
        holder.rollback()
        told.result()
    holder.close()
    (found,) = study.trials
    assert (found.state, found.value, found.intermediate_values) == (optuna.trial.TrialState.COMPLETE, 0.5, {1: 0.5})


@pytest.mark.slow
def test_m01_transformers_on_twelve_bands_are_explained(make: Make, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    ingest(IngestSettings.parse({"source": make("m01"), "out": shards}))
    for model in ("timm:vit_tiny_patch16_224", "swin"):
        out = tmp_path / model.rpartition(":")[2]
        given = {"data": str(shards), "model": model, "bands": "all", "epochs": 1, "explain": 2, "out": out}
        train(RunSettings.parse(given))
        assert len(list((out / "results" / "gradcam_visualizations").glob("*.png"))) == 4, model
