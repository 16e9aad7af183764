"""Every figure of a report, by name: which there are, what each needs, and why one is left out.

Flows in: predictions, their metrics, and, where there are any, a table of epochs and pictures of patches. Flows out:
matplotlib figures one at a time, so that no more than one is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.measure.extremes import Extremes
from models.measure.operating_points import Sweep, sweep, sweep_classes
from models.measure.predictions import Predictions
from models.report.class_bars import draw_class_bars
from models.report.class_confusion import draw_four_fields
from models.report.co_occurrence import draw_difference, draw_together
from models.report.confusion import count_decisions, draw_confusion
from models.report.curves import PRECISION_RECALL, ROC, draw_curves
from models.report.epoch_table import Epochs
from models.report.gallery import draw_gallery
from models.report.learning import draw_learning, shown_columns
from models.report.reliability import draw_reliability, reliability
from models.report.threshold_curves import draw_thresholds


@dataclass(frozen=True)
class Material:
    """What there is to draw from.

    Args:
        metrics: as `metrics.score` gives them; what they lack is not written into figures.
        epochs: a row an epoch; None where nobody kept any.
        patches: None without a dataset.
        epoch: whose model's predictions these are; None where nobody knows.
    """

    predictions: Predictions
    metrics: Mapping[str, Any]
    epochs: Epochs | None = None
    patches: Extremes | None = None
    epoch: int | None = None

    @cached_property
    def of(self) -> str:
        """Of what a figure is, for its heading."""
        split = f"{self.predictions.split} split, " if self.predictions.split else ""
        return f"{split}{len(self.predictions):,} patches"

    @cached_property
    def decisions(self) -> NDArray[np.uint8]:
        """(rows, classes), worked out once for all figures."""
        return self.predictions.decisions

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(classes, 2, 2), see `count_decisions`."""
        return count_decisions(self.decisions, self.predictions.labels)

    @cached_property
    def classes(self) -> dict[str, Sweep]:
        """Class to its sweep."""
        found = sweep_classes(self.predictions.probabilities, self.predictions.labels)
        return dict(zip(self.predictions.label_names, found, strict=True))

    @cached_property
    def together(self) -> Sweep:
        """The sweep of all decisions of all classes, as if of one class."""
        return sweep(self.predictions.probabilities.ravel(), self.predictions.labels.ravel())


def _confusion(given: Material) -> Figure:
    return draw_confusion(given.decisions, given.predictions.labels, given.predictions.label_names, given.of)


def _confusion_per_class(given: Material) -> Figure:
    return draw_four_fields(given.counts, given.predictions.label_names, given.of)


def _roc(given: Material) -> Figure:
    return draw_curves(ROC, given.classes, given.together, given.predictions.limits, given.metrics, given.of)


def _precision_recall(given: Material) -> Figure:
    return draw_curves(
        PRECISION_RECALL, given.classes, given.together, given.predictions.limits, given.metrics, given.of
    )


def _thresholds(given: Material) -> Figure:
    return draw_thresholds(given.classes, given.together, given.predictions.limits, given.of)


def _reliability(given: Material) -> Figure:
    found = reliability(given.predictions.probabilities, given.predictions.labels)
    return draw_reliability(found, given.metrics.get("ece"), given.of)


def _class_bars(given: Material) -> Figure:
    return draw_class_bars(given.counts, given.predictions.label_names, given.of)


def _labels_together(given: Material) -> Figure:
    return draw_together(given.predictions.labels, given.predictions.label_names, "labels", given.of)


def _predictions_together(given: Material) -> Figure:
    return draw_together(given.decisions, given.predictions.label_names, "predictions", given.of)


def _difference(given: Material) -> Figure:
    return draw_difference(given.decisions, given.predictions.labels, given.predictions.label_names, given.of)


def _learning(given: Material) -> Figure:
    assert given.epochs
    return draw_learning(given.epochs, given.epoch)


def _patches(given: Material) -> Figure:
    assert given.patches
    return draw_gallery(given.patches, given.of)


DRAWERS: dict[str, Callable[[Material], Figure]] = {
    "confusion_matrix": _confusion,
    "confusion_per_class": _confusion_per_class,
    "roc_curves": _roc,
    "precision_recall_curves": _precision_recall,
    "threshold_curves": _thresholds,
    "reliability": _reliability,
    "per_class": _class_bars,
    "co_occurrence_labels": _labels_together,
    "co_occurrence_predictions": _predictions_together,
    "co_occurrence_difference": _difference,
    "learning_curves": _learning,
    "best_and_worst_patches": _patches,
}
"""A figure's name to what draws it."""

OF_PROBABILITIES = ("roc_curves", "precision_recall_curves", "threshold_curves", "reliability")
"""Figures that decisions of 0 and 1 cannot fill."""

PANELLED = ("confusion_per_class", "roc_curves", "precision_recall_curves", "threshold_curves")
"""Figures with a panel a class."""

MOST_PANELS = 400
"""More do not fit into one picture (see `canvas.MAX_INCHES`)."""

OF_PAIRS = ("co_occurrence_labels", "co_occurrence_predictions", "co_occurrence_difference")
"""Figures that one class alone cannot fill."""


def left_out(given: Material) -> dict[str, str]:
    """Figures that cannot be drawn from what there is, and why."""
    reasons: dict[str, str] = {}
    if given.predictions.decided:
        reasons |= dict.fromkeys(OF_PROBABILITIES, "the file has decisions (preds), not probabilities")
    if not given.epochs:
        reasons["learning_curves"] = "no table of epochs lies beside the predictions"
    elif not shown_columns(given.epochs):
        reasons["learning_curves"] = "the table of epochs has neither losses nor metrics"
    if not given.patches:
        reasons["best_and_worst_patches"] = "no dataset was given (--data)"
    if len(given.predictions.label_names) == 1:
        reasons |= dict.fromkeys(OF_PAIRS, "there is only one class")
    if len(given.predictions.label_names) > MOST_PANELS:
        reasons |= dict.fromkeys(PANELLED, f"there are more than {MOST_PANELS} classes")
    return reasons


def draw_figures(given: Material) -> Iterator[tuple[str, Figure]]:
    """Each figure that can be drawn, by its name."""
    missing = left_out(given)
    for name, draw in DRAWERS.items():
        if name not in missing:
            yield name, draw(given)
