"""`ray job submit` to a running cluster: the same search, without the project installed there; followed, stopped, and
gone on with."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.bundle.config import check_bundle
from models.report.report import METRIC_FILES
from tests.models.bright import write_bright
from tests.ray_head import RAY, ray_head
from tune.settings import Scheduler, SearchSettings, Space
from tune.study import BEST, TrialRow, list_studies, open_study

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A cluster apart from the tests' own; yields the environment of its users."""
    # a cluster's machines have our packages at hand
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    waits = {"RAY_JOB_STOP_WAIT_TIME_S": "120"}  # as cluster.yaml and deploy/ have it
    with ray_head(tmp_path_factory.mktemp("ray"), num_cpus=3, jobs=True, PATH=path, **waits) as environment:
        yield environment


@pytest.fixture
def search(tmp_path: Path) -> SearchSettings:
    return SearchSettings(
        name="job",
        data=write_bright(tmp_path / "shards", {"train": 48, "validation": 24, "test": 12}),
        experiments=tmp_path / "experiments",
        trials=2,
        epochs=1,
        explain=0,
        scheduler=Scheduler(name="fifo"),
        space=Space(model=["landnet"], bands=["B04"], batch_size=[16]),
    )


def job(*words: str | Path) -> list[str]:
    """A `ray job submit` of a verb of `landsweep search`, with the flags of `submit` before a `--`."""
    flags, verb = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else ((), words)
    program = ["python", "-m", "landsweep", "search", *map(str, verb)]
    return [RAY, "job", "submit", "--working-dir", ".", *map(str, flags), "--", *program]


def submit(environment: dict[str, str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(job(*words), cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.timeout(1800)
def test_search_runs_as_a_job(head: dict[str, str], search: SearchSettings, tmp_path: Path) -> None:
    (tmp_path / "search.yaml").write_text(search.dump_yaml(), encoding="utf-8")
    ended = submit(head, "run", tmp_path / "search.yaml")
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert open_study(search.experiments, "job").finished == 2
    assert check_bundle(search.folder / BEST).architecture == "landnet"
    assert "Scoring the best trial" in ended.stdout
    whole, by_class = METRIC_FILES["test"]
    assert {whole, by_class, "predictions.npz"} <= {path.name for path in (search.folder / "results").iterdir()}
    assert check_bundle(tmp_path / "registry" / "job" / "1")


def test_results_that_would_be_lost_are_refused(head: dict[str, str], search: SearchSettings, tmp_path: Path) -> None:
    relative = search.model_copy(update={"experiments": Path("experiments")})
    (tmp_path / "search.yaml").write_text(relative.dump_yaml(), encoding="utf-8")
    ended = submit(head, "run", tmp_path / "search.yaml")
    assert ended.returncode != 0
    assert "would lie in the job's temporary folder" in " ".join(ended.stdout.split())
    assert "Traceback" not in ended.stdout


def test_without_the_token_nobody_submits(head: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0" * 64)
    for key, value, said in (
        ("RAY_AUTH_MODE", "disabled", "token"),
        ("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"), "token"),
    ):
        ended = submit(head | {key: value}, "list")
        assert ended.returncode != 0
        assert said in (ended.stdout + ended.stderr).lower()
        assert "succeeded" not in ended.stdout


@contextmanager
def following(environment: dict[str, str], *words: str | Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Submit, and read what comes while the job runs; yields the process, and the lines so far."""
    lines: list[str] = []
    with subprocess.Popen(job(*words), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        reader = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            yield process, lines
            reader.join()
        finally:
            process.kill()


@pytest.mark.timeout(1800)
def test_a_job_that_is_stopped_is_gone_on_with(head: dict[str, str], search: SearchSettings, tmp_path: Path) -> None:
    """Its log is followed as it is written; it ends by itself, and the trial under way goes on from its checkpoint."""
    name, epochs = "stopped", 60
    one = {"name": name, "epochs": epochs, "concurrent": 1, "checkpoint_seconds": 0}
    search = search.model_copy(update=one)
    (tmp_path / "search.yaml").write_text(search.dump_yaml(), encoding="utf-8")
    flags = ("--submission-id", name, "--")
    with following(head, *flags, "run", tmp_path / "search.yaml", "--no-register") as (process, lines):
        while not (len(stood := rows(search)) == 2 and len(stood[1].curves) > 2):
            assert process.poll() is None, "".join(lines)[-3000:]
            time.sleep(0.1)
        assert any("complete" in line for line in lines), "the log comes only at the end"
        stopped = subprocess.run([RAY, "job", "stop", name], env=head, capture_output=True, text=True)
    said = "".join(lines)
    assert stopped.returncode == 0, stopped.stderr
    assert "was stopped" in stopped.stdout
    assert "Go on with" in said, "it was killed, or ended without a word"
    assert "Traceback" not in said
    first, second = rows(search)
    assert first.state == "complete" and len(second.curves) < epochs

    ended = submit(head, "resume", name, "--experiments", search.experiments, "--no-register")
    assert ended.returncode == 0, ended.stdout[-3000:]
    again, after = rows(search)
    assert again == first
    assert (after.number, after.state, len(after.curves)) == (1, "complete", epochs)
    assert after.curves[: len(second.curves)] == second.curves, "the trial was begun anew"


def rows(search: SearchSettings) -> list[TrialRow]:
    """Trials as they stand, none before there are any."""
    there = search.name in list_studies(search.experiments)
    return open_study(search.experiments, search.name).trials if there else []
