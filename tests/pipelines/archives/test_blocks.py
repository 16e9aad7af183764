"""Splits by places: no two patches that touch are in different splits, and classes are as even as blocks allow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.archives.blocks import REACH, blocks_of, deal_blocks
from pipelines.archives.catalogue import SPLITS
from pipelines.archives.places import RADIUS, Places
from pipelines.archives.split import SHARES
from pipelines.errors import SettingsError
from pipelines.packing.ingest import plan_of
from pipelines.settings import IngestSettings
from tests.fakes import geotiff
from tests.pipelines.archives.test_detect import read_catalogue
from tests.pipelines.archives.test_places import lay

SIDE = 640.0


def on_map(east: NDArray[np.float64], north: NDArray[np.float64], latitude: float = 48.0) -> Places:
    """Patches at so many metres from a point; those at infinity cannot be read."""
    lat = latitude + np.degrees(north / RADIUS)
    lon = 10 + np.degrees(east / RADIUS / np.cos(np.radians(lat)))
    lat, lon = (np.where(np.isfinite(east), each, np.nan) for each in (lat, lon))
    up, along = np.radians(lat), np.radians(lon)
    points = RADIUS * np.stack([np.cos(up) * np.cos(along), np.cos(up) * np.sin(along), np.sin(up)], 1)
    return Places(points, lat, lon, SIDE)


def grid(columns: int, rows: int, gap: float = 0.0) -> Places:
    """Patches side by side."""
    east, north = np.meshgrid(np.arange(columns), np.arange(rows))
    return on_map(*(each.ravel() * (SIDE + gap) for each in (east, north)))


def nearest(places: Places, splits: NDArray[np.int64]) -> float:
    """Metres between two centres of different splits, at the least."""
    kept = np.flatnonzero((splits >= 0) & places.known)
    away = np.linalg.norm(places.points[kept, None] - places.points[None, kept], axis=2)
    different = splits[kept, None] != splits[None, kept]
    return float(away[different].min())


def two_classes(rows: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 2, (rows, 2)).astype(np.uint8)


@pytest.mark.parametrize("gap", [0.0, 100.0, 5000.0])
def test_neighbours_are_never_in_different_splits(gap: float) -> None:
    places = grid(30, 30, gap)
    dealt = deal_blocks(places, two_classes(900), 4000, SHARES, 0)
    assert nearest(places, dealt.splits) > REACH * SIDE
    assert {0, 1, 2} <= set(dealt.splits.tolist())
    assert (dealt.splits < 0).any() == (gap < SIDE)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from([2000.0, 5000.0, 20_000.0]), st.floats(-80, 80))
def test_wherever_patches_lie_neighbours_stay_together(seed: int, side: float, latitude: float) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-60_000, 60_000, (25, 2))
    spots = centres[rng.integers(0, 25, 200)] + rng.normal(0, 1500, (200, 2))
    places = on_map(*spots.T, latitude)
    dealt = deal_blocks(places, two_classes(200), side, SHARES, seed)
    assert nearest(places, dealt.splits) > REACH * SIDE
    assert np.array_equal(deal_blocks(places, two_classes(200), side, SHARES, seed).splits, dealt.splits)


def test_small_groups_are_not_cut_wherever_the_borders_lie() -> None:
    """A hundred groups of nine patches that touch, far apart: none loses a patch, each is in one split."""
    rng = np.random.default_rng(1)
    east, north = (each.ravel() * SIDE for each in np.meshgrid(np.arange(3), np.arange(3)))
    corners = rng.permutation(400)[:100]
    spots = [(east + 10_000 * (each % 20) + 77 * each, north + 10_000 * (each // 20)) for each in corners]
    places = on_map(*(np.concatenate(each) for each in zip(*spots, strict=True)))
    dealt = deal_blocks(places, two_classes(900), 6000, SHARES, 0)
    by_group = dealt.splits.reshape(100, 9)
    assert (by_group == by_group[:, :1]).all()
    assert (dealt.splits >= 0).all()


def test_training_gives_way_to_validation_and_both_to_test() -> None:
    places, labels = grid(24, 24), two_classes(576)
    dealt = deal_blocks(places, labels, 2000, SHARES, 3)
    lost = np.flatnonzero(dealt.splits < 0)
    away = np.linalg.norm(places.points[lost, None] - places.points[None], axis=2)
    for row in away:
        assert (dealt.splits[row <= REACH * SIDE] > 0).any(), "beside one of validation or test"
    assert (dealt.splits == 2).mean() == pytest.approx(0.15, abs=0.04), "of test none is left out"


def test_classes_are_as_even_as_blocks_allow() -> None:
    rng = np.random.default_rng(0)
    places = grid(40, 40, gap=10_000)  # each a block of its own
    labels = np.column_stack([rng.random(1600) < share for share in (0.5, 0.1, 0.02)]).astype(np.uint8)
    dealt = deal_blocks(places, labels, 5000, SHARES, 0)
    for part, share in enumerate(SHARES):
        mine = dealt.splits == part
        assert mine.mean() == pytest.approx(share, abs=0.01)
        np.testing.assert_allclose(labels[mine].sum(0) / labels.sum(0), share, atol=0.03)


def test_a_class_of_three_blocks_is_in_every_split() -> None:
    places = grid(10, 10, gap=10_000)
    labels = np.zeros((100, 2), np.uint8)
    labels[[3, 40, 77], 0] = 1
    labels[:, 1] = 1
    for seed in range(5):
        dealt = deal_blocks(places, labels, 5000, SHARES, seed)
        assert sorted(dealt.splits[[3, 40, 77]]) == [0, 1, 2]


def test_blocks_are_no_larger_than_asked_for_and_of_all_the_world() -> None:
    rng = np.random.default_rng(0)
    for latitude in (-70.0, 0.0, 60.0):
        spots = rng.uniform(-50_000, 50_000, (400, 2))
        places = on_map(*spots.T, latitude)
        block = blocks_of(places, np.arange(400), 8000)
        assert 100 < block.max() < 200
        for each in range(block.max() + 1):
            mine = places.points[block == each]
            assert np.linalg.norm(mine[:, None] - mine[None], axis=2).max() < 8000 * np.sqrt(2) * 1.35


def test_what_cannot_be_dealt_is_refused() -> None:
    places, labels = grid(6, 6), two_classes(36)
    for side, said in (
        (1000, "blocks of 1 km hold no two patches of 640 m side by side"),
        (100_000, "the patches lie in 1 block of 100 km, too few for 3 parts"),
    ):
        with pytest.raises(SettingsError, match=f"block: .*{said}"):
            deal_blocks(places, labels, side, SHARES, 0)
    row, whole = grid(6, 1), {"refused": 0, "dealt": 0}
    for seed in range(30):
        try:
            dealt = deal_blocks(row, two_classes(6, seed), 1300, SHARES, seed)
        except SettingsError as error:
            assert error.what == "all patches of train touch those of other splits"
            whole["refused"] += 1
        else:
            assert set(dealt.splits.tolist()) >= {0, 1, 2}
            whole["dealt"] += 1
    assert min(whole.values()) > 0


def test_files_that_cannot_be_read_are_left_to_packing() -> None:
    places = grid(10, 10, gap=10_000)
    east = np.where(np.arange(100) == 5, np.inf, 0.0)
    broken = on_map(east, np.zeros(100))
    places = Places(
        np.where(np.isnan(broken.points), np.nan, places.points),
        np.where(np.isnan(broken.latitude), np.nan, places.latitude),
        np.where(np.isnan(broken.longitude), np.nan, places.longitude),
        SIDE,
    )
    dealt = deal_blocks(places, two_classes(100), 5000, SHARES, 0)
    assert (dealt.splits[5], dealt.blocks) == (0, 99)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """144 files side by side, without a split."""
    from rasterio.transform import from_origin

    files = {
        f"{row:02d}_{column:02d}.tif": geotiff(
            np.ones((1, 8, 8), np.uint16),
            ["red"],
            transform=from_origin(300_000 + 640 * column, 5e6 - 640 * row, 80, 80),
        )
        for row in range(12)
        for column in range(12)
    }
    return lay(tmp_path_factory.mktemp("places") / "data", files)


def test_a_folder_is_dealt_by_its_files_places(folder: Path) -> None:
    catalogue = read_catalogue(folder, split="places", block="2km")
    spots = np.array([[int(part) for part in each.split("_")] for each in catalogue.rows["patch_id"]])
    splits = catalogue.rows["split"].to_numpy()
    assert set(splits) == set(SPLITS)
    near = np.abs(spots[:, None] - spots[None]).max(2) <= 1
    assert not (near & (splits[:, None] != splits[None])).any()
    left_out = catalogue.dropped["touches a patch of another split"]
    assert len(left_out) + len(catalogue) == 144
    (note,) = (each for each in catalogue.notes if "blocks of 2 km" in each)
    assert f"{len(left_out)} patches that touch one of another split are left out" in note


@pytest.mark.parametrize("more", [{}, {"split": "places", "block": "2km"}], ids=["dealt", "places"])
def test_each_patch_is_test_in_one_fold_and_validation_in_one(folder: Path, more: dict[str, str]) -> None:
    seen: dict[str, list[str]] = {}
    for fold in range(1, 4):
        catalogue = read_catalogue(folder, fold=f"{fold}/3", **more)
        for patch, split in zip(catalogue.rows["patch_id"], catalogue.rows["split"], strict=True):
            seen.setdefault(patch, []).append(split)
        assert set(catalogue.rows["split"]) == set(SPLITS)
    assert len(seen) == 144
    for splits in seen.values():
        assert splits.count("test") == 1
        assert splits.count("validation") <= 1
        if not more:
            assert sorted(splits) == ["test", "train", "validation"]


def test_a_split_that_is_dealt_says_what_it_is(folder: Path) -> None:
    (note,) = (each for each in read_catalogue(folder).notes if each.startswith("the split was dealt at random"))
    assert "neighbours on the map may lie in different splits" in note
    assert "--split places" in note


def test_an_archives_own_split_needs_no_note_and_has_no_folds(archive: Path) -> None:
    assert read_catalogue(archive).notes == ()
    with pytest.raises(SettingsError, match="fold: folds are dealt, and the archive's own split is asked for"):
        read_catalogue(archive, split="official", fold="1/5")
    assert set(read_catalogue(archive, fold="1/5").rows["split"]) == set(SPLITS)


@pytest.mark.parametrize("fold", ["0/5", "6/5", "1/2", "1", "5", "a/b", "1/5/5", "-1/5", "1/100"])
def test_a_fold_that_there_is_not_is_refused(folder: Path, fold: str) -> None:
    with pytest.raises(SettingsError, match="fold"):
        read_catalogue(folder, fold=fold)


def test_what_is_on_record_is_what_was_used(folder: Path) -> None:
    """Datasets of before, which knew of no blocks and folds, are the same datasets."""

    def kept(**more: str) -> set[str]:
        given = IngestSettings.parse({"source": folder, "out": "unused", **more})
        return set(plan_of(given, read_catalogue(folder, **more)).settings)

    assert not {"block", "fold"} & kept()
    assert {"block"} == kept(split="places", block="2km") - kept()
    assert {"fold"} == kept(fold="1/3") - kept()
