"""Thresholds: the best there are for F-beta, drawn to the default the fewer positives a class has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score

from models.measure.calibrate import Calibration
from models.measure.metrics import DEFAULT_THRESHOLD, decide
from models.measure.thresholds import PRIOR_POSITIVES, fit_thresholds
from tests.models.measure.drawn import Split, splits


@pytest.mark.parametrize(("beta", "optimum"), [(1.0, (3 - 5**0.5) / 2), (2.0, 3 - 8**0.5)])
def test_the_best_threshold_of_known_probabilities_is_found(beta: float, optimum: float) -> None:
    """Probabilities evenly from 0 to 1 that are true: F-beta is best where the threshold is F / (1 + beta²)."""
    rng = np.random.default_rng(0)
    scores = np.linspace(0, 1, 100_000, dtype=np.float32)[:, None].repeat(3, 1)
    found = fit_thresholds(scores, (rng.random(scores.shape) < scores).astype(np.uint8), beta)
    assert found == pytest.approx([optimum] * 3, abs=0.02)


@settings(deadline=None)
@given(splits(), st.sampled_from([1.0, 2.0]))
def test_many_positives_get_the_threshold_that_no_score_beats(split: Split, beta: float) -> None:
    logits, labels = (np.tile(each[:, :1], (3000, 1)) for each in split)
    if not labels.any():
        return
    scores = Calibration(1, []).probabilities(logits[: len(split[0])])
    found = fit_thresholds(np.tile(scores, (3000, 1)), labels, beta)
    truth = split[1][:, 0]
    options = [*np.unique(scores), 2.0]
    best = max(fbeta_score(truth, scores[:, 0] >= each, beta=beta, zero_division=0) for each in options)
    trust = labels.sum() / (labels.sum() + PRIOR_POSITIVES)
    own = (found[0] - (1 - trust) * DEFAULT_THRESHOLD) / trust
    assert fbeta_score(truth, decide(scores, [own])[:, 0], beta=beta) == pytest.approx(best)


def test_equal_scores_are_taken_together_or_not_at_all() -> None:
    """The best cut lies within a tie of 0.4, where no threshold can cut; the best that can takes all of it or none."""
    scores = np.array([0.9] * 50 + [0.4] * 60, np.float32)[:, None]
    labels = np.array([1] * 50 + [1] * 30 + [0] * 30, np.uint8)[:, None]
    trust = 80 / (80 + PRIOR_POSITIVES)
    assert fit_thresholds(scores, labels) == pytest.approx([trust * 0.2 + (1 - trust) * 0.5])


def test_a_class_without_positives_keeps_the_default() -> None:
    scores = np.random.default_rng(0).random((50, 2)).astype(np.float32)
    labels = np.zeros((50, 2), np.uint8)
    labels[:, 1] = 1
    assert fit_thresholds(scores, labels)[0] == DEFAULT_THRESHOLD
    assert fit_thresholds(scores, labels)[1] < 0.2  # always there: all are to be taken


@settings(deadline=None)
@given(splits(), st.randoms(use_true_random=False))
def test_thresholds_follow_their_class_whatever_the_order(split: Split, random: object) -> None:
    scores, labels = Calibration(1, []).probabilities(split[0]), split[1]
    columns, rows = (list(range(size)) for size in (labels.shape[1], labels.shape[0]))
    random.shuffle(columns)  # type: ignore[attr-defined]  # hypothesis has no name for its type
    random.shuffle(rows)  # type: ignore[attr-defined]
    found = fit_thresholds(scores, labels)
    moved = fit_thresholds(scores[rows][:, columns], labels[rows][:, columns])
    assert moved == [found[column] for column in columns]


@settings(deadline=None)
@given(splits(), st.sampled_from([1.0, 2.0]))
def test_more_positives_bring_a_class_nearer_to_its_own_best(split: Split, beta: float) -> None:
    """The same rows again: the same best threshold, and more to go by."""
    scores, labels = Calibration(1, []).probabilities(split[0]), split[1]
    found = (fit_thresholds(np.tile(scores, (n, 1)), np.tile(labels, (n, 1)), beta) for n in (1, 3, 100))
    for column, row in enumerate(zip(*found, strict=True)):
        way = [DEFAULT_THRESHOLD, *row]
        assert way in (sorted(way), sorted(way, reverse=True))
        assert len(set(way)) == (1 if not labels[:, column].any() or row[2] == DEFAULT_THRESHOLD else 4)
