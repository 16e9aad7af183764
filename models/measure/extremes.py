"""Best and worst patches: where the model was right and sure of it, and where it was wrong and sure of it.

Flows in: predictions, and the rows of the dataset they were made of, matched by name. Flows out: pictures in true
colour beside what was found, missed and wrongly said.

A patch's score is its log loss: the mean over classes of −ln of the probability that was given to the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.measure.predictions import Predictions
from pipelines.bands import BAND_SETS
from pipelines.errors import PredictionsError
from pipelines.feeding.rows import Rows

TRUE_COLOUR = BAND_SETS["rgb"]

FLOOR = 1e-6
"""Probability below which being wrong costs no more: a decision of 0 has no logarithm."""

_DARK, _BRIGHT = 2, 98  # percentiles of a patch that become black and white
_DARKEST = 0.4  # what becomes black has at most this share of what becomes white


@dataclass(frozen=True)
class Example:
    """One patch: its picture (size, size, 3) uint8, and its classes with the probability given to each."""

    patch_id: str
    loss: float
    picture: NDArray[np.uint8]
    found: dict[str, float]
    missed: dict[str, float]
    wrong: dict[str, float]
    other: dict[str, float]
    """Neither said nor true."""


@dataclass(frozen=True)
class Extremes:
    """The best first, and the worst first."""

    best: list[Example]
    worst: list[Example]
    colour: str  # what the pictures show


def losses(predictions: Predictions) -> NDArray[np.float64]:
    """(rows,): log loss of each patch."""
    given = predictions.probabilities.astype(np.float64)
    truth = np.where(predictions.labels == 1, given, 1 - given)
    result: NDArray[np.float64] = -np.log(truth.clip(min=FLOOR)).mean(axis=1)
    return result


def extremes(predictions: Predictions, rows: Rows, n: int) -> Extremes:
    """The n best and the n worst patches; no patch is both, and among equals the id decides, not the file's order.

    Args:
        rows: of the dataset, with `TRUE_COLOUR` bands or any others; the first is shown in grey if one is lacking.
        n: of each kind; fewer where there are not that many patches.

    Raises:
        PredictionsError: the predictions name no patches, or others than the rows, or other labels of them.
    """
    place = match(predictions, rows)
    assert predictions.patch_ids is not None
    loss = losses(predictions)
    order = np.lexsort((predictions.patch_ids, loss))
    worst = order[::-1][: min(n, len(order) // 2)]
    best = order[: min(n, len(order) - len(worst))]
    examples = _examples(predictions, rows, place, loss, np.concatenate([best, worst]))
    return Extremes(examples[: len(best)], examples[len(best) :], colour_of(rows))


def pick(predictions: Predictions, rows: Rows, patch_ids: Sequence[str]) -> list[Example]:
    """The patches of these ids, in their order.

    Raises:
        PredictionsError: there is no such patch among the predictions; or see `extremes`.
    """
    place = match(predictions, rows)
    assert predictions.patch_ids is not None
    known = {name: row for row, name in enumerate(predictions.patch_ids.tolist())}
    for each in patch_ids:
        if each not in known:
            hint = f'Ids are the names of patches, such as "{next(iter(known))}".'
            raise PredictionsError(f'no patch of that id in split "{predictions.split}"', where=each, hint=hint)
    chosen = np.array([known[each] for each in patch_ids], np.int64)
    return _examples(predictions, rows, place, losses(predictions), chosen)


def colour_of(rows: Rows) -> str:
    """What pictures of these rows show."""
    bands = bands_shown(rows.bands)
    return f"{', '.join(bands)} as red, green, blue" if len(bands) == 3 else f"{bands[0]} in grey"


def _examples(
    predictions: Predictions,
    rows: Rows,
    place: NDArray[np.int64],
    loss: NDArray[np.float64],
    chosen: NDArray[np.int64],
) -> list[Example]:
    chunk = rows.take(place[chosen])
    pictures = thumbnails([chunk[band] for band in bands_shown(rows.bands)])
    return [
        _example(predictions, int(row), float(loss[row]), picture)
        for row, picture in zip(chosen, pictures, strict=True)
    ]


def match(predictions: Predictions, rows: Rows) -> NDArray[np.int64]:
    """(predictions' rows,): where each lies among the dataset's rows.

    Raises:
        PredictionsError: see `extremes`.
    """
    if predictions.patch_ids is None:
        raise PredictionsError("the predictions have no patch_ids", hint="Store them, or leave the dataset out.")
    known = rows.patch_ids.astype(np.str_)
    order = np.argsort(known, kind="stable")
    place: NDArray[np.int64] = order[np.searchsorted(known[order], predictions.patch_ids).clip(max=len(known) - 1)]
    strange = known[place] != predictions.patch_ids
    if strange.any():
        example = predictions.patch_ids[strange][0]
        what = f'{int(strange.sum())} of {len(strange)} patches are not in the dataset\'s split, such as "{example}"'
        raise PredictionsError(what, hint="Give the dataset and the split that these predictions were made of.")
    if rows.labels.shape[1] != predictions.labels.shape[1]:
        what = f"the dataset has {rows.labels.shape[1]} classes, the predictions {predictions.labels.shape[1]}"
        raise PredictionsError(what, hint="Give the dataset that these predictions were made of.")
    differing = (rows.labels[place] != predictions.labels).any(axis=1)
    if differing.any():
        what = f'patch "{predictions.patch_ids[differing][0]}" has other labels in the dataset'
        raise PredictionsError(what, hint="Predict again on the dataset as it is now.")
    return place


def bands_shown(bands: Sequence[str]) -> tuple[str, ...]:
    """Red, green and blue if all three are there; else the first band."""
    return TRUE_COLOUR if set(TRUE_COLOUR) <= set(bands) else (bands[0],)


def thumbnails(bands: Sequence[NDArray[Any]]) -> NDArray[np.uint8]:
    """(rows, size, size, 3) uint8 of one or three bands, (rows, size, size) each; coarser ones are not smoothed.

    Each patch is stretched for itself, over its bands together, so that colours stay true to each other; where there is
    little contrast, as on water, not all the way, so that noise does not become a picture.
    """
    size = max(band.shape[1] for band in bands)
    planes = [band[:, index][:, :, index] for band in bands for index in [np.arange(size) * band.shape[1] // size]]
    stack = np.stack(planes, axis=-1).astype(np.float32)
    if np.isnan(stack).any():  # what is no data is as dark as the darkest
        stack = np.where(np.isnan(stack), np.nanmin(stack, axis=(1, 2, 3), keepdims=True), stack)
    dark, bright = np.percentile(stack, (_DARK, _BRIGHT), axis=(1, 2, 3), keepdims=True)
    dark = np.minimum(dark, _DARKEST * bright) if stack.min() >= 0 else dark
    stretched = (stack - dark) / (bright - dark).clip(min=1 if stack.max() > 255 else 1e-6)
    pixels = (255 * stretched.clip(0, 1)).round().astype(np.uint8)
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels


def _example(predictions: Predictions, row: int, loss: float, picture: NDArray[np.uint8]) -> Example:
    assert predictions.patch_ids is not None
    decided, truth = predictions.decisions[row], predictions.labels[row]

    def named(marks: NDArray[np.bool_]) -> dict[str, float]:
        places = np.flatnonzero(marks).tolist()
        return {predictions.label_names[place]: float(predictions.probabilities[row, place]) for place in places}

    return Example(
        str(predictions.patch_ids[row]),
        loss,
        picture,
        found=named((decided == 1) & (truth == 1)),
        missed=named((decided == 0) & (truth == 1)),
        wrong=named((decided == 1) & (truth == 0)),
        other=named((decided == 0) & (truth == 0)),
    )
