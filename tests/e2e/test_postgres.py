"""A study kept in a real PostgreSQL: run, shown, resumed, refused; and its password is nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.postgres import Server, postgres
from tests.fakes import free_port
from tests.models.bright import write_bright
from tests.ray_head import ray_head
from tune.settings import Scheduler, SearchSettings, Space
from tune.study import DATABASE

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="the driver is the extra landsweep[postgres]")
    with postgres() as running:
        yield running


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One Ray for all searches here."""
    with ray_head(tmp_path_factory.mktemp("ray"), num_cpus=2) as environment:
        yield environment


@pytest.fixture
def pass_file(server: Server, tmp_path: Path) -> dict[str, str]:
    """What tells libpq of a file with the password, which only its owner can read, as libpq wants it."""
    file = tmp_path / "pass"
    file.touch(mode=0o600)
    file.write_text(server.pass_file)
    return {"PGPASSFILE": str(file)}


def settings(folder: Path, storage: str, name: str = "kept") -> SearchSettings:
    shards = folder / "shards"
    return SearchSettings(
        name=name,
        data=shards if shards.exists() else write_bright(shards, {"train": 48, "validation": 24, "test": 12}),
        experiments=folder / "experiments",
        storage=storage,
        trials=2,
        epochs=1,
        explain=0,
        scheduler=Scheduler(name="fifo"),
        space=Space(model=["landnet"], bands=["B04"], batch_size=[16]),
    )


def landsweep(environment: dict[str, str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "landsweep", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def holding(folder: Path, text: str) -> list[str]:
    """Files below a folder that have this text in them."""
    return [path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def file_of(search: SearchSettings, folder: Path) -> Path:
    file = folder / f"{search.name}.yaml"
    file.write_text(search.dump_yaml(), encoding="utf-8")
    return file


@pytest.mark.timeout(1200)
def test_a_study_is_kept_in_postgresql(
    server: Server, head: dict[str, str], pass_file: dict[str, str], tmp_path: Path
) -> None:
    """Run, shown, refused a second time, gone on with; the password, which libpq finds, is in no output and no file."""
    search, environment = settings(tmp_path, server.url()), head | pass_file
    where = ("--experiments", search.experiments)
    ran = landsweep(environment, "search", "run", file_of(search, tmp_path))
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert not (search.folder / DATABASE).exists()
    shown = landsweep(environment, "search", "show", "kept", *where, "--json")
    found = json.loads(shown.stdout)
    assert [row["state"] for row in found["trials"]] == ["complete"] * 2
    again = landsweep(environment, "search", "run", file_of(search, tmp_path))
    assert (again.returncode, "the study exists already" in again.stderr) == (2, True), again.stderr
    more = landsweep(environment, "search", "resume", "kept", *where, "--trials", "3")
    assert more.returncode == 0, more.stderr[-3000:]
    after = json.loads(landsweep(environment, "search", "show", "kept", *where, "--json").stdout)
    assert after["trials"][:2] == found["trials"] and len(after["trials"]) == 3
    for ended in (ran, shown, again, more):
        assert server.password not in ended.stdout + ended.stderr
    assert holding(search.experiments, server.password) == []
    assert holding(tmp_path / "registry", server.password) == []


@pytest.mark.parametrize("wrong", ["password", "port"])
def test_a_storage_that_does_not_answer_is_said_without_its_password(
    server: Server, tmp_path: Path, wrong: str
) -> None:
    there = server if wrong == "password" else replace(server, port=free_port())
    url = there.url("not-the-password")
    ended = landsweep({**os.environ}, "search", "run", file_of(settings(tmp_path, url), tmp_path))
    assert ended.returncode == 2, ended.stderr
    assert "postgresql+psycopg storage: cannot be opened (OperationalError)" in ended.stderr
    assert "not-the-password" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.timeout(1200)
def test_a_password_in_the_url_stays_in_the_study_file(server: Server, head: dict[str, str], tmp_path: Path) -> None:
    """It must be somewhere to resume by: in search.yaml, which says it as it was told, and nowhere else."""
    search = settings(tmp_path, server.url(server.password), name="told")
    alone = head | {"PGPASSFILE": os.devnull}
    ran = landsweep(alone, "search", "run", file_of(search, tmp_path))
    assert ran.returncode == 0, ran.stderr[-3000:]
    for words in (("show", "told"), ("show", "told", "--json"), ("list",)):
        shown = landsweep(alone, "search", *words, "--experiments", search.experiments)
        assert shown.returncode == 0, shown.stderr
        assert server.password not in shown.stdout + shown.stderr
    assert server.password not in ran.stdout + ran.stderr
    assert holding(search.experiments, server.password) == ["search.yaml"]
    assert holding(tmp_path / "registry", server.password) == []
