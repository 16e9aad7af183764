"""Streaming: the same rows as from memory, each once, in an order that only the seed decides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dataset.manifest import open_dataset
from pipelines.errors import BandError, ShardError
from pipelines.feeding.rows import Chunk, read_chunks, read_split
from pipelines.feeding.streamed import Stream, open_stream
from pipelines.files import write_whole
from tests.fakes import write_dataset

ROWS = 330
SIZES = {"A": 4, "B": 2}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Row groups of 64, 36, 64, 36, …: parts end in short ones."""
    return write_dataset(tmp_path_factory.mktemp("stream") / "data", ROWS, sizes=SIZES)


@pytest.fixture(scope="module")
def stream(dataset: Path) -> Stream:
    return open_stream(dataset, "train", ("B", "A"), open_dataset(dataset))


def numbers(batches: list[Chunk]) -> list[int]:
    return [int(row) for batch in batches for row in batch["A"][:, 0, 0]]


def with_window(stream: Stream, groups: int) -> Stream:
    """The same stream with room for so many row groups."""
    return replace(stream, window_bytes=groups * 64 * sum(2 * size**2 for size in SIZES.values()))


@settings(deadline=None, max_examples=40)
@given(
    batch=st.integers(1, 150), groups=st.integers(1, 9), seed=st.none() | st.integers(0, 99), threads=st.integers(1, 3)
)
def test_an_epoch_has_each_row_once_in_full_batches(
    stream: Stream, batch: int, groups: int, seed: int | None, threads: int
) -> None:
    epoch = list(replace(with_window(stream, groups), threads=threads).epoch(batch, None if seed is None else [seed]))
    assert sorted(numbers(epoch)) == list(range(ROWS))
    assert [len(each["labels"]) for each in epoch[:-1]] == [batch] * (len(epoch) - 1)
    if seed is None:
        assert numbers(epoch) == list(range(ROWS))


def test_the_seed_alone_decides_the_order(stream: Stream) -> None:
    small = with_window(stream, 2)
    first = numbers(list(small.epoch(32, [7, 0])))
    assert numbers(list(replace(small, threads=1).epoch(32, [7, 0]))) == first
    assert numbers(list(small.epoch(32, [7, 1]))) != first


def test_rows_are_mixed_across_parts(stream: Stream) -> None:
    first, second = (numbers([batch]) for batch in list(with_window(stream, 4).epoch(64, [0]))[:2])
    assert len({row // 100 for row in first}) >= 2
    assert min(first) < max(second)
    assert min(second) < max(first)


def test_pixels_and_labels_are_those_in_memory(stream: Stream, dataset: Path) -> None:
    memory = read_split(dataset, "train", ("B", "A"))
    for ours, theirs in zip(stream.epoch(50, None), memory.epoch(50, None), strict=True):
        for key in ("A", "B", "labels"):
            np.testing.assert_array_equal(ours[key], theirs[key])
    np.testing.assert_array_equal(stream.labels, memory.labels)
    assert stream.patch_ids.tolist() == memory.patch_ids.tolist()
    assert len(stream) == len(memory)


@given(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=12))
@settings(deadline=None, max_examples=20)
def test_any_rows_can_be_taken(stream: Stream, rows: list[int]) -> None:
    taken = stream.take(np.array(rows))
    assert taken["A"][:, 0, 0].tolist() == rows
    assert taken["labels"][:, 0].tolist() == [row % 2 for row in rows]


def test_a_consumer_may_leave_early(stream: Stream) -> None:
    epoch = stream.epoch(16, [0])
    next(epoch)
    epoch.close()


def test_fewer_bands_read_fewer_columns(stream: Stream) -> None:
    chunk = next(stream.select(("A",)).epoch(8, None))
    assert set(chunk) == {"A", "labels"}
    with pytest.raises(ShardError, match="C was not read"):
        stream.select(("C",))


def test_what_is_not_there_is_named(dataset: Path) -> None:
    manifest = open_dataset(dataset)
    with pytest.raises(BandError, match='no band "C"'):
        open_stream(dataset, "train", ("C",), manifest)
    with pytest.raises(ShardError, match='no patches in split "test"'):
        open_stream(dataset, "test", ("A",), manifest)


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
@settings(max_examples=150)
def test_a_flipped_bit_is_found_by_who_reads_it(dataset: Path, tmp_path: Path, share: float, bit: int) -> None:
    part = open_dataset(dataset).splits["train"][0]
    data = bytearray((dataset / part.file).read_bytes())
    data[int(share * len(data))] ^= 1 << bit
    write_whole(tmp_path / part.file, bytes(data))
    try:
        found = list(read_chunks(tmp_path, part, SIZES))
    except ShardError as error:
        assert "part is damaged" in str(error)
        return
    for ours, theirs in zip(found, read_chunks(dataset, part, SIZES), strict=True):  # bytes that nobody reads
        for key, array in theirs.items():
            np.testing.assert_array_equal(ours[key], array)


def test_a_part_with_other_rows_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 150, sizes=SIZES)
    manifest = open_dataset(folder)
    parts = [part.model_copy(update={"rows": part.rows + 1}) for part in manifest.splits["train"]]
    lying = manifest.model_copy(update={"splits": {"train": parts}})
    with pytest.raises(ShardError, match="the manifest says 101"):
        list(open_stream(folder, "train", ("A",), lying).epoch(32, None))
