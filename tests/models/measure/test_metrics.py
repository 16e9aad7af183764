"""Metrics against scikit-learn, on random and on degenerate input, and their properties."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from models.measure.metrics import BINS, decide, score, score_decisions
from models.metric_keys import GOALS, METRICS
from pipelines.errors import InputError

Scores = NDArray[np.floating[Any]]
Labels = NDArray[np.uint8]
Case = tuple[Scores, Labels, list[float]]

PRECISE = {"rel": 0, "abs": 1e-6}


def names(labels: Labels) -> list[str]:
    return [f"class {column}" for column in range(labels.shape[1])]


@st.composite
def cases(draw: st.DrawFn, least: int = 2, most: int = 6) -> Case:
    """Random splits with all that can be odd about one: absent and constant classes, ties, bare and full rows."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 40)), draw(st.integers(least, most))
    scores = rng.random(shape).astype(draw(st.sampled_from([np.float32, np.float64])))
    steps = draw(st.sampled_from([0, 1, 2, 10]))  # 0: hardly a tie, 1: scores of 0 and 1 alone
    scores = np.round(scores * steps) / steps if steps else scores
    labels = (rng.random(shape) < rng.choice([0, 0.3, 0.5, 1], shape[1])).astype(np.uint8)
    labels[rng.random(shape[0]) < draw(st.sampled_from([0, 0.3, 1]))] = draw(st.sampled_from([0, 1]))
    scores[:, rng.random(shape[1]) < draw(st.sampled_from([0, 0.5, 1]))] = 0.5
    chosen = rng.choice(np.append(scores.ravel(), [0, 0.5, 1]), shape[1])  # mostly equal to a score
    return scores, labels, chosen.astype(float).tolist()


def ratios(labels: NDArray[Any], decisions: NDArray[Any]) -> dict[str, float]:
    options: Any = {"zero_division": np.nan}
    return {
        "precision": sk.precision_score(labels, decisions, **options),
        "recall": sk.recall_score(labels, decisions, **options),
        "f1": sk.f1_score(labels, decisions, **options),
        "f2": sk.fbeta_score(labels, decisions, beta=2, **options),
        "accuracy": sk.accuracy_score(labels, decisions),
    }


def by_scikit_learn(scores: Scores, labels: Labels, thresholds: list[float]) -> dict[str, Any]:
    """All that scikit-learn has; None where it has no value or would make one up."""
    decisions = np.stack([scores[:, i].astype(float) >= limit for i, limit in enumerate(thresholds)], axis=1)
    flat, flat_scores = labels.ravel(), scores.ravel()
    columns = [ratios(labels[:, i], decisions[:, i]) for i in range(labels.shape[1])]
    for i, column in enumerate(columns):
        truth, given = labels[:, i], scores[:, i]
        column["ap"] = sk.average_precision_score(truth, given) if truth.any() else np.nan
        column["auroc"] = sk.roc_auc_score(truth, given) if 0 < truth.mean() < 1 else np.nan
    found = {f"{key}_micro": value for key, value in ratios(flat, decisions.ravel()).items()}
    found["ap_micro"] = sk.average_precision_score(flat, flat_scores) if flat.any() else np.nan
    for key in columns[0]:
        there = [column[key] for column, truth in zip(columns, labels.T, strict=True) if truth.any()]
        values = [value for value in there if not math.isnan(value)]
        found[f"{key}_macro"] = np.mean(values) if values else np.nan
    for column in columns:
        del column["accuracy"]
    found["hamming_loss"] = sk.hamming_loss(labels, decisions)
    found["subset_accuracy"] = sk.accuracy_score(labels, decisions)
    if labels.shape[1] > 1:
        found["coverage"] = sk.coverage_error(labels, scores)
        found["ranking_loss"] = sk.label_ranking_loss(labels, scores)
        found["lrap"] = sk.label_ranking_average_precision_score(labels, scores)
    found["per_class"] = dict(zip(names(labels), columns, strict=True))
    return found


def check_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for key, value in expected.items():
        if isinstance(value, dict):
            check_equal(found[key], value)
        elif value is None or math.isnan(value):
            assert found[key] is None, key
        else:
            assert found[key] == pytest.approx(value, **PRECISE), key


@settings(deadline=None, max_examples=40)  # of up to six classes, each of which scikit-learn takes 15 ms for
@given(cases())
def test_equal_to_scikit_learn(case: Case) -> None:
    scores, labels, thresholds = case
    check_equal(score(scores, labels, names(labels), thresholds), by_scikit_learn(scores, labels, thresholds))


@settings(deadline=None, max_examples=30)
@given(cases(least=1, most=1))
def test_a_single_class_is_enough(case: Case) -> None:
    scores, labels, thresholds = case
    check_equal(score(scores, labels, names(labels), thresholds), by_scikit_learn(scores, labels, thresholds))


def test_macro_is_scikit_learns_over_the_classes_that_are_there() -> None:
    """One class never present, one never predicted, one neither, one always both."""
    labels = np.array([[0, 1, 0, 1], [0, 0, 0, 1], [0, 1, 0, 1]], np.uint8)
    decisions = np.array([[1, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1]], np.uint8)
    found = score_decisions(decisions, labels, names(labels))
    options: Any = {"average": "macro", "zero_division": np.nan}
    there = [1, 3]
    assert found["precision_macro"] == sk.precision_score(labels[:, there], decisions[:, there], **options) == 1
    assert found["recall_macro"] == sk.recall_score(labels[:, there], decisions[:, there], **options) == 0.5
    assert found["f1_macro"] == sk.f1_score(labels[:, there], decisions[:, there], **options) == 0.5
    assert [row["f1"] for row in found["per_class"].values()] == [0, 0, None, 1]
    counted = {"precision_macro": 1, "recall_macro": 2, "f1_macro": 2, "f2_macro": 2, "ap_macro": 0, "auroc_macro": 0}
    counted |= {"accuracy_macro": 2}
    assert found["classes_scored"] == counted


def test_class_never_present_has_no_average_precision_and_is_not_counted() -> None:
    labels = np.array([[1, 0, 0], [0, 1, 0]], np.uint8)
    found = score(np.full((2, 3), 0.3, np.float32), labels, names(labels))
    assert found["classes_scored"]["ap_macro"] == 2
    assert found["ap_macro"] == pytest.approx(0.5)
    nothing = {"precision": None, "recall": None, "f1": None, "f2": None, "ap": None, "auroc": None}
    assert found["per_class"]["class 2"] == nothing | {"threshold": 0.5, "support": 0, "predicted": 0}


def test_all_scores_equal_gives_the_frequencies() -> None:
    labels = np.array([[1, 1, 0, 1], [0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], np.uint8)
    rows = score(np.full((4, 4), 0.5, np.float32), labels, names(labels))["per_class"].values()
    assert [row["ap"] for row in rows] == pytest.approx([0.25, 0.75, 0.25, 0.25])
    assert [row["auroc"] for row in rows] == [0.5] * 4


@settings(deadline=None, max_examples=50)
@given(cases())
def test_one_error_is_its_formula(case: Case) -> None:
    """A row is right if every class that scores highest is its own."""
    scores, labels, _ = case
    wrong = [any(own == 0 for own in kinds[row == row.max()]) for row, kinds in zip(scores, labels, strict=True)]
    assert score(scores, labels, names(labels))["one_error"] == pytest.approx(np.mean(wrong), **PRECISE)


@settings(deadline=None, max_examples=100)
@given(cases())
def test_calibration_error_is_its_formula(case: Case) -> None:
    scores, labels, _ = case
    flat, kinds = scores.astype(float).ravel(), labels.ravel()
    places = np.minimum(np.searchsorted(np.linspace(0, 1, BINS + 1), flat, side="right") - 1, BINS - 1)
    gaps = [abs((flat - kinds)[places == place].sum()) for place in range(BINS)]
    assert score(scores, labels, names(labels))["ece"] == pytest.approx(sum(gaps) / flat.size, **PRECISE)


def test_calibration_error_of_known_probabilities() -> None:
    labels = np.array([[1], [0], [0], [0]], np.uint8)
    assert score(np.full((4, 1), 0.25), labels, ["a"])["ece"] == 0
    assert score(np.ones((4, 1)), labels, ["a"])["ece"] == pytest.approx(0.75)
    mixed, kinds = np.array([[0.95], [0.95], [1], [1]]), np.array([[1], [1], [1], [0]], np.uint8)
    assert score(mixed, kinds, ["a"])["ece"] == pytest.approx(0.975 - 0.75)  # 1 is in the last bin, with 0.95


@settings(deadline=None, max_examples=50)
@given(cases(), st.randoms(use_true_random=False))
def test_order_of_rows_and_of_classes_changes_nothing(case: Case, random: Any) -> None:
    scores, labels, thresholds = case
    rows, columns = list(range(labels.shape[0])), list(range(labels.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    known = names(labels)
    one = score(scores, labels, known, thresholds)
    moved = [each[rows][:, columns] for each in (scores, labels)]
    other = score(*moved, [known[i] for i in columns], [thresholds[i] for i in columns])  # type: ignore[arg-type]
    check_equal(other, one)


@settings(deadline=None, max_examples=50)
@given(cases())
def test_what_keeps_the_order_keeps_what_is_of_the_order(case: Case) -> None:
    scores, labels, _ = case
    wide = scores.astype(np.float64)
    one = score(wide, labels, names(labels))
    other = score(wide**3 / 2 + 0.1, labels, names(labels))
    for key in ("ap_macro", "ap_micro", "auroc_macro", "lrap", "coverage", "ranking_loss", "one_error"):
        assert other[key] == one[key], key


@settings(deadline=None, max_examples=50)
@given(cases())
def test_hard_decisions_give_what_needs_no_probabilities(case: Case) -> None:
    scores, labels, thresholds = case
    whole = score(scores, labels, names(labels), thresholds)
    found = score_decisions(decide(scores, thresholds), labels, names(labels))
    of_order = {"ap_macro", "ap_micro", "auroc_macro", "lrap", "coverage", "ranking_loss", "one_error", "ece"}
    for key in METRICS:
        assert found[key] == (None if key in of_order else whole[key]), key
    for name, row in found["per_class"].items():
        assert row == whole["per_class"][name] | {"ap": None, "auroc": None, "threshold": None}


def test_thresholds_are_used_by_class() -> None:
    found = score(np.full((1, 4), 0.4, np.float32), np.ones((1, 4), np.uint8), list("abcd"), [0.3, 0.5, 0.3, 0.5])
    assert found["recall_micro"] == 0.5
    assert [row["threshold"] for row in found["per_class"].values()] == [0.3, 0.5, 0.3, 0.5]
    assert [row["predicted"] for row in found["per_class"].values()] == [1, 0, 1, 0]


def test_a_threshold_is_compared_as_the_number_that_it_is() -> None:
    """float32 rounds 0.7 down and 0.1 up: what is served compares these numbers, and so does what is measured."""
    scores = np.array([[0.7, 0.1, 0.5]], np.float32)
    assert decide(scores, [0.7, 0.1, 0.5]).tolist() == [[0, 1, 1]]
    assert decide(scores.astype(np.float64), scores[0].tolist()).tolist() == [[1, 1, 1]]


def test_scores_that_only_float64_tells_apart_are_told_apart() -> None:
    scores, labels = np.array([[0.5], [0.5 + 1e-12]]), np.array([[0], [1]], np.uint8)
    found = score(scores, labels, ["a"])
    assert (found["ap_macro"], found["auroc_macro"]) == (1, 1)
    assert score(scores.astype(np.float32), labels, ["a"])["auroc_macro"] == 0.5


@pytest.mark.parametrize("kind", [bool, np.int64, np.float32])
def test_labels_of_any_type_are_the_same_labels(kind: type) -> None:
    labels = np.array([[1, 0], [0, 1], [1, 1]], np.uint8)
    scores = np.array([[0.9, 0.2], [0.6, 0.4], [0.5, 0.9]], np.float16)
    assert score(scores, labels.astype(kind), ["a", "b"]) == score(scores.astype(float), labels, ["a", "b"])


GOOD = np.full((2, 2), 0.5), np.eye(2, dtype=np.uint8), ["a", "b"], [0.5, 0.5]
BAD: dict[str, tuple[dict[int, Any], str]] = {
    "logits": ({0: np.full((2, 2), -3.0)}, "not all from 0 to 1"),
    "over 1": ({0: np.full((2, 2), 1.5)}, "not all from 0 to 1"),
    "NaN": ({0: np.array([[0.5, np.nan], [0.1, 0.2]])}, "not all from 0 to 1"),
    "other shape": ({0: np.full((3, 2), 0.5)}, r"probabilities are \(3, 2\), labels \(2, 2\)"),
    "labels of 2": ({1: np.full((2, 2), 2)}, "not all 0 or 1"),
    "labels without a number": ({1: np.full((2, 2), np.nan)}, "not all 0 or 1"),
    "labels of one dimension": ({1: np.ones(2)}, "for 2 label names"),
    "too few names": ({2: ["a"]}, "for 1 label names"),
    "a name twice": ({2: ["a", "a"]}, "given twice"),
    "too few thresholds": ({3: [0.5]}, "1 thresholds for 2 classes"),
    "threshold without a number": ({3: [0.5, float("nan")]}, "2 thresholds for 2 classes"),
    "no rows": ({0: np.empty((0, 2)), 1: np.empty((0, 2))}, "nothing to score"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_cannot_be_scored_is_refused(fault: str) -> None:
    changes, said = BAD[fault]
    with pytest.raises(InputError, match=said):
        score(*(changes.get(i, each) for i, each in enumerate(GOOD)))


def test_torch_has_its_threads_back_afterwards() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        score(*GOOD)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_predictions_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"predictions are \(3, 2\), labels \(2, 2\)"):
        score_decisions(np.ones((3, 2)), np.eye(2), ["a", "b"])
    with pytest.raises(InputError, match="predictions: values are not all 0 or 1"):
        score_decisions(np.full((2, 2), 0.5), np.eye(2), ["a", "b"])


def test_the_table_is_what_is_measured() -> None:
    found = score(*GOOD)
    assert list(found) == [*METRICS, "classes_scored", "per_class"]
    assert {key for key, measure in METRICS.items() if not measure.higher} == {
        "hamming_loss",
        "one_error",
        "coverage",
        "ranking_loss",
        "ece",
    }
    assert "f1_macro" in GOALS
    assert all(METRICS[key].higher for key in GOALS)


@settings(deadline=None, max_examples=50)
@given(cases())
def test_better_is_in_the_direction_that_the_table_says(case: Case) -> None:
    """Nothing is better than to be right about everything."""
    scores, labels, thresholds = case
    found, right = score(scores, labels, names(labels), thresholds), score(labels.astype(float), labels, names(labels))
    for key, measure in METRICS.items():
        if found[key] is not None and right[key] is not None:
            gain = right[key] - found[key]
            assert gain >= -1e-6 if measure.higher else gain <= 1e-6, key


@pytest.mark.parametrize("key", GOALS)
def test_a_goal_is_not_won_by_predicting_everything_or_nothing(key: str) -> None:
    labels = (np.random.default_rng(0).random((200, 5)) < 0.3).astype(np.uint8)
    best = score(labels.astype(float), labels, names(labels))[key]
    for constant in (0.0, 1.0):
        value = score(np.full(labels.shape, constant), labels, names(labels))[key]
        assert value is not None
        assert value < best - 0.05
