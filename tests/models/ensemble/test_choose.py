"""Greedy selection: what is taken helps, and nothing is worse for it than the best one alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.ensemble.choose import choose
from pipelines.errors import InputError

LABELS = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.uint8)


def near(probabilities: NDArray[np.float64], labels: NDArray[Any]) -> float:
    """How near the truth, which a mean of errors to both sides is more than each of them."""
    return -float(np.square(probabilities - labels).mean())


def test_the_best_one_begins_and_whoever_helps_is_taken_again() -> None:
    truth = LABELS.astype(np.float64)
    high, low, lost = truth + 0.3, truth - 0.6, np.full(truth.shape, 9.0)
    assert choose([lost, low, high], LABELS, near, 1) == [0, 0, 1]
    assert choose([lost, low, high], LABELS, near, 2) == [0, 1, 1]
    assert choose([lost, low, high], LABELS, near, 10) == [0, 1, 2]  # (2 · 0.3 - 0.6) / 3 is the truth: then it stops
    assert choose([high, high], LABELS, near, 10) == [1, 0]  # the same again is no gain


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 8))
def test_it_is_never_worse_than_the_best_one_and_never_too_large(seed: int, models: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    said = [rng.random(LABELS.shape) for _ in range(models)]
    counts = choose(said, LABELS, near, size)
    assert 1 <= sum(counts) <= size
    mean = sum(count * each for count, each in zip(counts, said, strict=True)) / sum(counts)
    alone = [near(each, LABELS) for each in said]
    assert near(np.asarray(mean), LABELS) >= max(alone) - 1e-12
    assert counts[int(np.argmax(alone))] >= 1


@pytest.mark.parametrize(("said", "size"), [([], 3), ([LABELS], 0), ([LABELS, LABELS[:2]], 3)])
def test_what_cannot_be_one_is_refused(said: list[NDArray[np.uint8]], size: int) -> None:
    with pytest.raises(InputError, match="ensemble"):
        choose(said, LABELS, near, size)
