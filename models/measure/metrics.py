"""Metrics over a whole split, never averaged over batches.

Flows in: probabilities (rows, classes), or hard decisions, and multi-hot labels. Flows out: a dict under the keys of
`models.metric_keys.METRICS`, with `per_class` by label name and `classes_scored` by macro key.

What a definition has no answer for is None: precision where nothing was predicted, recall and average precision
where nothing was there, F where neither, ROC AUC where all rows are alike. A macro average is over the classes that
some row has and that have an answer, and `classes_scored` counts them. That is scikit-learn's `zero_division=nan`, and
its averages over those classes.

torchmetrics (1.9) counts the decisions, matches whole rows, and computes average precision, ROC AUC and calibration
error. What it does otherwise than the definitions, and is therefore not asked for:

- its macro averages of precision, recall and F count a class without an answer as 0: ratios are taken here, in
  float64, from its counts;
- it gives 0 for average precision without positives and for ROC AUC of a single kind, with a warning: not asked;
- its calibration error puts probability 1 into a bin of its own, and counts in the precision of the scores, where
  float32 stops at 16,777,216 decisions: it gets float64 just below 1;
- its label ranking metrics: see `models.measure.ranking`;
- its threshold is one for all classes, and a score must be above it: decisions are made here;
- it takes numbers outside 0 to 1 for logits, in silence: here they are refused;
- its multi-label functions refuse a single class, which is allowed here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_calibration_error,
    multilabel_exact_match,
    multilabel_stat_scores,
)

from models.measure.checks import Labels, Probabilities, check_labels, check_probabilities
from models.measure.ranking import rank_labels
from models.metric_keys import METRICS
from pipelines.errors import InputError

DEFAULT_THRESHOLD = 0.5

BINS = 15
"""Bins of the calibration error: of equal width, as in Guo et al. 2017, each with its lower edge."""

_BELOW_ONE = math.nextafter(1, 0)
_RATIOS = ("precision", "recall", "f1", "f2", "accuracy")
_MACRO = ("precision", "recall", "f1", "f2", "ap", "auroc")
_COUNTED = (*_MACRO, "accuracy")


def score(
    probabilities: Probabilities,
    labels: NDArray[Any],
    label_names: Sequence[str],
    thresholds: Sequence[float] | None = None,
) -> dict[str, Any]:
    """All metrics of one split.

    Args:
        probabilities: (rows, classes) of any float type, from 0 to 1.
        labels: (rows, classes) of 0 and 1.
        label_names: one a column.
        thresholds: one a column; a class is predicted from there up. 0.5 where not given.

    Returns:
        The keys of `METRICS`; `per_class`: label name to precision, recall, f1, f2, ap, auroc, threshold, support
        and predicted (rows that have the class, and that are said to); `classes_scored`: macro key to the number of
        classes that it is the mean of. `ece` is the mean over all decisions of |mean probability - share of
        positives| of their bin (norm L1, see `BINS`).

    Raises:
        InputError: shapes do not fit each other, nothing to score, or values that are no probabilities or labels.
    """
    truth = check_labels(labels, label_names)
    scores = check_probabilities(probabilities, truth)
    limits = [DEFAULT_THRESHOLD] * len(label_names) if thresholds is None else [float(each) for each in thresholds]
    with _one_thread():
        values, columns = decision_metrics(decide(scores, limits), truth)
        columns["ap"], columns["auroc"] = _areas(scores, truth)
        values |= rank_labels(scores, truth) | {"ece": calibration_error(scores, truth)}
        values["ap_micro"] = _average_precision(scores, truth) if truth.any() else math.nan
    return _assemble(values, columns, label_names, limits)


def score_decisions(decisions: NDArray[Any], labels: NDArray[Any], label_names: Sequence[str]) -> dict[str, Any]:
    """All metrics of hard decisions (rows, classes) of 0 and 1; what needs probabilities is None.

    Raises:
        InputError: see `score`.
    """
    truth = check_labels(labels, label_names)
    found = check_labels(decisions, label_names, "predictions")
    if found.shape != truth.shape:
        raise InputError(f"predictions are {found.shape}, labels {truth.shape}", where="predictions")
    values, columns = decision_metrics(found, truth)
    columns["ap"] = columns["auroc"] = np.full(len(label_names), np.nan)
    return _assemble(values, columns, label_names, None)


def decide(probabilities: Probabilities, thresholds: Sequence[float]) -> Labels:
    """Predicted classes (rows, classes) of 0 and 1: those whose probability is at or above their threshold.

    Numbers are compared as they are, in float64: a float32 score of 0.7 lies below a threshold of 0.7.

    Raises:
        InputError: not one threshold a class, or one that is no number.
    """
    limits = np.asarray(thresholds, np.float64)
    if limits.shape != probabilities.shape[1:] or np.isnan(limits).any():
        raise InputError(f"{limits.size} thresholds for {probabilities.shape[1]} classes", where="thresholds")
    return (probabilities >= limits).view(np.uint8)


def decision_metrics(decisions: Labels, labels: Labels) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
    """What follows from checked decisions and labels alone: by metric key, and (classes,) by per-class key."""
    found, truth = torch.from_numpy(decisions), torch.from_numpy(labels)
    classes = labels.shape[1]
    table = multilabel_stat_scores(found, truth, classes, average="none", validate_args=False)
    counts = table.numpy().reshape(classes, 5)[:, :4].astype(np.float64).T
    columns = _ratios(*counts) | {"support": counts[0] + counts[3], "predicted": counts[0] + counts[1]}
    values = {f"{key}_micro": float(ratio) for key, ratio in _ratios(*counts.sum(axis=1)).items()}
    values |= {f"{key}_macro": _mean(columns[key][columns["support"] > 0]) for key in _RATIOS}
    values["subset_accuracy"] = float(multilabel_exact_match(found, truth, classes, validate_args=False))
    values["hamming_loss"] = float((counts[1] + counts[3]).sum() / labels.size)
    return values, columns


def calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """Expected calibration error over all decisions; see `score`."""
    scores = torch.from_numpy(np.minimum(probabilities.astype(np.float64), _BELOW_ONE).ravel())
    return float(binary_calibration_error(scores, torch.from_numpy(labels.ravel()), BINS, "l1", validate_args=False))


@contextmanager
def _one_thread() -> Iterator[None]:
    """One of torch's: in torchmetrics' hundreds of short steps, threads wait for each other longer than they work.

    On a machine of 2 cores with other work, 120,000 rows of 19 classes took 2 s so, and 5 to 13 s with two threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _ratios(hits: Any, false: Any, rest: Any, missed: Any) -> dict[str, Any]:
    """Of counts of true and false positives, true negatives and false negatives; NaN for 0 / 0."""
    with np.errstate(invalid="ignore"):
        return {
            "precision": np.divide(hits, hits + false),
            "recall": np.divide(hits, hits + missed),
            "f1": np.divide(2 * hits, 2 * hits + false + missed),
            "f2": np.divide(5 * hits, 5 * hits + false + 4 * missed),
            "accuracy": np.divide(hits + rest, hits + false + rest + missed),
        }


def _areas(scores: Probabilities, truth: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average precision and ROC AUC of each class; NaN where it has none."""
    precisions, areas = np.full((2, truth.shape[1]), np.nan)
    by_class = (np.ascontiguousarray(each.T) for each in (scores, truth))
    for column, (one, kind) in enumerate(zip(*by_class, strict=True)):
        if kind.any():
            precisions[column] = _average_precision(one, kind)
        if kind.any() and not kind.all():
            areas[column] = float(binary_auroc(torch.from_numpy(one), torch.from_numpy(kind), validate_args=False))
    return precisions, areas


def _average_precision(scores: Probabilities, truth: Labels) -> float:
    flat, kind = torch.from_numpy(scores.ravel()), torch.from_numpy(truth.ravel())
    return float(binary_average_precision(flat, kind, validate_args=False))


def _mean(column: NDArray[np.float64]) -> float:
    """Over the classes that have a value."""
    there = column[~np.isnan(column)]
    return float(there.mean()) if there.size else math.nan


def _assemble(
    values: dict[str, float],
    columns: dict[str, NDArray[np.float64]],
    label_names: Sequence[str],
    thresholds: Sequence[float] | None,
) -> dict[str, Any]:
    values |= {"ap_macro": _mean(columns["ap"]), "auroc_macro": _mean(columns["auroc"])}
    result: dict[str, Any] = {key: _or_none(values.get(key, math.nan)) for key in METRICS}
    there = columns["support"] > 0
    result["classes_scored"] = {f"{key}_macro": int((there & ~np.isnan(columns[key])).sum()) for key in _COUNTED}
    result["per_class"] = {
        name: {key: _or_none(float(columns[key][i])) for key in _MACRO}
        | {"threshold": None if thresholds is None else thresholds[i]}
        | {key: int(columns[key][i]) for key in ("support", "predicted")}
        for i, name in enumerate(label_names)
    }
    return result


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
