"""What any net must beat: the training frequencies, and a logistic regression on each band's mean and deviation.

Flows in: training and test splits. Flows out: probabilities on the test split, to be scored like a net's.
"""

from __future__ import annotations

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
    """Mean and standard deviation of each band over each patch, (rows, 2 × bands), all means first."""
    return np.concatenate(
        [
            np.stack([measure(chunk[band], axis=(1, 2)) for measure in (np.mean, np.std) for band in split.bands], 1)
            for chunk in split.epoch(256, None)
        ]
    )
