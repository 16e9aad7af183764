"""Calibration: never worse, finds a known optimum, distrusts what is rare, and does not care for order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import fbeta_score

from models.measure.calibrate import (
    TEMPERATURES,
    Calibration,
    calibration_effect,
    fit_calibration,
    fit_temperature,
)
from models.measure.metrics import DEFAULT_THRESHOLD, decide
from models.measure.thresholds import PRIOR_POSITIVES, fit_thresholds
from pipelines.errors import InputError

Split = tuple[NDArray[np.float32], NDArray[np.uint8]]


def entropy(logits: NDArray[np.float32], labels: NDArray[np.uint8], temperature: float) -> float:
    signed = np.where(labels == 1, -1, 1) * logits.astype(np.float64) / temperature
    return float(np.logaddexp(0, signed).mean())


@st.composite
def splits(draw: st.DrawFn) -> Split:
    """Logits that say something about the labels or nothing, with ties, absent and constant classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 60)), draw(st.integers(1, 5))
    labels = (rng.random(shape) < rng.choice([0, 0.1, 0.5, 1], shape[1])).astype(np.uint8)
    logits = rng.normal(0, 4, shape) + draw(st.sampled_from([-3.0, 0.0, 3.0])) * labels
    return np.round(logits, draw(st.integers(0, 3))).astype(np.float32), labels


def certain(rows: int, temperature: float, seed: int = 0) -> Split:
    """Labels drawn with the probabilities that the logits have at this temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 3, (rows, 4)).astype(np.float32)
    return logits, (rng.random(logits.shape) < 1 / (1 + np.exp(-logits / temperature))).astype(np.uint8)


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0, 2.5, 6.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    assert fit_temperature(*certain(20_000, temperature)) == pytest.approx(temperature, rel=0.05)


@settings(deadline=None)
@given(splits())
def test_no_temperature_nearby_is_better_and_one_is_never_better(split: Split) -> None:
    logits, labels = split
    found = fit_temperature(logits, labels)
    lowest, highest = TEMPERATURES
    assert lowest <= found <= highest
    if found != 1:
        reached = entropy(logits, labels, found)
        assert reached < entropy(logits, labels, 1)
        for other in (found * 0.98, found * 1.02):
            assert not lowest <= other <= highest or reached <= entropy(logits, labels, other) + 1e-12


@pytest.mark.parametrize(
    ("logits", "labels", "expected"),
    [
        ([[3.0], [-2.0]], [[0], [0]], 1.0),  # no positives
        ([[3.0], [-2.0]], [[1], [1]], 1.0),  # nothing but positives
        ([[0.0], [0.0]], [[1], [0]], 1.0),  # the net says nothing
        ([[1e4], [-1e4]], [[1], [0]], 1.0),  # right beyond what float64 can tell
        ([[1.0], [-1.0]], [[1], [0]], TEMPERATURES[0]),  # right everywhere: any sharper is better
        ([[1.0], [-1.0]], [[0], [1]], TEMPERATURES[1]),  # wrong everywhere
        ([[100.0], [-100.0]], [[0], [1]], TEMPERATURES[1]),
    ],
)
def test_a_temperature_that_cannot_be_learned_is_one_or_a_bound(
    logits: list[list[float]], labels: list[list[int]], expected: float
) -> None:
    assert fit_temperature(np.array(logits, np.float32), np.array(labels, np.uint8)) == pytest.approx(expected)


@pytest.mark.parametrize("logits", [np.full((2, 1), np.nan), np.full((2, 1), np.inf), np.zeros((3, 1))])
def test_logits_that_are_none_are_refused(logits: NDArray[np.float64]) -> None:
    with pytest.raises(InputError, match="logits"):
        fit_temperature(logits, np.array([[1], [0]]))


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


def test_probabilities_are_the_ones_that_the_loop_gives() -> None:
    logits = torch.randn(20, 3)
    expected = torch.sigmoid(logits / 1.7).float().numpy()
    np.testing.assert_array_equal(Calibration(1.7, []).probabilities(logits.numpy()), expected)


@pytest.mark.parametrize(("beta", "key"), [(1.0, "f1_macro"), (2.0, "f2_macro")])
def test_a_calibration_fitted_on_validation_helps_on_test(beta: float, key: str) -> None:
    calibration = fit_calibration(*certain(4000, 2.5), beta)
    effect = calibration_effect(calibration, *certain(4000, 2.5, seed=1), list("abcd"))
    assert list(effect) == ["without", "with"]
    plain, fitted = effect["without"], effect["with"]
    assert fitted["ece"] < 0.3 * plain["ece"]  # type: ignore[operator]  # there are labels
    assert fitted["bce"] < plain["bce"]  # type: ignore[operator]
    assert fitted[key] > plain[key] + 0.01  # type: ignore[operator]


def test_no_calibration_changes_nothing() -> None:
    logits, labels = certain(50, 1.5)
    effect = calibration_effect(Calibration(1.0, [0.5] * 4), logits, labels, list("abcd"))
    assert effect["with"] == effect["without"]
    assert effect["with"]["bce"] == pytest.approx(entropy(logits, labels, 1))
