"""What rows must do alike wherever their pixels are. A kind of `Rows` is tested by a class of a few lines: it derives
from `RowsSuite` and opens the rows."""

from __future__ import annotations

import threading
import tracemalloc
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.dataset.manifest import MANIFEST, open_dataset
from pipelines.errors import ShardError
from pipelines.feeding.epoch_order import ALL, Plan
from pipelines.feeding.rows import Chunk, Rows
from tests.fakes import rows_made_up, write_dataset

ROWS = 330
SIZES = {"A": 4, "B": 2}
BANDS = ("B", "A")

# Each kind has rows of its own: that several classes run one test is what is meant.
by_every_kind = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.differing_executors])
orders = st.none() | st.lists(st.integers(0, 9), min_size=1, max_size=2)


def numbers(batches: Iterable[Chunk]) -> list[list[int]]:
    """Which rows each batch has."""
    return [[int(row) for row in batch["A"][:, 0, 0]] for batch in batches]


def flat(batches: Iterable[Chunk]) -> list[int]:
    return [row for rows in numbers(batches) for row in rows]


class RowsSuite(ABC):
    @classmethod
    @abstractmethod
    def open(cls, folder: Path) -> Rows:
        """Rows of the folder's split `train` with `BANDS`."""

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Parts of 100 rows, whose row groups have 64, 36, 64, 36, …; the split `test` is the last part alone."""
        folder = write_dataset(tmp_path_factory.mktemp("rows") / "data", ROWS, sizes=SIZES)
        manifest = open_dataset(folder)
        splits = manifest.splits | {"test": manifest.splits["train"][-1:]}
        (folder / MANIFEST).write_text(manifest.model_copy(update={"splits": splits}).model_dump_json())
        return folder

    @pytest.fixture(scope="class")
    @classmethod
    def rows(cls, folder: Path) -> Rows:
        return cls.open(folder)

    @pytest.fixture(scope="class")
    @classmethod
    def written(cls) -> Chunk:
        return rows_made_up(ROWS, SIZES)

    def check(self, found: Chunk, written: Chunk, rows: Sequence[int], bands: Sequence[str] = BANDS) -> None:
        """Those rows with those bands, to the bit, in memory that is the taker's to change."""
        assert set(found) == {*bands, "labels"}
        for key, array in found.items():
            assert array.dtype == written[key].dtype
            np.testing.assert_array_equal(array, written[key][list(rows)])
            array[...] = 7

    def test_labels_and_ids_come_in_the_splits_order(self, rows: Rows, written: Chunk) -> None:
        assert (rows.bands, len(rows), rows.labels.dtype) == (BANDS, ROWS, np.uint8)
        np.testing.assert_array_equal(rows.labels, written["labels"])
        assert rows.patch_ids.tolist() == written["patch_id"].tolist()

    def test_bands_are_selected_by_name_and_nothing_is_copied(self, rows: Rows, written: Chunk) -> None:
        tracemalloc.start()
        fewer, turned = rows.select(("A",)), rows.select(("A", "B"))
        arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
        made = tracemalloc.take_snapshot().filter_traces([arrays])
        tracemalloc.stop()
        assert not made.traces
        for selected, bands in ((fewer, ("A",)), (turned, ("A", "B")), (rows, BANDS)):
            assert (selected.bands, len(selected)) == (bands, ROWS)
            self.check(selected.take(np.array([70, 3])), written, [70, 3], bands)
            self.check(next(iter(selected.epoch(5, None))), written, range(5), bands)
        with pytest.raises(ShardError, match="band C was not read"):
            rows.select(("A", "C"))

    @by_every_kind
    @given(wanted=st.lists(st.integers(0, ROWS - 1), max_size=12))
    def test_any_rows_are_taken_in_any_order(self, rows: Rows, written: Chunk, wanted: list[int]) -> None:
        self.check(rows.take(np.array(wanted, np.int64)), written, wanted)

    @pytest.mark.parametrize("strange", [-1, ROWS, 10**9])
    def test_rows_that_there_are_not_are_refused(self, rows: Rows, strange: int) -> None:
        with pytest.raises(IndexError, match=f"no row {strange} of {ROWS}"):
            rows.take(np.array([0, strange, 1]))

    @by_every_kind
    @given(batch=st.integers(1, 150), least=st.integers(1, 20), order=orders)
    def test_an_epoch_has_each_row_once_in_full_batches(
        self, rows: Rows, written: Chunk, batch: int, least: int, order: list[int] | None
    ) -> None:
        """A last batch that is too small is joined to the one before."""
        plan = Plan(least=least)
        epoch = list(rows.epoch(batch, order, plan))
        dealt = flat(epoch)
        assert sorted(dealt) == list(range(ROWS))
        assert dealt == list(range(ROWS)) or order is not None
        sizes = [len(chunk["labels"]) for chunk in epoch]
        assert sizes == [plan.size(step, ROWS, batch) for step in range(plan.steps(ROWS, batch))]
        assert len(sizes) == 1 or (set(sizes[:-1]) == {batch} and min(least, batch) <= sizes[-1] < batch + least)
        for chunk, each in zip(epoch, numbers(epoch), strict=True):
            self.check(chunk, written, each)

    def test_the_seed_alone_decides_the_order(self, rows: Rows, folder: Path) -> None:
        first = numbers(rows.epoch(32, [7, 0]))
        assert numbers(rows.epoch(32, [7, 0])) == numbers(self.open(folder).epoch(32, [7, 0])) == first
        others = [flat(rows.epoch(32, order)) for order in ([7, 1], [8, 0], None)]
        assert all(other != flat(rows.epoch(32, [7, 0])) for other in others)

    @by_every_kind
    @given(batch=st.integers(1, 90), skip=st.integers(0, 400), weighted=st.booleans(), order=orders)
    def test_an_interrupted_epoch_goes_on_with_the_batches_it_still_owes(
        self, rows: Rows, batch: int, skip: int, weighted: bool, order: list[int] | None
    ) -> None:
        plan = Plan(weights=np.arange(1.0, ROWS + 1) if weighted and order else None, least=2)
        whole = numbers(rows.epoch(batch, order, plan))
        assert numbers(rows.epoch(batch, order, replace(plan, skip=skip))) == whole[skip:]

    @by_every_kind
    @given(batch=st.integers(1, 90), workers=st.integers(1, 3), order=orders)
    def test_the_shares_of_all_workers_are_the_batch(
        self, rows: Rows, batch: int, workers: int, order: list[int] | None
    ) -> None:
        plan = Plan(least=workers)
        whole = numbers(rows.epoch(batch, order, plan))
        shares = [numbers(rows.epoch(batch, order, replace(plan, share=(each, workers)))) for each in range(workers)]
        for step, dealt in enumerate(whole):
            parts = [share[step] for share in shares]
            assert sorted(row for part in parts for row in part) == sorted(dealt)
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
            assert order is not None or parts == [dealt[each::workers] for each in range(workers)]

    @by_every_kind
    @given(batch=st.integers(1, 90), seed=st.integers(0, 99))
    def test_every_kind_draws_the_same_rows(self, rows: Rows, batch: int, seed: int) -> None:
        """In another order: a stream deals from windows."""
        plan = Plan(weights=np.linspace(0, 1, ROWS) ** 4)
        assert sorted(flat(rows.epoch(batch, [seed], plan))) == sorted(plan.draw(ROWS, np.random.default_rng([seed])))

    def test_rows_are_drawn_by_their_weights(self, rows: Rows) -> None:
        weights = np.ones(ROWS)
        weights[:10], weights[100:200] = 8, 0  # a stream need not read a group of the latter at all
        drawn = [flat(rows.epoch(32, [seed], Plan(weights=weights))) for seed in range(40)]
        assert {len(each) for each in drawn} == {ROWS}
        counts = np.bincount(np.concatenate(drawn), minlength=ROWS)
        assert not counts[100:200].any()
        assert counts[:10].mean() / counts[weights == 1].mean() == pytest.approx(8, rel=0.1)

    def test_an_epoch_may_be_left_early(self, rows: Rows) -> None:
        before = set(threading.enumerate())
        for order in (None, [0]):
            epoch = iter(rows.epoch(16, order, ALL))
            first = next(epoch)
            del epoch
            assert set(threading.enumerate()) <= before, "a reader is left behind"
            assert numbers([first]) == numbers(rows.epoch(16, order))[:1]
