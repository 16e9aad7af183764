"""What a model said of a split, in one file: enough to compute every metric and figure again without the model.

    predictions.npz
      probs         float32 (rows, classes) from 0 to 1; or, in its place, `preds`: decisions of 0 and 1
      labels        uint8 (rows, classes) of 0 and 1
      patch_ids     (rows,) fixed-width text
      label_names   (classes,) fixed-width text
      thresholds    float64 (classes,) from 0 to 1: a class is predicted from there up; 0.5 where there are none
      split         text: train, validation or test

Flows in: a file of ours, or of anybody who has `labels` and `probs` or `preds`. Flows out: checked `Predictions`, or
one error that says what does not fit. What such a file lacks, and what it holds beyond this, is said in `notes`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays import read_arrays
from pipelines.errors import LabelError, PredictionsError, nearest
from pipelines.files import write_whole
from pipelines.location import Location

FILE = "predictions.npz"
SPLITS = ("train", "validation", "test")
THRESHOLD = 0.5

_NAMED = ("probs", "preds", "labels", "patch_ids", "label_names", "thresholds", "split")


@dataclass(frozen=True)
class Predictions:
    """Probabilities of one split beside the truth. See the module's text for shapes.

    Args:
        patch_ids: None where nobody knows whose rows these are.
        thresholds: None for 0.5 everywhere.
        split: train, validation, test; empty if unknown.
        decided: the probabilities are decisions of 0 and 1; nothing that needs more can be drawn from them.
        notes: what a reader of this should know of where it comes from, as sentences.

    Raises:
        PredictionsError: shapes, types or values do not fit.
        LabelError: a class has no name, or two have the same.
    """

    probabilities: NDArray[np.float32]
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


def write_predictions(location: Location, predictions: Predictions) -> None:
    """Write the file whole or not at all; the same predictions give the same bytes.

    Raises:
        StorageError: the disk is full.
    """
    kind = "preds" if predictions.decided else "probs"
    arrays: dict[str, NDArray[Any]] = {
        kind: predictions.probabilities.astype(np.uint8 if predictions.decided else np.float32),
        "labels": predictions.labels,
        "label_names": np.array(predictions.label_names),
    }
    if predictions.patch_ids is not None:
        arrays["patch_ids"] = predictions.patch_ids
    if predictions.thresholds is not None:
        arrays["thresholds"] = np.array(predictions.thresholds, np.float64)
    if predictions.split:
        arrays["split"] = np.array(predictions.split)
    target = io.BytesIO()
    np.savez_compressed(target, allow_pickle=False, **arrays)
    write_whole(location, target.getvalue())


def read_predictions(path: Path) -> Predictions:
    """Read and check a file.

    Raises:
        PredictionsError: no such file, or it is damaged, or what is in it does not fit.
        LabelError: class names are empty or repeated.
        TooLargeError: it claims more bytes than are read here.
    """
    arrays = read_arrays(path)
    try:
        return _from_arrays(arrays)
    except (PredictionsError, LabelError) as error:
        raise type(error)(error.what, where=str(path), hint=error.hint) from None


def _from_arrays(arrays: dict[str, NDArray[Any]]) -> Predictions:
    decided = "probs" not in arrays
    for name in ("preds" if decided else "probs", "labels"):
        if name not in arrays:
            what = 'neither "probs" nor "preds"' if name == "preds" else f'no "{name}"'
            raise PredictionsError(f"there is {what} in the file", hint=f"There are: {', '.join(arrays) or 'none'}.")
    probabilities = _marks("preds", arrays["preds"]).astype(np.float32) if decided else _shares("probs", arrays)
    names = _texts("label_names", arrays) if "label_names" in arrays else None
    numbered = tuple(f"class {number + 1}" for number in range(probabilities.shape[1]))
    thresholds = _shares("thresholds", arrays, np.float64) if "thresholds" in arrays and not decided else None
    return Predictions(
        probabilities=probabilities,
        labels=_marks("labels", arrays["labels"]),
        label_names=numbered if names is None else tuple(names.tolist()),
        patch_ids=_texts("patch_ids", arrays) if "patch_ids" in arrays else None,
        thresholds=None if thresholds is None else tuple(thresholds.tolist()),
        split=str(_texts("split", arrays, axes=0)) if "split" in arrays else "",
        decided=decided,
        notes=tuple(_notes(arrays, decided)),
    )


def _notes(arrays: dict[str, NDArray[Any]], decided: bool) -> list[str]:
    notes = []
    if decided:
        notes.append("The file has decisions (preds): what needs probabilities is not computed.")
    elif "preds" in arrays:
        notes.append("The file's preds are not used: a class is predicted where its probability reaches its threshold.")
    if decided and "thresholds" in arrays:
        notes.append("The file's thresholds are not used: its preds are decisions already.")
    if not decided and "thresholds" not in arrays:
        notes.append(f"The file has no thresholds: a class is predicted from {THRESHOLD} up.")
    if "label_names" not in arrays:
        notes.append("The file has no label_names: classes are numbered.")
    if "patch_ids" not in arrays:
        notes.append("The file has no patch_ids: its rows cannot be matched with a dataset's.")
    if unknown := [name for name in arrays if name not in _NAMED]:
        notes.append(f"Not read, as a report has no use for it: {', '.join(unknown)}.")
    return notes


def _marks(name: str, found: NDArray[Any]) -> NDArray[np.uint8]:
    """0 and 1, of whatever type of number."""
    _check_table(name, found)
    if found.dtype.kind not in "buif":
        raise PredictionsError(f'"{name}" has type {found.dtype}, not numbers', hint="Store 0 and 1 as uint8.")
    wrong = (found != 0) & (found != 1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        what = f'"{name}" has {found[row, column]} in row {row}, column {column}, not 0 or 1'
        raise PredictionsError(what, hint="One column a class: 1 where the patch has it, else 0.")
    return found.astype(np.uint8)


def _shares(name: str, arrays: dict[str, NDArray[Any]], kind: type = np.float32) -> NDArray[Any]:
    """Numbers from 0 to 1, checked as they are in the file: rounding to float32 could hide what is out of range."""
    found = arrays[name]
    if name == "probs":
        _check_table(name, found)
    if found.dtype.kind != "f":
        raise PredictionsError(
            f'"{name}" has type {found.dtype}, not floating point', hint='Decisions of 0 and 1 belong into "preds".'
        )
    wrong = ~((found >= 0) & (found <= 1))  # NaN too
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        what = f'"{name}" has {found[place]} in {_place(place)}, which is not from 0 to 1'
        raise PredictionsError(what, hint="Store probabilities, after the sigmoid.")
    return found.astype(kind)


def _texts(name: str, arrays: dict[str, NDArray[Any]], axes: int = 1) -> NDArray[np.str_]:
    found = arrays[name]
    if found.dtype.kind != "U" or found.ndim != axes:
        what = f'"{name}" has type {found.dtype} and shape {found.shape}, not {"a row of text" if axes else "text"}'
        raise PredictionsError(what, hint=f'Store it with `np.array({name}, dtype="U")`.')
    try:
        for text in np.unique(found).tolist():
            text.encode()
    except ValueError:  # half of a surrogate pair, or beyond Unicode
        raise PredictionsError(f'"{name}" has characters that are none', hint="Write the file again.") from None
    return found.astype(np.str_)


def _check_table(name: str, found: NDArray[Any]) -> None:
    if found.ndim != 2:
        raise PredictionsError(f'"{name}" has shape {found.shape}', hint="Its shape is (rows, classes).")


def _check_shape(name: str, found: NDArray[Any], wanted: tuple[int, ...]) -> None:
    if found.shape != wanted or len(wanted) != 2:
        what = f"{name} have shape {found.shape}, the predictions {wanted}"
        raise PredictionsError(what, hint="Both are (rows, classes).")
    if 0 in wanted:
        raise PredictionsError(f"shape {wanted} holds nothing to score", hint="Give at least one patch and one class.")


def _check_values(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> None:
    if probabilities.dtype != np.float32 or labels.dtype != np.uint8:
        what = f"probabilities are {probabilities.dtype} and labels {labels.dtype}"
        raise PredictionsError(what, hint="Give float32 and uint8.")
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


def _place(place: tuple[int, ...]) -> str:
    return f"row {place[0]}, column {place[1]}" if len(place) == 2 else f"place {place[0]}"
