"""Plans: the same rows whoever deals them, from memory or from shards, whole, in shares, or from the middle on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dataset.manifest import open_dataset
from pipelines.feeding.batches import Batches
from pipelines.feeding.epoch_order import Plan
from pipelines.feeding.rows import Chunk, Rows, read_split
from pipelines.feeding.streamed import Stream, open_stream
from tests.fakes import write_dataset

ROWS = 230
SIZES = {"A": 4, "B": 2}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rows]:
    """The same rows in memory and streamed, the latter in windows of two groups."""
    folder = write_dataset(tmp_path_factory.mktemp("plan") / "data", ROWS, sizes=SIZES)
    stream: Stream = open_stream(folder, "train", ("A",), open_dataset(folder))
    return {"memory": read_split(folder, "train", ("A",)), "stream": replace(stream, window_bytes=2 * 64 * 32)}


def numbers(batches: list[Chunk]) -> list[list[int]]:
    return [[int(row) for row in batch["A"][:, 0, 0]] for batch in batches]


kind = st.sampled_from(["memory", "stream"])


@settings(deadline=None, max_examples=60)
@given(kind=kind, batch=st.integers(1, 150), least=st.integers(1, 20), seed=st.none() | st.integers(0, 9))
def test_a_last_batch_that_is_too_small_is_joined_to_the_one_before(
    kinds: dict[str, Rows], kind: str, batch: int, least: int, seed: int | None
) -> None:
    plan = Plan(least=least)
    dealt = numbers(list(kinds[kind].epoch(batch, None if seed is None else [seed], plan)))
    assert sorted(row for rows in dealt for row in rows) == list(range(ROWS))
    sizes = [len(rows) for rows in dealt]
    assert sizes == [plan.size(step, ROWS, batch) for step in range(plan.steps(ROWS, batch))]
    assert len(sizes) == 1 or (set(sizes[:-1]) == {batch} and min(least, batch) <= sizes[-1] < batch + least)


@settings(deadline=None, max_examples=60)
@given(kind=kind, batch=st.integers(1, 90), skip=st.integers(0, 300), weighted=st.booleans(), seed=st.integers(0, 9))
def test_an_interrupted_epoch_goes_on_with_the_batches_it_still_owes(
    kinds: dict[str, Rows], kind: str, batch: int, skip: int, weighted: bool, seed: int
) -> None:
    plan = Plan(weights=np.arange(1.0, ROWS + 1) if weighted else None, least=2)
    whole = numbers(list(kinds[kind].epoch(batch, [seed], plan)))
    assert numbers(list(kinds[kind].epoch(batch, [seed], replace(plan, skip=skip)))) == whole[skip:]


@settings(deadline=None, max_examples=60)
@given(kind=kind, batch=st.integers(3, 90), workers=st.integers(1, 3), seed=st.none() | st.integers(0, 9))
def test_the_shares_of_all_workers_are_the_batch(
    kinds: dict[str, Rows], kind: str, batch: int, workers: int, seed: int | None
) -> None:
    order = None if seed is None else [seed]
    whole = numbers(list(kinds[kind].epoch(batch, order, Plan(least=workers))))
    shares = [
        numbers(list(kinds[kind].epoch(batch, order, Plan(least=workers, share=(number, workers)))))
        for number in range(workers)
    ]
    for step, rows in enumerate(whole):
        parts = [share[step] for share in shares]
        assert sorted(row for part in parts for row in part) == sorted(rows)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        if seed is None:
            assert parts == [rows[number::workers] for number in range(workers)]


@settings(deadline=None, max_examples=20)
@given(batch=st.integers(1, 90), seed=st.integers(0, 99))
def test_memory_and_stream_draw_the_same_rows(kinds: dict[str, Rows], batch: int, seed: int) -> None:
    """In another order: a stream deals from windows."""
    plan = Plan(weights=np.linspace(0, 1, ROWS) ** 4)
    drawn = [
        Counter(row for rows in numbers(list(each.epoch(batch, [seed], plan))) for row in rows)
        for each in kinds.values()
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0].total() == ROWS


@pytest.mark.parametrize("name", ["memory", "stream"])
def test_rows_are_drawn_by_their_weights(kinds: dict[str, Rows], name: str) -> None:
    weights = np.ones(ROWS)
    weights[:10], weights[100:200] = 8, 0  # the stream need not read a group of the latter at all
    counts = np.zeros(ROWS)
    for seed in range(40):
        for rows in numbers(list(kinds[name].epoch(32, [seed], Plan(weights=weights)))):
            np.add.at(counts, rows, 1)
    assert not counts[100:200].any()
    assert counts[:10].mean() / counts[10:100].mean() == pytest.approx(8, rel=0.1)


def test_groups_of_which_no_row_is_drawn_are_not_read(kinds: dict[str, Rows], tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 200, sizes=SIZES)
    stream = open_stream(folder, "train", ("A",), open_dataset(folder))
    weights = np.ones(200)
    weights[100:] = 0
    expected = numbers(list(stream.epoch(16, [1], Plan(weights=weights))))
    damaged = folder / "train" / "part-00001.parquet"
    data = bytearray(damaged.read_bytes())
    data[10:200] = bytes(190)
    damaged.write_bytes(bytes(data))
    again = open_stream(folder, "train", ("A",), open_dataset(folder))
    assert numbers(list(again.epoch(16, [1], Plan(weights=weights)))) == expected


def test_batches_count_as_their_plan_does(kinds: dict[str, Rows]) -> None:
    batches = Batches(kinds["memory"], 229, 4, shuffle_seed=1, plan=Plan(least=2))
    assert len(batches) == 1
    assert [len(images) for images, _ in batches] == [ROWS]
    batches.plan = replace(batches.plan, skip=1)
    assert list(batches) == []
