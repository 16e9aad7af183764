"""A search over the two nodes of a real cluster, one of which dies in the middle: its trials go on on the other."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.bundle.config import check_bundle
from tests.e2e.two_nodes import Cluster, two_nodes
from tests.models.bright import write_bright
from tune.settings import Scheduler, SearchSettings, Space
from tune.study import BEST, TrialRow, list_studies, open_study

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

ROOT = Path(__file__).parents[2]
TRIALS, EPOCHS = 5, 12


@pytest.fixture
def search(tmp_path: Path) -> SearchSettings:
    return SearchSettings(
        name="two",
        data=write_bright(tmp_path / "shards", {"train": 200, "validation": 24, "test": 12}),
        experiments=tmp_path / "experiments",
        trials=TRIALS,
        epochs=EPOCHS,
        checkpoint_seconds=0,
        explain=0,
        scheduler=Scheduler(name="fifo"),
        space=Space(model=["landnet"], bands=["B04"], batch_size=[16]),
    )


def rows(search: SearchSettings) -> list[TrialRow]:
    """Trials as they stand, none before there are any."""
    there = search.name in list_studies(search.experiments)
    return open_study(search.experiments, search.name).trials if there else []


def started(cluster: Cluster, search: SearchSettings, folder: Path) -> subprocess.Popen[str]:
    """The search's driver, on the head."""
    file = folder / "search.yaml"
    file.write_text(search.dump_yaml(), encoding="utf-8")
    command = [sys.executable, "-m", "landsweep", "search", "run", str(file), "--no-register"]
    with open(folder / "said", "w") as said:
        return subprocess.Popen(
            cluster.head.inside(*command),
            cwd=ROOT,
            env=cluster.head.environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
        )


def killed_in_the_middle(cluster: Cluster, search: SearchSettings, driver: subprocess.Popen[str]) -> list[TrialRow]:
    """Take the second node away while both work, with a trial finished and two begun; returns how trials stood."""
    while driver.poll() is None:
        stood = rows(search)
        under_way = [row for row in stood if row.state == "running" and len(row.curves) > 2]
        if len(under_way) == 2 and any(row.state == "complete" for row in stood) and cluster.busy():
            cluster.kill_worker()
            return stood
        time.sleep(0.2)
    raise AssertionError("the search was over before the node died")


@pytest.mark.timeout(1800)
def test_a_node_that_dies_costs_a_search_nothing_that_was_done(
    search: SearchSettings, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with two_nodes(tmp_path_factory.mktemp("r")) as cluster, started(cluster, search, tmp_path) as driver:
        try:
            before = killed_in_the_middle(cluster, search, driver)
            least = {row.number: len(row.curves) for row in before}
            while driver.poll() is None:
                for row in rows(search):
                    least[row.number] = min(len(row.curves), least.get(row.number, 0))
                time.sleep(0.5)
        finally:
            driver.kill()
    said = (tmp_path / "said").read_text()
    assert driver.returncode == 0, said[-3000:]
    after = rows(search)
    assert [row.number for row in after] == list(range(TRIALS)), "a trial was lost, or drawn in another's place"
    assert {row.state for row in after} == {"complete"}
    for row in after:
        assert [curve["epoch"] for curve in row.curves] == list(range(1, EPOCHS + 1))
    for row in before:
        if row.state == "complete":
            assert after[row.number] == row
        else:
            assert least[row.number] >= len(row.curves) - 1, f"trial {row.number} was begun anew"
    assert check_bundle(search.folder / BEST)
