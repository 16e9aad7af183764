"""Dealt splits: sizes exact, every class in all of them, as often in each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.archives.catalogue import SPLITS
from pipelines.archives.quotas import Bools, apportion
from pipelines.archives.split import SHARES, deal_splits
from pipelines.errors import SettingsError
from pipelines.labels import encode_many

some_labels = st.tuples(st.integers(0, 120), st.integers(1, 6)).flatmap(lambda shape: arrays(np.bool_, shape))


@given(some_labels, st.integers(0, 9), st.sampled_from([SHARES, (0.34, 0.33, 0.33), (0.9, 0.04, 0.06)]))
def test_sizes_are_exact_and_the_same_seed_deals_the_same(
    labels: Bools, seed: int, shares: tuple[float, float, float]
) -> None:
    dealt = deal_splits(labels, seed, shares)
    assert dealt.shape == (len(labels),)
    sizes = [int((dealt == split).sum()) for split in SPLITS]
    assert sizes == apportion(np.array([round(100 * share) for share in shares]), len(labels)).tolist()
    assert np.array_equal(dealt, deal_splits(labels.astype(np.uint8), seed, shares))


@given(st.integers(1, 5), st.integers(0, 9), st.data())
def test_a_class_of_three_rows_a_class_is_in_every_split(classes: int, seed: int, data: st.DataObject) -> None:
    labels = data.draw(arrays(np.bool_, (data.draw(st.integers(40, 120)), classes)))
    dealt = deal_splits(labels, seed)
    frequent = labels.sum(axis=0) >= 3 * classes
    for split in SPLITS:
        assert labels[dealt == split].any(axis=0)[frequent].all()


@given(st.lists(st.integers(3, 40), min_size=2, max_size=8), st.integers(0, 9))
def test_of_one_class_a_row_three_rows_are_enough_for_every_split(sizes: list[int], seed: int) -> None:
    labels = np.eye(len(sizes), dtype=np.uint8).repeat(sizes, axis=0)
    dealt = deal_splits(labels, seed)
    for split in SPLITS:
        room = int((dealt == split).sum())
        assert labels[dealt == split].any(axis=0).sum() == min(room, len(sizes))


def test_rows_of_a_class_that_runs_short_are_saved_for_the_split_that_lacks_it() -> None:
    labels = np.zeros((52, 6), np.uint8)
    # Three classes of four rows each; two rows of each show class 3 too, and some of these a frequent class as well.
    labels[:12, :3] = np.eye(3).repeat(4, axis=0)
    labels[[0, 1, 4, 5, 8, 9], 3] = 1
    labels[[4, 5], 4], labels[[8, 9], 5] = 1, 1
    labels[12:, 4:] = np.eye(2).repeat(20, axis=0)
    dealt = deal_splits(labels, 0)
    for split in SPLITS:
        assert labels[dealt == split].any(axis=0).all()


def test_a_class_of_one_row_goes_to_training() -> None:
    labels = np.column_stack([np.ones(30), np.arange(30) == 11]).astype(np.uint8)
    assert all(deal_splits(labels, seed)[11] == "train" for seed in range(20))


@pytest.mark.parametrize("seed", range(3))
def test_ten_classes_of_seventy_are_divided_evenly(seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.eye(10, dtype=np.uint8).repeat(70, axis=0))
    dealt = deal_splits(labels, seed)
    per_class = {split: labels[dealt == split].sum(axis=0) for split in SPLITS}
    assert per_class["train"].tolist() == [49] * 10
    for split in ("validation", "test"):
        assert sorted(per_class[split]) == [10] * 5 + [11] * 5


def test_bigearthnet_is_dealt_to_the_patch(real_data: Path) -> None:
    labels = encode_many(pq.read_table(real_data / "metadata.parquet", columns=["labels"])["labels"])
    dealt = deal_splits(labels, 0)
    assert [int((dealt == split).sum()) for split in SPLITS] == [336_026, 72_006, 72_006]
    whole = labels.astype(np.float64)
    for split, share in zip(SPLITS, SHARES, strict=True):
        part = whole[dealt == split]
        assert np.abs(part.sum(axis=0) - share * whole.sum(axis=0)).max() < 3
        assert np.abs(part.T @ part - share * whole.T @ whole).max() < 6


@pytest.mark.parametrize("shares", [(0.7, 0.3), (0.7, 0.3, 0.0), (0.7, 0.2, 0.2), (0.5, 0.6, -0.1)])
def test_shares_that_do_not_make_three_splits_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match=r"splits: shares 0\.\d, .* are not three above 0 with the sum 1"):
        deal_splits(np.ones((10, 1), np.uint8), 0, shares)
