"""Predictions as a file, ours or anybody's.

    predictions.npz
      probs         float32 or float64 (rows, classes) from 0 to 1; or, in its place, `preds`: decisions of 0 and 1
      labels        uint8 (rows, classes) of 0 and 1
      patch_ids     (rows,) fixed-width text
      label_names   (classes,) fixed-width text
      thresholds    float64 (classes,) from 0 to 1: a class is predicted from there up; 0.5 where there are none
      split         text: train, validation or test

Flows in: `Predictions`, or a file that has `labels` and `probs` or `preds`. Flows out: the file, or `Predictions`. What
a file lacks, and what it holds beyond this, is said in their `notes`. `probs` of float64 stay so, as their thresholds
are: rounded to float32, 0.7 lies below a threshold of 0.7, and what is nearly 1 becomes 1. float16 becomes float32,
and what is wider than float64 becomes float64.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.measure.checks import Probabilities
from models.measure.predictions import THRESHOLD, Predictions
from models.measure.safe_npy import read_arrays
from pipelines.errors import LabelError, PredictionsError
from pipelines.files import write_whole
from pipelines.location import Location

FILE = "predictions.npz"

_STORE = 'Store probabilities as "probs", or decisions as "preds", and what is true as "labels".'

_NAMED = ("probs", "preds", "labels", "patch_ids", "label_names", "thresholds", "split")


def write_predictions(location: Location, predictions: Predictions) -> None:
    """Write the file whole or not at all; the same predictions give the same bytes.

    Raises:
        StorageError: the disk is full.
        ServiceError: the object store does not take it.
    """
    kind = "preds" if predictions.decided else "probs"
    arrays: dict[str, NDArray[Any]] = {
        kind: predictions.probabilities.astype(np.uint8) if predictions.decided else predictions.probabilities,
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
        UnsupportedError: it is not an .npz file.
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
            raise PredictionsError(
                f"there is {what} in the file", hint=f"There are: {', '.join(arrays) or 'none'}. {_STORE}"
            )
    probabilities = _marks("preds", arrays["preds"]).astype(np.float32) if decided else _shares("probs", arrays)
    names = _texts("label_names", arrays) if "label_names" in arrays else None
    numbered = tuple(f"class {number + 1}" for number in range(probabilities.shape[1]))
    thresholds = _shares("thresholds", arrays).astype(np.float64) if "thresholds" in arrays and not decided else None
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


def _shares(name: str, arrays: dict[str, NDArray[Any]]) -> Probabilities:
    """Numbers from 0 to 1, checked as they are in the file: rounding could hide what is out of range."""
    found = arrays[name]
    if name == "probs":
        _check_table(name, found)
    elif found.ndim != 1:
        raise PredictionsError(f'"{name}" has shape {found.shape}', hint="Its shape is (classes,).")
    if found.dtype.kind != "f":
        raise PredictionsError(
            f'"{name}" has type {found.dtype}, not floating point', hint='Decisions of 0 and 1 belong into "preds".'
        )
    wrong = ~((found >= 0) & (found <= 1))  # NaN too
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        what = f'"{name}" has {found[place]} in {_place(place)}, which is not from 0 to 1'
        raise PredictionsError(what, hint="Store probabilities, after the sigmoid.")
    return found.astype(np.float32 if found.dtype.itemsize <= 4 else np.float64)


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
        how = f" Of numbers of classes: `np.eye(classes)[{name}]`." if found.ndim == 1 and name != "probs" else ""
        raise PredictionsError(f'"{name}" has shape {found.shape}', hint=f"Its shape is (rows, classes).{how}")


def _place(place: tuple[int, ...]) -> str:
    return f"row {place[0]}, column {place[1]}" if len(place) == 2 else f"place {place[0]}"
