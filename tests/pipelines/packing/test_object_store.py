"""Archives and datasets in an object store, over real HTTP to a server of this machine that speaks S3."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import fsspec
import numpy as np
import pytest

from pipelines.archives.detect import read_archive
from pipelines.dataset.manifest import MANIFEST, open_dataset
from pipelines.errors import ArchiveError, PatchError, ServiceError, ShardError
from pipelines.files import write_whole
from pipelines.location import MAX_FILE_BYTES, fetcher, files_below, locate, reach, remove_tree, subfolders
from pipelines.packing.ingest import ingest
from pipelines.packing.pack_part import RECORDS
from pipelines.settings import IngestSettings, SampleSettings
from pipelines.synthetic.sample import write_sample
from tests.fakes import free_port, geotiff
from tests.ray_head import ray_head

ROOT = Path(__file__).parents[3]
SETTINGS: dict[str, object] = {"bands": "rgb", "rows_per_part": 2, "seed": 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An S3 server with an empty bucket named `bucket`; yields what an environment must have to reach it."""
    port = free_port()
    folder = tmp_path_factory.mktemp("store")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urlopen(Request(f"{url}/bucket", method="PUT"), timeout=60)
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bucket(store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The bucket's URL, which this process too can reach for the length of a test."""
    for key, value in store.items():
        monkeypatch.setenv(key, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    yield "s3://bucket"
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(scope="module")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(SampleSettings(out=tmp_path_factory.mktemp("small") / "archive", patches=10, workers=1))


@pytest.fixture(scope="module")
def local(small_archive: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is packed from a disk onto a disk."""
    out = tmp_path_factory.mktemp("local") / "shards"
    ingest(IngestSettings.parse({"source": small_archive, "out": out, **SETTINGS}))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def content_of(url: str) -> dict[str, bytes]:
    folder = locate(url)
    return {file: folder.joinpath(file).read_bytes() for file in files_below(folder)}


def upload(folder: Path, url: str) -> str:
    target = locate(url)
    target.fs.put(f"{folder}/", f"{target.path}/", recursive=True)
    return url


def landsweep(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "landsweep", "data", *map(str, arguments)]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_from_a_store_to_a_store(
    small_archive: Path,
    local: dict[str, bytes],
    store: dict[str, str],
    bucket: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Killed half-way and resumed, with workers that reach it on their own: the bytes of a local ingest."""
    source, out = upload(small_archive, f"{bucket}/archive"), f"{bucket}/shards"
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    records = locate(f"{out}/{RECORDS}")
    with ray_head(tmp_path_factory.mktemp("ray"), 2, **store) as environment:
        command = landsweep("ingest", source, out, *flags)
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            while process.poll() is None and not list(records.glob("*/part-*.json")):
                time.sleep(0.1)
            os.killpg(process.pid, signal.SIGKILL)
        assert not locate(f"{out}/{MANIFEST}").exists(), "it was killed too late"
        with pytest.raises(ShardError, match="go on with --resume"):
            ingest(IngestSettings.parse({"source": source, "out": out, **SETTINGS}))
        ended = subprocess.run([*command, "--resume"], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert (ended.returncode, "error" in ended.stderr) == (0, False), ended.stderr
    assert content_of(out) == local
    ended = subprocess.run(landsweep("check", out, "--json"), cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sum(json.loads(ended.stdout)["patches"].values()) == 10
    again = ingest(IngestSettings.parse({"source": source, "out": out, "resume": True, **SETTINGS}))
    assert again == open_dataset(out)


def test_catalogues_from_a_store_are_those_from_a_disk(small_archive: Path, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a.tif", "deep/b.tif", "deep/c.tif"):
        (tmp_path / name).write_bytes(geotiff(np.ones((1, 4, 4), np.uint16), ("red",)))
    (tmp_path / "labels.csv").write_text("file,label\na,oak\ndeep/b,ash\nz,oak\n")
    for number, folder in enumerate((small_archive, tmp_path)):
        here = read_archive(IngestSettings(source=folder, out="", max_bad=0.5))
        there = read_archive(IngestSettings(source=upload(folder, f"{bucket}/catalogue{number}"), out="", max_bad=0.5))
        assert there.rows.equals(here.rows)
        assert (there.labels == here.labels).all()
        assert (there.dropped, there.checksum, there.layout) == (here.dropped, here.checksum, here.layout)


def test_files_are_fetched_whole_or_named(bucket: str) -> None:
    folder = locate(f"{bucket}/files")
    write_whole(folder / "deep" / "a.tif", b"pixels")
    write_whole(folder / "empty.tif", b"")
    folder.fs.pipe_file(f"{folder.path}/large.tif", bytes(MAX_FILE_BYTES + 1))
    fetch = fetcher(folder)
    assert (fetch("deep/a.tif"), fetch("empty.tif")) == (b"pixels", b"")
    with pytest.raises(FileNotFoundError):
        fetch("absent.tif")
    with pytest.raises(PatchError, match="more than 64 MiB"):
        fetch("large.tif")
    assert list(subfolders(folder)) == ["deep"]
    remove_tree(folder)
    remove_tree(folder)
    assert not folder.exists()


def test_what_is_not_there_is_said_to_be_so(bucket: str, small_archive: Path) -> None:
    for url in (f"{bucket}/absent", "s3://nobucket/archive"):
        with pytest.raises(ArchiveError, match=f"{url}: no such folder"):
            read_archive(IngestSettings(source=url, out=""))
        with pytest.raises(ShardError, match=f"{url}: no such dataset folder"):
            open_dataset(url)
    with pytest.raises(ServiceError, match=r"s3://nobucket/out/.* bucket does not exist"):
        ingest(IngestSettings(source=small_archive, out="s3://nobucket/out"))


def test_folders_in_use_are_refused(bucket: str, small_archive: Path) -> None:
    write_whole(locate(f"{bucket}/used/note.txt"), b"mine")
    for resume in (False, True):
        with pytest.raises(ShardError, match="s3://bucket/used: folder is not empty"):
            ingest(IngestSettings(source=small_archive, out=f"{bucket}/used", resume=resume))


@pytest.mark.parametrize("changed", [{"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, {"AWS_ACCESS_KEY_ID": ""}])
def test_stores_that_do_not_answer_are_named(
    bucket: str, changed: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No listener, or no credentials: both are errors of the client that are none of Python's."""
    for key, value in changed.items():
        monkeypatch.setenv(key, value) if value else monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(ServiceError, match=r"s3://bucket/x: the object store refuses .*credentials in the env"):
        reach(locate(f"{bucket}/x"))
