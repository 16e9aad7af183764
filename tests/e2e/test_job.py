"""`ray job submit` to a running cluster: the same search, without the project installed there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.bundle import check_bundle
from models.report import METRIC_FILES
from pipelines.cluster import LOOPBACK_ENV
from tests.fakes import free_port
from tests.models.bright import write_bright
from tune.settings import Scheduler, SearchSettings, Space
from tune.study import BEST, open_study

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A cluster started by `ray start --head`, apart from the tests' own; yields the environment of its users."""
    folder = tmp_path_factory.mktemp("ray")
    ports = {
        name: free_port()
        for name in ("port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port")
    }
    plain = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # a cluster's machines have our packages at hand
    environment = plain | LOOPBACK_ENV | {"RAY_TMPDIR": str(folder), "PATH": path}
    flags = [f"--{name}={port}" for name, port in ports.items()]
    command = [RAY, "start", "--head", "--block", "--num-cpus=3", "--dashboard-host=127.0.0.1", *flags]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{ports['dashboard-port']}"}
    finally:
        process.terminate()
        process.wait(timeout=60)


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
    command = [
        RAY,
        "job",
        "submit",
        "--working-dir",
        ".",
        "--",
        "python",
        "-m",
        "landsweep",
        "search",
        "run",
        str(file),
    ]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)


def _wait(environment: dict[str, str]) -> None:
    import time

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        listed = subprocess.run([RAY, "job", "list"], env=environment, capture_output=True, text=True)
        if listed.returncode == 0:
            return
        time.sleep(1)
    pytest.fail(f"the cluster did not come up: {listed.stderr}")


@pytest.mark.timeout(420)
def test_search_runs_as_a_job(head: dict[str, str], search: SearchSettings, tmp_path: Path) -> None:
    _wait(head)
    (tmp_path / "search.yaml").write_text(search.dump_yaml())
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
    (tmp_path / "search.yaml").write_text(relative.dump_yaml())
    ended = submit(head, tmp_path / "search.yaml")
    assert ended.returncode != 0
    assert "would lie in the job's temporary folder" in " ".join(ended.stdout.split())
    assert "Traceback" not in ended.stdout
