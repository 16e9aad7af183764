"""The shard format: what is written is what is read, and damage is found."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from upath import UPath

from pipelines.dataset.manifest import FORMAT_VERSION, MANIFEST, check_dataset, open_dataset
from pipelines.dataset.part_file import join_planes, open_part, split_planes, trouble
from pipelines.errors import BandError, ServiceError, ShardError
from pipelines.feeding.rows import read_split
from pipelines.pixels.meaning import KINDS, REFLECTANCE
from tests.fakes import write_dataset


@given(st.integers(1, 7), st.integers(1, 9), st.data())
def test_byte_planes_round_trip(rows: int, size: int, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    array = data.draw(arrays(kind, (rows, size, size)))
    found = join_planes(split_planes(array), kind, size)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("left", [b"", b"x" * 100, b"\xff" * 100])
def test_a_part_that_a_store_has_cut_off_is_damaged(left: bytes) -> None:
    folder = UPath("memory://cut-off")
    write_dataset(folder, 5, sizes={"A": 4})
    (part,) = open_dataset(folder).parts("train")
    (folder / part.file).write_bytes(left)
    with pytest.raises(ShardError, match="part is damaged"):
        open_part(folder, part)


@pytest.mark.parametrize(
    ("error", "here", "there"),
    [
        (OSError("footer"), ShardError, ShardError),
        (OSError(errno.EIO, "disk"), ShardError, ShardError),
        (OSError(errno.EMFILE, "too many"), OSError, ServiceError),
        (PermissionError(errno.EACCES, "no"), PermissionError, ServiceError),
        (RuntimeError("of a client"), RuntimeError, ServiceError),
        (MemoryError(), MemoryError, MemoryError),
    ],
)
def test_what_the_machine_or_a_store_does_is_not_called_damage(
    error: Exception, here: type[Exception], there: type[Exception]
) -> None:
    assert type(trouble(Path("/part"), error)) is here
    assert type(trouble(UPath("memory://part"), error)) is there


def test_reading_some_bands_reads_their_bytes_only(shards: Path) -> None:
    part = next((shards / "train").glob("*.parquet"))
    groups = pq.ParquetFile(part).metadata
    sizes: dict[str, int] = {}
    for group in range(groups.num_row_groups):
        for column in range(groups.num_columns):
            chunk = groups.row_group(group).column(column)
            band = chunk.path_in_schema.split(".")[0]
            sizes[band] = sizes.get(band, 0) + chunk.total_compressed_size
    assert sum(sizes[band] for band in ("B04", "B03", "B02")) < 0.6 * sum(sizes.values())


@pytest.fixture
def copy(shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "copy"))


def test_whole_dataset_passes(shards: Path) -> None:
    assert check_dataset(shards).hash == open_dataset(shards).hash


def test_flipped_bit_is_found(copy: Path) -> None:
    part = next((copy / "test").glob("*.parquet"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(ShardError, match="checksum differs"):
        check_dataset(copy)


def test_cut_off_part_is_found_on_opening(copy: Path) -> None:
    part = next((copy / "train").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(ShardError, match="missing or cut off"):
        open_dataset(copy)


def test_newer_format_is_refused(copy: Path) -> None:
    path = copy / MANIFEST
    newer = FORMAT_VERSION + 1
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": newer}))
    with pytest.raises(ShardError, match=f"format {newer}, this version reads 2 and {FORMAT_VERSION}"):
        open_dataset(copy)


@pytest.mark.parametrize("text", ["{", "[]", f'{{"format": {FORMAT_VERSION}}}'])
def test_damaged_manifest_is_refused(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text)
    with pytest.raises(ShardError):
        open_dataset(copy)


def test_missing_folder_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="landsweep data ingest"):
        open_dataset(tmp_path / "absent")


def test_unknown_band_is_named(shards: Path) -> None:
    with pytest.raises(BandError, match="B10"):
        open_dataset(shards).size_of("B10")


def test_a_dataset_of_the_second_format_is_read_and_called_as_it_was(tmp_path: Path) -> None:
    """Its manifest knows nothing of what numbers mean, and its hash is what bundles and runs know it by."""
    folder = write_dataset(tmp_path / "data", 5, sizes={"A": 4})
    values = json.loads((folder / MANIFEST).read_text())
    assert values.pop("notes") == {}
    values |= {"format": 2, "source": {"name": "old", "kind": "BigEarthNet v2"}}
    for band in values["bands"]:
        del band["numbers"]
    for statistics in values["statistics"].values():
        del statistics["quantiles"]
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    (folder / MANIFEST).write_text(text)
    manifest = check_dataset(folder)
    assert manifest.hash == hashlib.sha256(text.encode()).hexdigest()
    assert manifest.column("A").numbers == REFLECTANCE
    assert read_split(folder, "train", ["A"]).chunks[0]["A"].dtype == np.uint16
