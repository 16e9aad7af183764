"""A tar beside its tables gives what its unpacked folder gives, whatever is missing, strange or interrupted."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipelines.archives.bigearthnet_v2 import IMAGES, METADATA, UNCLEAR
from pipelines.archives.catalogue import SPLITS
from pipelines.archives.detect import read_archive
from pipelines.dataset.manifest import MANIFEST, Manifest, check_dataset, open_dataset
from pipelines.errors import ArchiveError
from pipelines.packing.ingest import Progress, ingest
from pipelines.packing.pack_part import RECORDS
from pipelines.settings import IngestSettings

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": lambda data: gzip.compress(data, 1),
    ".tar.zst": zstandard.ZstdCompressor(level=1).compress,
}
BANDS = "rgb"
WHOLE = 96
"""Rows of the archive."""

pytestmark = pytest.mark.usefixtures("ray_session")  # else each ingest starts a Ray of its own


def run(source: Path, out: Path, progress: Progress | None = None, **more: object) -> Manifest:
    given = {"source": source, "out": out, "rows_per_part": 20, "bands": BANDS, "seed": 3, **more}
    return ingest(IngestSettings.parse(given), progress)


def files_of(archive: Path) -> list[Path]:
    return sorted(path for path in (archive / IMAGES).rglob("*") if path.is_file())


def tarred(archive: Path, copy: Path, files: Iterable[Path], suffix: str = ".tar.zst") -> Path:
    """An archive of a tar with these files, in this order, beside the tables."""
    copy.mkdir(exist_ok=True)
    for table in (METADATA, UNCLEAR):
        shutil.copy(archive / table, copy / table)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for path in files:
            tar.add(path, path.relative_to(archive).as_posix())
    (copy / f"{IMAGES}{suffix}").write_bytes(PACKERS[suffix](target.getvalue()))
    return copy


def rows_of(shards: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every split with all its columns, as they are stored, by patch."""
    manifest = open_dataset(shards)
    tables = {
        split: pa.concat_tables(pq.read_table(shards / part.file) for part in manifest.splits[split])
        for split in SPLITS
    }
    return {split: table.sort_by("patch_id").to_pylist() for split, table in tables.items()}


@pytest.fixture(scope="module")
def folder_shards(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the folder gives, a part a split, which are packed without Ray."""
    out = tmp_path_factory.mktemp("folder") / "shards"
    run(archive, out, rows_per_part=WHOLE)
    return out


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_tar_gives_what_its_folder_gives(archive: Path, folder_shards: Path, tmp_path: Path, suffix: str) -> None:
    source = tarred(archive, tmp_path / "archive", files_of(archive), suffix)
    manifest, other = run(source, tmp_path / "out"), open_dataset(folder_shards)
    assert rows_of(tmp_path / "out") == rows_of(folder_shards)
    for same in ("statistics", "label_counts", "country_counts", "dropped", "bands", "label_names"):
        assert getattr(manifest, same) == getattr(other, same)
    assert manifest.settings | {"rows_per_part": WHOLE} == other.settings
    assert check_dataset(tmp_path / "out") == manifest
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [MANIFEST, *sorted(SPLITS)]


def test_the_order_of_a_tar_matters_to_nothing_but_the_order_of_rows(
    archive: Path, folder_shards: Path, tmp_path: Path
) -> None:
    backwards = files_of(archive)[::-1]
    run(tarred(archive, tmp_path / "archive", backwards), tmp_path / "out")
    assert rows_of(tmp_path / "out") == rows_of(folder_shards)


def test_patches_that_a_subset_does_without_are_no_strays(archive: Path, tmp_path: Path) -> None:
    manifest = run(tarred(archive, tmp_path / "archive", files_of(archive)), tmp_path / "out", subset="25%")
    assert sum(manifest.rows(split) for split in SPLITS) == 24
    assert set(manifest.dropped) == set(read_archive(IngestSettings(source=archive, out="")).dropped)


def test_patches_whose_files_do_not_lie_together_are_refused(archive: Path, tmp_path: Path) -> None:
    files = files_of(archive)
    source = tarred(archive, tmp_path / "archive", [*files[1:], files[0]])
    with pytest.raises(ArchiveError, match=rf"files of .*{files[0].parent.name} do not lie together.*--unpack"):
        run(source, tmp_path / "out")
    assert not (tmp_path / "out" / MANIFEST).exists()


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_tar_that_was_cut_off_is_refused_and_gone_on_with_when_it_is_whole(
    archive: Path, folder_shards: Path, tmp_path: Path, suffix: str
) -> None:
    source = tarred(archive, tmp_path / "archive", files_of(archive), suffix)
    tar, out = source / f"{IMAGES}{suffix}", tmp_path / "out"
    whole = tar.read_bytes()
    tar.write_bytes(whole[: len(whole) * 2 // 3])
    for resume in (False, True) if suffix == ".tar.zst" else (False,):  # how it is packed is not of what to go on
        with pytest.raises(ArchiveError, match=tar.name):
            run(source, out, resume=resume)
        assert not (out / MANIFEST).exists()
    tar.write_bytes(whole)
    run(source, out, resume=True)
    assert rows_of(out) == rows_of(folder_shards)


class EnoughError(Exception):
    pass


def test_an_interrupted_ingest_from_a_tar_makes_no_part_twice(archive: Path, tmp_path: Path) -> None:
    source, out = tarred(archive, tmp_path / "archive", files_of(archive)), tmp_path / "out"
    run(source, tmp_path / "uninterrupted", rows_per_part=8)

    def stop(done: int, of: int) -> None:
        if done >= of / 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        run(source, out, stop, rows_per_part=8)
    records = [path.relative_to(out / RECORDS).with_suffix(".parquet") for path in (out / RECORDS).rglob("part-*.json")]
    made = {record: (out / record).stat().st_mtime_ns for record in records}
    assert len(made) >= 4
    run(source, out, rows_per_part=8, resume=True)
    assert {record: (out / record).stat().st_mtime_ns for record in records} == made
    assert content_of(out) == content_of(tmp_path / "uninterrupted")


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_tar_that_is_none_is_refused(archive: Path, tmp_path: Path, ray_session: None) -> None:
    source = tarred(archive, tmp_path / "archive", files_of(archive)[:12])
    (source / f"{IMAGES}.tar.zst").write_bytes(b"not found")
    with pytest.raises(ArchiveError, match=r"\.tar\.zst"):
        run(source, tmp_path / "out")
