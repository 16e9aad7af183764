"""Metrics against scikit-learn, on random and on degenerate input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from models.metrics import METRICS, score

NAMES = ["a", "b", "c", "d"]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(5, 60), st.booleans())
def test_equal_to_scikit_learn(seed: int, rows: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((rows, 4)).astype(np.float32)
    if ties:
        scores = np.round(scores, 1)
    labels = (rng.random((rows, 4)) < 0.4).astype(np.uint8)
    labels[0] = 1  # each class is present
    found = score(scores, labels, NAMES, [0.5] * 4)
    decisions = scores >= 0.5
    for average in ("micro", "macro"):
        options = {"average": average, "zero_division": 0}
        expected = {
            f"precision_{average}": sk.precision_score(labels, decisions, **options),
            f"recall_{average}": sk.recall_score(labels, decisions, **options),
            f"f1_{average}": sk.f1_score(labels, decisions, **options),
            f"f2_{average}": sk.fbeta_score(labels, decisions, beta=2, **options),
            f"ap_{average}": sk.average_precision_score(labels, scores, average=average),
        }
        for key, value in expected.items():
            assert found[key] == pytest.approx(value, abs=2e-6), key
    assert found["hamming_loss"] == pytest.approx(sk.hamming_loss(labels, decisions), abs=2e-6)
    for i, name in enumerate(NAMES):
        assert found["per_class"][name]["ap"] == pytest.approx(
            sk.average_precision_score(labels[:, i], scores[:, i]), abs=2e-6
        )


def test_class_never_present_is_left_out_and_said() -> None:
    labels = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], np.uint8)
    found = score(np.full((2, 4), 0.3, np.float32), labels, NAMES)
    assert found["classes_scored"] == 2
    assert found["per_class"]["c"] == {"ap": None, "f1": 0.0, "f2": 0.0, "support": 0}
    assert found["ap_macro"] == pytest.approx(0.5)


def test_all_scores_equal_gives_the_frequencies() -> None:
    labels = np.array([[1, 1, 0, 1], [0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], np.uint8)
    found = score(np.full((4, 4), 0.5, np.float32), labels, NAMES)
    assert [found["per_class"][name]["ap"] for name in NAMES] == pytest.approx([0.25, 0.75, 0.25, 0.25])


def test_thresholds_are_used_by_class() -> None:
    scores = np.array([[0.4, 0.4, 0.4, 0.4]], np.float32)
    found = score(scores, np.ones((1, 4), np.uint8), NAMES, [0.3, 0.5, 0.3, 0.5])
    assert found["recall_micro"] == 0.5


def test_every_key_is_documented() -> None:
    found = score(np.zeros((1, 4), np.float32), np.ones((1, 4), np.uint8), NAMES)
    assert set(found) == {*METRICS, "classes_scored", "per_class"}
