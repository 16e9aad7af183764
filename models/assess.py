"""How good a bundle is on a split, and next to what any net must beat.

Flows in: a loaded bundle and a dataset. Flows out: metrics under the project's keys.
"""

from __future__ import annotations

from typing import Any

from models.baselines import band_mean_regression, constant
from models.loop import evaluate
from models.metrics import score
from models.weights import Bundle
from pipelines.errors import BundleError
from pipelines.location import Location
from pipelines.manifest import open_dataset
from pipelines.stream import open_stream


def assess(bundle: Bundle, data: Location | str, split: str) -> dict[str, Any]:
    """All metrics of a bundle on one split, with its own thresholds.

    Raises:
        BundleError: the dataset's classes are not the bundle's.
    """
    config = bundle.config
    manifest = open_dataset(data)
    if manifest.label_names != config.label_names:
        raise BundleError("the dataset has other classes than the model", where=str(data))
    device = next(bundle.net.parameters()).device
    rows = open_stream(data, split, config.bands, manifest)
    probabilities, _ = evaluate(bundle.net, rows, config.image_size, device, temperature=config.temperature)
    thresholds = [config.thresholds[name] for name in config.label_names]
    return score(probabilities, rows.labels, config.label_names, thresholds)


def compare(data: Location | str) -> dict[str, dict[str, Any]]:
    """Metrics on the test split of the baselines: `constant`, and `regression` on band means."""
    manifest = open_dataset(data)
    train, test = (open_stream(data, split, manifest.band_names, manifest) for split in ("train", "test"))
    return {
        name: score(method(train, test), test.labels, manifest.label_names)
        for name, method in (("constant", constant), ("regression", band_mean_regression))
    }
