"""What any net must beat: the training frequencies, and a logistic regression on each band's mean and deviation.

Flows in: training and test splits. Flows out: probabilities on the test split, to be scored like a net's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.feeding.rows import Rows


def constant(train: Rows, test: Rows) -> NDArray[np.float32]:
    """Every class with its frequency in training, (rows, classes)."""
    frequency = train.labels.mean(axis=0, dtype=np.float64).astype(np.float32)
    return np.repeat(frequency[None], len(test), axis=0)


def band_regression(train: Rows, test: Rows) -> NDArray[np.float32]:
    """One logistic regression a class on the standardised `band_statistics`, (rows, classes)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inputs, questions = band_statistics(train), band_statistics(test)
    result = constant(train, test)
    for column in range(train.labels.shape[1]):
        truth = train.labels[:, column]
        if 0 < truth.sum() < len(truth):
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(inputs, truth)
            result[:, column] = model.predict_proba(questions)[:, 1]
    return result


def band_statistics(split: Rows) -> NDArray[np.float64]:
    """Mean and standard deviation of each band over each patch, (rows, 2 × bands), all means first.

    Over what was measured; where nothing was, what the other patches have in the mean.
    """
    found = np.concatenate(
        [
            np.stack([measure(chunk[band]) for measure in (_mean, _deviation) for band in split.bands], 1)
            for chunk in split.epoch(256, None)
        ]
    )
    usual = np.nan_to_num(np.nanmean(found, axis=0)) if np.isnan(found).any() else found[0]
    return np.where(np.isnan(found), usual, found)


def _mean(band: NDArray[Any]) -> NDArray[np.float64]:
    if band.dtype.kind != "f":
        return np.asarray(band.mean(axis=(1, 2)))
    there = ~np.isnan(band)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, band, 0).sum(axis=(1, 2), dtype=np.float64) / there.sum(axis=(1, 2)))


def _deviation(band: NDArray[Any]) -> NDArray[np.float64]:
    if band.dtype.kind != "f":
        return np.asarray(band.std(axis=(1, 2)))
    return np.sqrt(_mean((band - _mean(band)[:, None, None]) ** 2))
