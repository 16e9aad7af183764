"""The table of weights: probes are the product's, on folds of two classes that differ by their level."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.folds import Fold
from benchmarks.weights import Features, Probe, probe, random_convolutions, statistics_of_bands
from pipelines.feeding.rows import Split

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES, BANDS, SIZE = ("bright", "dark"), ("B02", "B03"), 16


def rows(count: int, seed: int) -> Split:
    random, labels = np.random.default_rng(seed), np.eye(2, dtype=np.uint8)[np.arange(count) % 2]
    level = np.where(labels[:, :1, None] == 1, 2000, 1000)
    pixels = {band: (level + random.normal(0, 100, (count, SIZE, SIZE))).astype(np.uint16) for band in BANDS}
    return Split(BANDS, ({"labels": labels, "patch_id": np.arange(count).astype(str), **pixels},))


@pytest.mark.parametrize("features", [statistics_of_bands, random_convolutions])
def test_a_probe_tells_what_can_be_told(features: Features) -> None:
    fold = Fold(rows(40, 0), rows(20, 1), NAMES, SIZE, (1500.0,) * 2, (500.0,) * 2)
    (found,) = probe(Probe("", features), [fold])
    assert (found.accuracy, found.average_precision) == (1.0, 1.0)
    train, held_out = features(fold)
    assert (len(train), len(held_out)) == (40, 20)
    assert found.parameters == 2 * (train.shape[1] + 1)
