from __future__ import annotations

import numpy as np

from benchmarks.folds import FOLDS, Entry, deal
from models.settings import TrainSettings


def test_each_fold_has_its_share_of_each_class() -> None:
    labels = np.repeat(np.eye(3, dtype=np.uint8), (20, 11, 5), axis=0)
    counts = np.array([labels[deal(labels) == fold].sum(axis=0) for fold in range(FOLDS)])
    assert (counts.sum(axis=0) == (20, 11, 5)).all()
    assert (np.ptp(counts, axis=0) <= 1).all()


def test_seeds_are_the_same_for_all_folds_or_each_folds_own() -> None:
    settings = TrainSettings(model="landnet-s")
    together, apart = Entry("", settings, seeds=2).fits(), Entry("", settings, seeds=2, apart=True).fits()
    assert [fold for fold, _ in together] == [fold for fold, _ in apart] == [*range(FOLDS), *range(FOLDS)]
    assert [seed for _, seed in together] == [0] * FOLDS + [1] * FOLDS
    assert [seed for _, seed in apart] == list(range(2 * FOLDS))
