"""An ingest that is killed, doubled or out of room ends, once it is resumed, in the bytes of one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.dataset.manifest import MANIFEST, Manifest, check_dataset
from pipelines.errors import BusyError, StorageError
from pipelines.packing.ingest import ingest
from pipelines.packing.pack_part import RECORDS
from pipelines.settings import IngestSettings
from tests.ray_head import ray_head
from tests.small_disk import grow, small_disk

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
KILLS = 10
SMALL: dict[str, object] = {"bands": "rgb", "rows_per_part": 2}


def run(source: Path, out: Path, **more: object) -> Manifest:
    return ingest(IngestSettings.parse({"source": source, "out": out, **SMALL, **more}))


def command(source: Path, out: Path, **more: object) -> list[str]:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in (SMALL | more).items()]
    return [sys.executable, "-m", "landsweep", "data", "ingest", str(source), str(out), *flags, "--resume"]


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def committed(out: Path) -> int:
    return len(list((out / RECORDS).glob("*/part-*.json")))


@pytest.fixture(scope="module")
def uninterrupted(archive: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("uninterrupted") / "shards"
    run(archive, out)
    return content_of(out)


def kill_when(out: Path, parts: int, process: subprocess.Popen[bytes], *, writing: bool = True) -> None:
    """kill -9 of a driver and what it started, once so many parts are committed, or once the next is being written."""
    while process.poll() is None and committed(out) < parts:
        time.sleep(0.005)
    while writing and process.poll() is None and committed(out) <= parts and not list(out.glob("*/.part-*")):
        time.sleep(0.001)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.timeout(1800)
def test_ten_kills_at_random_moments_leave_no_trace(
    archive: Path, uninterrupted: dict[str, bytes], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out, chance = tmp_path / "out", random.Random(0)
    unfinished = 0
    # A cluster that outlives its drivers, so that they start in seconds. With it ends whatever still ran for one.
    with ray_head(tmp_path_factory.mktemp("ray"), num_cpus=2) as head:
        for _ in range(KILLS):
            parts = committed(out) + chance.randrange(3)  # tasks of a killed driver commit some more
            process = subprocess.Popen(
                command(archive, out), cwd=ROOT, env=head, stderr=subprocess.DEVNULL, start_new_session=True
            )
            kill_when(out, parts, process, writing=chance.random() < 0.5)
            unfinished += not (out / MANIFEST).exists()
    assert unfinished >= KILLS // 2, "most kills came too late to interrupt anything"
    run(archive, out, resume=True)
    assert content_of(out) == uninterrupted
    check_dataset(out)


def test_killed_with_its_own_ray(archive: Path, uninterrupted: dict[str, bytes], tmp_path: Path) -> None:
    """kill -9 of everything while parts are being committed. Meanwhile, a second one is told who is at it."""
    out = tmp_path / "out"
    with subprocess.Popen(
        command(archive, out), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        while process.poll() is None and not (out / RECORDS / "plan.json").exists():
            time.sleep(0.02)
        for resume in (False, True):
            with pytest.raises(BusyError, match=rf"already running \(process {process.pid}\)"):
                run(archive, out, resume=resume)
        kill_when(out, 2, process)
    assert committed(out) >= 2
    assert not (out / MANIFEST).exists()
    run(archive, out, resume=True)
    assert content_of(out) == uninterrupted


def test_leftovers_are_swept_up(archive: Path, uninterrupted: dict[str, bytes], tmp_path: Path) -> None:
    """Files written aside by a process that was killed, records that are damaged, and parts that nothing is left of."""
    out = tmp_path / "out"
    (out / RECORDS / "train").mkdir(parents=True)
    (out / "train").mkdir()
    (out / f".{MANIFEST}.17-0123abcd").write_bytes(b"{")
    (out / "train" / ".part-00000.parquet.17-0123abcd").write_bytes(b"PAR1")
    (out / "train" / "part-00001.parquet").write_bytes(b"PAR1 of something else")
    (out / "train" / "part-00099.parquet").write_bytes(b"PAR1 of something else")
    (out / RECORDS / "train" / "part-00001.json").write_bytes(b'{"split": "train"')
    run(archive, out, resume=True)
    assert content_of(out) == uninterrupted


def test_full_disk(archive: Path, ray_session: None, tmp_path: Path) -> None:
    """The ingest ends with path and need; nothing is half-written; with more room it goes on."""
    few: dict[str, object] = {"subset": "24", "rows_per_part": 2}
    run(archive, tmp_path / "uninterrupted", **few)
    with small_disk(tmp_path) as disk:
        out = disk / "out"
        with pytest.raises(StorageError, match=r"disk/out/.*: disk is full: 0\.\d MiB more are needed\. Make room"):
            run(archive, out, **few)
        ended = subprocess.run(command(archive, out, **few), cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 1
        assert ended.stderr.count("disk is full") == ended.stderr.count("error:") == 1
        assert "Traceback" not in ended.stderr
        parts = list(out.glob("*/part-*.parquet"))
        assert parts
        assert all(pq.read_table(part).num_rows == 2 for part in parts)
        assert not (out / MANIFEST).exists()
        grow(disk)
        run(archive, out, resume=True, **few)
        assert content_of(out) == content_of(tmp_path / "uninterrupted")
