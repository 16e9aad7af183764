"""Streaming: windows of row groups, read ahead by threads; damage is found by who reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dataset.manifest import BandColumn, open_dataset
from pipelines.errors import BandError, ShardError
from pipelines.feeding.epoch_order import Plan
from pipelines.feeding.rows import read_chunks
from pipelines.feeding.streamed import Stream, open_stream
from pipelines.files import write_whole
from tests.fakes import write_dataset
from tests.pipelines.feeding.rows_suite import BANDS, ROWS, SIZES, RowsSuite, flat, numbers


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Row groups of 64, 36, 64, 36, …: parts end in short ones."""
    return write_dataset(tmp_path_factory.mktemp("stream") / "data", ROWS, sizes=SIZES)


class TestStream(RowsSuite):
    groups, threads = 2, 2

    @classmethod
    def open(cls, folder: Path) -> Stream:
        """With room for so many row groups."""
        room = cls.groups * 64 * sum(2 * size**2 for size in SIZES.values())
        stream: Stream = open_stream(folder, "train", BANDS, open_dataset(folder))
        return replace(stream, window_bytes=room, threads=cls.threads)

    def test_threads_have_no_part_in_the_order(self, rows: Stream) -> None:
        assert flat(replace(rows, threads=5 - self.threads).epoch(32, [7])) == flat(rows.epoch(32, [7]))


class TestStreamOfSingleGroups(TestStream):
    groups, threads = 1, 1


def test_rows_are_mixed_across_parts(dataset: Path) -> None:
    stream = open_stream(dataset, "train", ("A",), open_dataset(dataset))
    first, second = (numbers([batch])[0] for batch in list(stream.epoch(64, [0]))[:2])
    assert len({row // 100 for row in first}) >= 2
    assert min(first) < max(second)
    assert min(second) < max(first)


def test_groups_of_which_no_row_is_drawn_are_not_read(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 200, sizes=SIZES)
    plan = Plan(weights=np.repeat([1.0, 0.0], 100))
    expected = numbers(open_stream(folder, "train", ("A",), open_dataset(folder)).epoch(16, [1], plan))
    damaged = folder / "train" / "part-00001.parquet"
    data = bytearray(damaged.read_bytes())
    data[10:200] = bytes(190)
    damaged.write_bytes(bytes(data))
    again = open_stream(folder, "train", ("A",), open_dataset(folder))
    assert numbers(again.epoch(16, [1], plan)) == expected


def test_what_is_not_there_is_named(dataset: Path) -> None:
    manifest = open_dataset(dataset)
    with pytest.raises(BandError, match='no band "C"'):
        open_stream(dataset, "train", ("C",), manifest)
    with pytest.raises(ShardError, match='no patches in split "test"'):
        open_stream(dataset, "test", ("A",), manifest)


COLUMNS = {name: BandColumn(name=name, size=size) for name, size in SIZES.items()}


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
@settings(max_examples=150)
def test_a_flipped_bit_is_found_by_who_reads_it(dataset: Path, tmp_path: Path, share: float, bit: int) -> None:
    part = open_dataset(dataset).splits["train"][0]
    data = bytearray((dataset / part.file).read_bytes())
    data[int(share * len(data))] ^= 1 << bit
    write_whole(tmp_path / part.file, bytes(data))
    try:
        found = list(read_chunks(tmp_path, part, COLUMNS))
    except ShardError as error:
        assert "part is damaged" in str(error)
        return
    for ours, theirs in zip(found, read_chunks(dataset, part, COLUMNS), strict=True):  # bytes that nobody reads
        for key, array in theirs.items():
            np.testing.assert_array_equal(ours[key], array)


def test_a_part_with_other_rows_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 150, sizes=SIZES)
    manifest = open_dataset(folder)
    parts = [part.model_copy(update={"rows": part.rows + 1}) for part in manifest.splits["train"]]
    lying = manifest.model_copy(update={"splits": {"train": parts}})
    with pytest.raises(ShardError, match="the manifest says 101"):
        list(open_stream(folder, "train", ("A",), lying).epoch(32, None))
