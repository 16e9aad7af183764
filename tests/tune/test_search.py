"""A whole search on real Ray Tune: small, but every part is there."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from models.bundle import check_bundle, read_metrics
from models.weights import load_bundle
from pipelines.errors import BandError, BusyError, SettingsError, StudyError, TrainingError
from pipelines.files import exclusive
from pipelines.ingest import ingest
from pipelines.settings import IngestSettings
from tune.search import run_search
from tune.settings import Range, Scheduler, SearchSettings, Space
from tune.study import BEST, Study, list_studies, open_study

ROOT = Path(__file__).parents[2]


def settings_for(shards: Path, experiments: Path, name: str = "small", **more: object) -> SearchSettings:
    space = Space(model=["landnet"], bands=["rgb-nir", "B09,B01"], batch_size=[16])
    plain = {"name": name, "data": shards, "experiments": experiments, "trials": 3, "epochs": 2, "space": space}
    return SearchSettings.model_validate(plain | {"scheduler": Scheduler(grace=1, reduction=2)} | more)


@pytest.fixture(scope="module")
def searched(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchSettings, Study, str]:
    """A finished search and what it printed."""
    settings = settings_for(shards, tmp_path_factory.mktemp("experiments"))
    printed = io.StringIO()
    study = run_search(settings, Console(width=200, file=printed))
    return settings, study, printed.getvalue()


def test_every_trial_ends_and_the_best_one_is_kept(searched: tuple[SearchSettings, Study, str]) -> None:
    settings, study, _ = searched
    assert len(study.trials) == study.finished == 3
    assert study.best is not None
    config = check_bundle(settings.folder / BEST)
    assert config.trial["number"] == study.best.number
    assert config.trial["parameters"]["bands"] == study.best.parameters["bands"]
    metrics = read_metrics(settings.folder / BEST)
    assert metrics["validation"]["ap_macro"] == pytest.approx(study.best.value)
    assert json.loads((settings.folder / "results" / "best_test_metrics.json").read_text()) == metrics["test"]
    load_bundle(settings.folder / BEST)


def test_progress_names_each_trial(searched: tuple[SearchSettings, Study, str]) -> None:
    _, study, text = searched
    assert all(f"{number}/3" in text for number in (1, 2, 3))
    assert text.count("complete") == sum(row.state == "complete" for row in study.trials)


def test_finished_trials_keep_no_optimizer_state(searched: tuple[SearchSettings, Study, str]) -> None:
    settings, _, _ = searched
    assert not list(settings.folder.rglob("state.pt"))


def test_study_can_be_listed_and_read(searched: tuple[SearchSettings, Study, str]) -> None:
    settings, study, _ = searched
    assert list_studies(settings.experiments) == ["small"]
    assert open_study(settings.experiments, "small").settings == study.settings
    with pytest.raises(StudyError, match='Did you mean "small"'):
        open_study(settings.experiments, "smal")


def test_streaming_trials_that_hold_every_cpu_run_to_the_end(
    real_data: Path, ray_session: None, tmp_path: Path
) -> None:
    """Over real patches; the session's Ray has 4 CPUs, and two trials of 2 leave none for anybody else."""
    ingest(IngestSettings(source=real_data / "bigearthnet-v2", out=tmp_path / "shards"))
    settings = settings_for(
        tmp_path / "shards", tmp_path, name="real", trials=2, epochs=1, cpus=2, feed="streamed", concurrent=2
    )
    study = run_search(settings, Console(quiet=True))
    assert study.finished == 2
    assert check_bundle(settings.folder / BEST).num_classes == 19


def test_same_name_twice_is_refused(searched: tuple[SearchSettings, Study, str]) -> None:
    settings, _, _ = searched
    with pytest.raises(StudyError, match="landsweep search resume small"):
        run_search(settings, Console())


def test_search_in_progress_is_refused(shards: Path, tmp_path: Path) -> None:
    settings = settings_for(shards, tmp_path)
    with exclusive(settings.folder / ".lock", "this test"), pytest.raises(BusyError, match="already running"):
        run_search(settings, Console())


def test_what_only_the_dataset_knows_is_checked_first(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match='unknown model "resnet"'):
        run_search(settings_for(shards, tmp_path, space=Space(model=["resnet"])), Console())
    with pytest.raises(BandError, match="B99"):
        run_search(settings_for(shards, tmp_path, space=Space(bands=["B99"])), Console())
    with pytest.raises(SettingsError, match="no machine here has more than"):
        run_search(settings_for(shards, tmp_path, cpus=64), Console())
    with pytest.raises(StudyError, match="no such study"):
        run_search(settings_for(shards, tmp_path, name="absent"), Console(), resume=True)


def test_search_refused_before_its_first_trial_can_be_mended_and_run(
    shards: Path, ray_session: None, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="no machine here has more than"):
        run_search(settings_for(shards, tmp_path, name="mended", cpus=64), Console(quiet=True))
    mended = settings_for(shards, tmp_path, name="mended", trials=1, epochs=1)
    assert run_search(mended, Console(quiet=True)).finished == 1


def test_diverging_trials_fail_with_their_reason(shards: Path, tmp_path: Path) -> None:
    wild = Space(
        model=["landnet"], bands=["rgb"], batch_size=[16], learning_rate=Range(low=9.0, high=10.0),
        weight_decay=Range(low=9.0, high=10.0),
    )  # fmt: skip
    settings = settings_for(shards, tmp_path, name="wild", space=wild, trials=2, scheduler=Scheduler(name="fifo"))
    with pytest.raises(TrainingError, match="no trial came to a result") as caught:
        run_search(settings, Console(quiet=True))
    assert "Lower the learning rate" in str(caught.value)
    study = open_study(settings.experiments, "wild")
    assert [row.state for row in study.trials] == ["failed", "failed"], "retried, or not counted"
    assert all("epoch 1" in row.reason for row in study.trials)


def test_time_budget_ends_the_trials_under_way(shards: Path, tmp_path: Path) -> None:
    settings = settings_for(shards, tmp_path, name="short", epochs=500, trials=2, time_budget=30)
    study = run_search(settings, Console(quiet=True))
    assert "running" not in {row.state for row in study.trials}
    stopped = [row for row in study.trials if row.reason == "the time budget was over"]
    assert stopped
    assert check_bundle(settings.folder / BEST)


def test_killed_search_resumes_and_does_what_it_owes(shards: Path, tmp_path: Path) -> None:
    """kill -9 of the driver after the first finished trial: that trial stays, the others are run."""
    settings = settings_for(shards, tmp_path / "experiments", name="killed", concurrent=1, trials=6)
    file = tmp_path / "killed.yaml"
    file.write_text(settings.dump_yaml())
    command = [sys.executable, "-m", "landsweep", "search", "run", str(file), "--no-register"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.2)
            if "killed" in list_studies(settings.experiments) and open_study(settings.experiments, "killed").finished:
                break
        os.killpg(process.pid, signal.SIGKILL)
    before = {row.number: row for row in open_study(settings.experiments, "killed").trials}
    finished = [row for row in before.values() if row.state in ("complete", "pruned")]
    assert finished
    assert len(finished) < 6, "the search was over before it was killed"
    study = run_search(settings, Console(quiet=True), resume=True)
    assert study.finished == 6
    for row in finished:
        assert study.trials[row.number] == row
    assert all(row.state != "running" for row in study.trials)
