"""Checkpoints: whole or not at all, and damage of a single bit is found."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training.checkpoint import PREVIOUS, STATE, drop_states, push_state, read_state, write_state
from pipelines.errors import StorageError, TrainingError
from tests.small_disk import small_disk

STATES = {"weights": {"a": torch.arange(300.0)}, "rows": [{"epoch": 1, "value": None}], "best": [-math.inf, 3]}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state") / "state.pt"
    write_state(path, STATES)
    return path


def test_what_is_read_is_what_was_written(written: Path) -> None:
    found = read_state(written)
    assert torch.equal(found["weights"]["a"], STATES["weights"]["a"])  # type: ignore[call-overload, index]  # of a test
    assert {key: found[key] for key in ("rows", "best")} == {key: STATES[key] for key in ("rows", "best")}


@settings(deadline=None, max_examples=150)
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_any_flipped_bit_is_found(written: Path, share: float, bit: int) -> None:
    data = bytearray(written.read_bytes())
    data[int(share * len(data))] ^= 1 << bit
    damaged = written.with_name("damaged.pt")
    damaged.write_bytes(bytes(data))
    with pytest.raises(TrainingError, match=r"damaged.pt: checkpoint is damaged"):
        read_state(damaged)


@pytest.mark.parametrize("size", [0, 1, 32, 33, -1])
def test_a_file_that_was_cut_off_is_refused(written: Path, size: int) -> None:
    damaged = written.with_name("damaged.pt")
    damaged.write_bytes(written.read_bytes()[:size])
    with pytest.raises(TrainingError, match="checkpoint is damaged"):
        read_state(damaged)


def test_a_pickle_that_runs_code_is_not_read(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "sprung",)

    write_state(tmp_path / "state.pt", {"trap": Trap()})
    with pytest.raises(TrainingError, match="checkpoint is damaged"):
        read_state(tmp_path / "state.pt")
    assert not (tmp_path / "sprung").exists()


def test_the_one_before_is_kept_until_both_are_dropped(tmp_path: Path) -> None:
    for number in range(3):
        push_state(tmp_path, {"number": number})
    assert read_state(tmp_path / STATE)["number"] == 2
    assert read_state(tmp_path / PREVIOUS)["number"] == 1
    push_state(tmp_path, {"number": 3}, keep=False)
    assert [read_state(tmp_path / name)["number"] for name in (STATE, PREVIOUS)] == [3, 1]
    drop_states(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_last_good_one(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        push_state(disk, {"weights": torch.zeros(10_000)})
        with pytest.raises(StorageError, match="disk is full"):
            push_state(disk, {"weights": torch.zeros(100_000)})
        assert [path.name for path in disk.iterdir()] == [PREVIOUS]
        assert len(read_state(disk / PREVIOUS)["weights"]) == 10_000
