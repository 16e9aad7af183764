"""`ray job submit` to a running cluster: the same search, without the project installed there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.bundle.config import check_bundle
from models.report.report import METRIC_FILES
from tests.models.bright import write_bright
from tests.ray_head import RAY, ray_head
from tune.settings import Scheduler, SearchSettings, Space
from tune.study import BEST, open_study

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A cluster apart from the tests' own; yields the environment of its users."""
    # a cluster's machines have our packages at hand
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with ray_head(tmp_path_factory.mktemp("ray"), num_cpus=3, jobs=True, PATH=path) as environment:
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


def submit(environment: dict[str, str], file: Path) -> subprocess.CompletedProcess[str]:
    program = ["python", "-m", "landsweep", "search", "run", str(file)]
    command = [RAY, "job", "submit", "--working-dir", ".", "--", *program]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.timeout(1800)
def test_search_runs_as_a_job(head: dict[str, str], search: SearchSettings, tmp_path: Path) -> None:
    (tmp_path / "search.yaml").write_text(search.dump_yaml(), encoding="utf-8")
    ended = submit(head, tmp_path / "search.yaml")
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
    ended = submit(head, tmp_path / "search.yaml")
    assert ended.returncode != 0
    assert "would lie in the job's temporary folder" in " ".join(ended.stdout.split())
    assert "Traceback" not in ended.stdout
