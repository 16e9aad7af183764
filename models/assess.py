"""How good a bundle is on a split, and next to what any net must beat.

Flows in: a loaded bundle and a dataset. Flows out: metrics under the project's keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.baselines import band_mean_regression, constant
from models.loop import evaluate
from models.metrics import score
from models.weights import Bundle
from pipelines.errors import BundleError
from pipelines.feed import read_parts, read_split
from pipelines.shards import open_dataset


def assess(bundle: Bundle, data: Path, split: str) -> dict[str, Any]:
    """All metrics of a bundle on one split, with its own thresholds.

    Raises:
        BundleError: the dataset's classes are not the bundle's.
    """
    config = bundle.config
    if open_dataset(data).label_names != config.label_names:
        raise BundleError("the dataset has other classes than the model", where=str(data))
    device = next(bundle.net.parameters()).device
    found, labels = [], []
    for part in read_parts(data, split, config.bands):
        probabilities, _ = evaluate(bundle.net, part, config.image_size, device, temperature=config.temperature)
        found.append(probabilities)
        labels.append(part.labels)
    thresholds = [config.thresholds[name] for name in config.label_names]
    return score(np.concatenate(found), np.concatenate(labels), config.label_names, thresholds)


def compare(data: Path) -> dict[str, dict[str, Any]]:
    """Metrics on the test split of the baselines: `constant`, and `regression` on band means."""
    manifest = open_dataset(data)
    train, test = (read_split(data, split, manifest.band_names) for split in ("train", "test"))
    return {
        name: score(method(train, test), test.labels, manifest.label_names)
        for name, method in (("constant", constant), ("regression", band_mean_regression))
    }
