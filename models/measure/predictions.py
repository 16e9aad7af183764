"""What a model said of a split, beside the truth: enough to compute every metric and figure without the model.

Flows in: probabilities or decisions, labels, and names. Flows out: checked `Predictions`, or one error that says what
does not fit. As a file: see `prediction_file`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.measure.checks import Probabilities
from pipelines.errors import LabelError, PredictionsError, nearest

SPLITS = ("train", "validation", "test")
THRESHOLD = 0.5


@dataclass(frozen=True)
class Predictions:
    """Probabilities of one split beside the truth.

    Args:
        probabilities: (rows, classes) from 0 to 1, as float32 or float64, and used as they are.
        labels: (rows, classes) of 0 and 1.
        label_names: (classes,).
        patch_ids: (rows,); None where nobody knows whose rows these are.
        thresholds: (classes,), a class is predicted from there up; None for 0.5 everywhere.
        split: train, validation, test; empty if unknown.
        decided: the probabilities are decisions of 0 and 1; nothing that needs more can be drawn from them.
        notes: what a reader of this should know of where it comes from, as sentences.

    Raises:
        PredictionsError: shapes, types or values do not fit.
        LabelError: a class has no name, or two have the same.
    """

    probabilities: Probabilities
    labels: NDArray[np.uint8]
    label_names: tuple[str, ...]
    patch_ids: NDArray[np.str_] | None = None
    thresholds: tuple[float, ...] | None = None
    split: str = ""
    decided: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_shape("labels", self.labels, self.probabilities.shape)
        _check_names(self.label_names, self.labels.shape[1])
        _check_values(self.probabilities, self.labels)
        if self.decided and not ((self.probabilities == 0) | (self.probabilities == 1)).all():
            raise PredictionsError("decisions are not all 0 or 1", hint="Give probabilities as such.")
        if self.patch_ids is not None:
            _check_ids(self.patch_ids, len(self))
        if self.thresholds is not None:
            _check_thresholds(self.thresholds, len(self.label_names))
        if self.split and self.split not in SPLITS:
            raise PredictionsError(f'no split is called "{self.split}"', hint=nearest(self.split, SPLITS))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def limits(self) -> NDArray[np.float64]:
        """(classes,): the probability from which each class is predicted."""
        given = self.thresholds if self.thresholds is not None else [THRESHOLD] * len(self.label_names)
        return np.asarray(given, np.float64)

    @property
    def decisions(self) -> NDArray[np.uint8]:
        """(rows, classes) of 0 and 1, compared as `metrics.decide` does: in float64."""
        return (self.probabilities >= self.limits).astype(np.uint8)


def _check_shape(name: str, found: NDArray[Any], wanted: tuple[int, ...]) -> None:
    if found.shape != wanted or len(wanted) != 2:
        what = f"{name} have shape {found.shape}, the predictions {wanted}"
        raise PredictionsError(what, hint="Both are (rows, classes).")
    if 0 in wanted:
        raise PredictionsError(f"shape {wanted} holds nothing to score", hint="Give at least one patch and one class.")


def _check_values(probabilities: Probabilities, labels: NDArray[np.uint8]) -> None:
    if probabilities.dtype not in (np.float32, np.float64) or labels.dtype != np.uint8:
        what = f"probabilities are {probabilities.dtype} and labels {labels.dtype}"
        raise PredictionsError(what, hint="Give float32 or float64, and uint8.")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise PredictionsError("probabilities are not all from 0 to 1", hint="Give them after the sigmoid.")
    if labels.max() > 1:
        raise PredictionsError(f"labels have {labels.max()}", hint="A patch has a class (1) or not (0).")


def _check_names(names: tuple[str, ...], classes: int) -> None:
    if len(names) != classes:
        raise PredictionsError(f"{len(names)} label names for {classes} classes", hint="Name each column once.")
    if blank := [number for number, name in enumerate(names) if not name.strip() or not name.isprintable()]:
        raise LabelError(f"class {blank[0] + 1} has no readable name", hint="Name each class in printable characters.")
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise LabelError(f'two classes are called "{twice[0]}"', hint="Name each class once.")


def _check_ids(ids: NDArray[np.str_], rows: int) -> None:
    if ids.shape != (rows,) or ids.dtype.kind != "U":
        what = f"patch ids have type {ids.dtype} and shape {ids.shape} for {rows} rows"
        raise PredictionsError(what, hint='Give one a row, as `np.array(ids, dtype="U")`.')
    known, counts = np.unique(ids, return_counts=True)
    if len(known) != rows:
        raise PredictionsError(f'patch "{known[counts.argmax()]}" is there twice', hint="Predict each patch once.")


def _check_thresholds(thresholds: tuple[float, ...], classes: int) -> None:
    if len(thresholds) != classes:
        raise PredictionsError(f"{len(thresholds)} thresholds for {classes} classes", hint="Give one a class.")
    if wrong := [each for each in thresholds if not 0 <= each <= 1]:
        raise PredictionsError(f"a threshold is {wrong[0]}", hint="Give them from 0 to 1.")
