"""Rows in memory, and rows to batches: the right bands in the right order, each row once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import PatchError, ShardError
from pipelines.feeding.batches import Batches, assemble, repeat_on_device
from pipelines.feeding.epoch_order import Plan
from pipelines.feeding.rows import Rows, Split, read_split
from tests.fakes import write_dataset
from tests.pipelines.feeding.rows_suite import BANDS, RowsSuite


def split_of(rows: int, chunks: int) -> Split:
    """A split whose pixels say which row and band they are."""
    bounds = np.linspace(0, rows, chunks + 1).astype(int)
    parts = []
    for start, end in pairwise(bounds):
        number = np.arange(start, end, dtype=np.uint16)[:, None, None]
        parts.append(
            {
                "A": np.repeat(np.repeat(number, 4, 1), 4, 2),
                "B": np.repeat(np.repeat(number + 1000, 2, 1), 2, 2),
                "labels": (number[:, :, 0] % 2).astype(np.uint8),
                "patch_id": np.array([f"p{i}" for i in range(start, end)], dtype=object),
            }
        )
    return Split(("A", "B"), tuple(parts))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 9), st.integers(0, 99))
def test_an_epoch_has_each_row_once_in_its_own_order(rows: int, chunks: int, batch: int, seed: int) -> None:
    split = split_of(rows, chunks)
    batches = Batches(split, batch, 4, shuffle_seed=seed)
    epochs = []
    for _ in range(2):
        seen = torch.cat([images[:, 0, 0, 0] for images, _ in batches])
        assert sorted(seen.tolist()) == list(range(rows))
        epochs.append(seen.tolist())
    again = Batches(split, batch, 4, shuffle_seed=seed)
    assert torch.cat([images[:, 0, 0, 0] for images, _ in again]).tolist() == epochs[0]
    assert len(batches) == len(list(batches))
    if rows > 12:
        assert epochs[0] != epochs[1]


@given(st.permutations(["A", "B"]))
def test_channels_follow_the_bands_asked_for(order: list[str]) -> None:
    split = split_of(6, 2).select(order)
    images, labels = next(iter(Batches(split, 6, 4)))
    expected = {"A": 0, "B": 1000}
    for channel, band in enumerate(order):
        assert images[3, channel].unique().tolist() == [3 + expected[band]]
    assert labels[:, 0].tolist() == [0, 1, 0, 1, 0, 1]


def test_coarse_bands_are_repeated_not_blended() -> None:
    native = np.arange(4, dtype=np.uint16).reshape(1, 2, 2)
    image = assemble({"A": native}, ("A",), 4)[0, 0]
    assert image.tolist() == np.kron(native[0], np.ones((2, 2))).tolist()
    assert image.dtype == torch.float32


def test_a_batch_that_is_held_keeps_its_pixels() -> None:
    """Memory of batches is used again, but not while a batch or a view of it is there."""
    batches = Batches(split_of(40, 3), 4, 4)
    kept = [images[:, :1] for images, _ in batches]
    assert torch.cat(kept)[:, 0, 0, 0].tolist() == list(range(40))
    addresses = [images.data_ptr() for images, _ in batches]
    assert len(set(addresses)) < len(addresses)


@pytest.mark.parametrize("size", [4, 8, 12])
def test_pixels_are_repeated_alike_on_host_and_device(size: int) -> None:
    rng = np.random.default_rng(size)
    pixels = {name: rng.integers(0, 65536, (3, side, side)).astype(np.uint16) for name, side in (("A", 4), ("B", 2))}
    images = assemble(pixels, ("B", "A"), size)
    for channel, name in enumerate(("B", "A")):
        factor = size // pixels[name].shape[-1]
        expected = np.kron(pixels[name], np.ones((factor, factor)))
        np.testing.assert_array_equal(images[:, channel].numpy(), expected)
        device = torch.empty(3, 2, size, size)[:, 1]
        repeat_on_device(torch.from_numpy(pixels[name]), device)
        np.testing.assert_array_equal(device.numpy(), expected)


def test_grid_that_does_not_fit_is_refused() -> None:
    with pytest.raises(PatchError, match="do not fit"):
        assemble({"A": np.zeros((1, 3, 3), np.uint16)}, ("A",), 4)


def test_batches_count_as_their_plan_does() -> None:
    batches = Batches(split_of(230, 3), 229, 4, shuffle_seed=1, plan=Plan(least=2))
    assert len(batches) == 1
    assert [len(images) for images, _ in batches] == [230]
    batches.plan = replace(batches.plan, skip=1)
    assert list(batches) == []


def test_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match='no patches in split "holdout"'):
        read_split(write_dataset(tmp_path / "data", 5, sizes={"A": 4}), "holdout", ("A",))


class TestSplit(RowsSuite):
    @classmethod
    def open(cls, folder: Path) -> Rows:
        return read_split(folder, "train", BANDS)
