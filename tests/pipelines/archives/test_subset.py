"""Subsets: as large as asked for, and nothing that the whole shows goes missing."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.archives.quotas import Bools, Ints, apportion
from pipelines.archives.subset import draw_subset, parse_subset
from pipelines.errors import InputError, SettingsError
from pipelines.labels import encode_many


@dataclass(frozen=True)
class Patches:
    labels: Bools
    groups: Ints
    places: Ints


@st.composite
def some_patches(draw: st.DrawFn) -> Patches:
    rows, classes = draw(st.integers(1, 80)), draw(st.integers(1, 10))
    codes = arrays(np.int64, rows, elements=st.integers(0, 2))
    labels = draw(arrays(np.bool_, (rows, classes)))
    return Patches(labels, draw(codes), draw(codes))


@pytest.fixture(scope="module")
def bigearthnet(real_data: Path) -> Patches:
    """The labels, splits and countries of all 480,038 patches of BigEarthNet v2."""
    table = pq.read_table(real_data / "metadata.parquet", columns=["labels", "split", "country"])
    splits = pc.index_in(table["split"], value_set=pa.array(["train", "validation", "test"]))
    countries = np.unique(table["country"].to_numpy(), return_inverse=True)[1]
    return Patches(encode_many(table["labels"]).astype(bool), splits.to_numpy().astype(np.int64), countries)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("100%", 480_038),
        ("50%", 240_019),
        ("10%", 48_004),
        ("5 %", 24_002),
        ("1%", 4_800),
        ("0.5%", 2_400),
        ("0.0001%", 1),
        ("33.333%", 160_011),
        ("5000", 5_000),
        ("1", 1),
        ("480038", 480_038),
    ],
)
def test_a_share_or_a_number_of_bigearthnet(text: str, size: int) -> None:
    assert parse_subset(text).size_of(480_038) == size


@given(st.integers(1, 10**9), st.decimals("0.000000001", 100, places=9))
def test_a_share_is_rounded_to_the_nearest_and_never_to_nothing(total: int, percent: Decimal) -> None:
    subset = parse_subset(f"{percent:f}%")
    assert parse_subset(str(subset)) == subset
    assert abs(subset.size_of(total) - total * float(percent) / 100) <= 0.5001 or subset.size_of(total) == 1
    assert 1 <= subset.size_of(total) <= total


@pytest.mark.parametrize(
    "text",
    ["", "%", "0%", "0", "-3", "-3%", "abc", "10.5", "1e3", "101%", "100.1%", "1_000", "½%", "٣", "nan%", "1" * 5000],
)
def test_what_is_no_subset_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r'subset: .*such as "10%" or "0.5%"') as caught:
        parse_subset(text)
    assert len(str(caught.value)) < 250


def test_more_patches_than_there_are_names_both() -> None:
    with pytest.raises(SettingsError, match="5000 patches, there are 17"):
        parse_subset("5000").size_of(17)
    with pytest.raises(SettingsError, match="1 patches, there are 0"):
        parse_subset("10%").size_of(0)
    with pytest.raises(InputError, match="18 patches asked for, there are 17"):
        draw_subset(np.ones((17, 2), np.uint8), np.zeros(17, np.int64), 18, 0)


def test_arrays_of_unequal_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="17 rows of labels, 16 of groups"):
        draw_subset(np.ones((17, 2), np.uint8), np.zeros(16, np.int64), 3, 0)


@given(st.lists(st.integers(0, 50), min_size=1), st.data())
def test_seats_are_shared_out_in_proportion(weights: list[int], data: st.DataObject) -> None:
    seats = data.draw(st.integers(0, sum(weights)))
    shares = apportion(np.array(weights), seats)
    assert shares.sum() == seats
    assert (np.abs(shares * sum(weights) - np.array(weights) * seats) < max(1, sum(weights))).all()
    assert (shares <= weights).all()


@given(some_patches(), st.data(), st.integers(0, 9))
def test_any_size_is_met_in_every_group_and_again_with_the_same_seed(
    patches: Patches, data: st.DataObject, seed: int
) -> None:
    rows = len(patches.labels)
    size = data.draw(st.integers(1, rows))
    drawn = draw_subset(patches.labels, patches.groups, size, seed, within=patches.places)
    assert drawn.dtype == np.int64
    assert len(drawn) == size
    assert (np.diff(drawn) > 0).all()
    assert 0 <= drawn[0] <= drawn[-1] < rows
    share = np.bincount(patches.groups[drawn], minlength=3) * rows - np.bincount(patches.groups, minlength=3) * size
    assert (np.abs(share) < rows).all()
    again = draw_subset(patches.labels.astype(np.uint8), patches.groups, size, seed, within=patches.places)
    assert np.array_equal(drawn, again)


@given(some_patches(), st.data(), st.integers(0, 9))
def test_a_group_keeps_all_its_classes_once_it_has_as_many_rows(
    patches: Patches, data: st.DataObject, seed: int
) -> None:
    size = data.draw(st.integers(1, len(patches.labels)))
    drawn = draw_subset(patches.labels, patches.groups, size, seed)
    for group in range(3):
        classes = patches.labels[patches.groups == group].any(axis=0)
        kept = patches.labels[drawn[patches.groups[drawn] == group]]
        if len(kept) >= classes.sum():
            assert np.array_equal(kept.any(axis=0), classes)
        else:
            assert kept.any(axis=0).sum() >= min(len(kept), 1) * classes.any()


@given(some_patches(), st.integers(0, 9))
def test_as_many_rows_as_classes_keep_every_class_of_groups_that_are_alike(patches: Patches, seed: int) -> None:
    labels = np.tile(patches.labels, (3, 1))
    groups = np.repeat([0, 1, 2], len(patches.labels))
    size = max(1, int(labels.any(axis=0).sum()))
    drawn = draw_subset(labels, groups, min(size, len(labels)), seed)
    assert len(drawn) < size or np.array_equal(labels[drawn].any(axis=0), labels.any(axis=0))


@given(some_patches(), st.integers(2, 5), st.integers(0, 9))
def test_one_in_some_shows_exactly_what_the_whole_shows(patches: Patches, times: int, seed: int) -> None:
    whole = np.column_stack([patches.groups, patches.places, patches.labels])
    many = np.repeat(whole, times, axis=0)
    drawn = draw_subset(many[:, 2:] > 0, many[:, 0], len(whole), seed, within=many[:, 1])
    assert sorted(map(tuple, many[drawn])) == sorted(map(tuple, whole))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.data(), st.integers(0, 9))
def test_of_one_class_a_row_each_class_has_its_share(sizes: list[int], data: st.DataObject, seed: int) -> None:
    labels = np.eye(len(sizes), dtype=np.uint8).repeat(sizes, axis=0)
    size = data.draw(st.integers(-(-sum(sizes) // min(sizes)), sum(sizes)))  # so that no class has less than one
    drawn = draw_subset(labels, np.zeros(len(labels), np.int64), size, seed)
    assert (np.abs(labels[drawn].sum(axis=0) * sum(sizes) - np.array(sizes) * size) < sum(sizes)).all()


def test_one_patch_is_the_one_that_shows_most() -> None:
    labels = np.eye(6, dtype=np.uint8).repeat(20, axis=0)
    labels[17], labels[101:] = [1, 0, 1, 1, 1, 0], 0  # and the rarest class is another's
    assert draw_subset(labels, np.zeros(120, np.int64), 1, 0).tolist() == [17]


def test_a_class_that_only_one_group_has_comes_before_rarer_ones() -> None:
    labels = np.array([[1, 0, 0]] * 10 + [[0, 1, 1]] * 6 + [[0, 0, 1]] * 10, np.uint8)
    groups = np.repeat([0, 1], 13)
    assert labels[draw_subset(labels, groups, 2, 0)].any(axis=0).all()


def test_a_rare_combination_is_not_drawn_for_classes_that_are_there_anyway() -> None:
    labels = np.array([[1, 1]] + [[1, 0]] * 50 + [[0, 1]] * 49, np.uint8)
    assert sum(0 in draw_subset(labels, np.zeros(100, np.int64), 10, seed) for seed in range(20)) < 10


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("text", ["50%", "10%", "5%", "1%", "0.5%"])
def test_a_subset_of_bigearthnet_shows_all_its_classes_as_often_and_together(
    bigearthnet: Patches, text: str, seed: int
) -> None:
    labels, splits, countries = bigearthnet.labels, bigearthnet.groups, bigearthnet.places
    size = parse_subset(text).size_of(len(labels))
    drawn = draw_subset(labels, splits, size, seed, within=countries)
    assert len(drawn) == size
    for split in range(3):
        there, here = splits == split, drawn[splits[drawn] == split]
        whole, part = labels[there].astype(np.float64), labels[here].astype(np.float64)
        share = len(part) / len(whole)
        assert part.any(axis=0).all(), "a class is missing"
        assert np.abs(part.sum(axis=0) - share * whole.sum(axis=0)).max() < 3, "a class is too frequent or rare"
        assert np.abs(part.T @ part - share * whole.T @ whole).max() < 4, "a pair of classes is"
        per_country = np.bincount(countries[here], minlength=10) - share * np.bincount(countries[there], minlength=10)
        assert np.abs(per_country).max() < 2, "a country is"


def test_five_patches_of_bigearthnet_show_all_its_classes(bigearthnet: Patches) -> None:
    drawn = draw_subset(bigearthnet.labels, bigearthnet.groups, 5, 0)
    assert np.bincount(bigearthnet.groups[drawn]).tolist() == [3, 1, 1]
    assert bigearthnet.labels[drawn].any(axis=0).all()


def test_seeds_draw_different_patches(bigearthnet: Patches) -> None:
    one, other = (draw_subset(bigearthnet.labels, bigearthnet.groups, 1000, seed) for seed in (0, 1))
    assert len(np.intersect1d(one, other)) < 100
