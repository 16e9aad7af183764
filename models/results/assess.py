"""How good a bundle is on a split, and next to what any net must beat.

Flows in: a loaded bundle and a dataset. Flows out: predictions, and metrics under the project's keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models.bundle.weights import Bundle
from models.measure.calibrate import Calibration, calibration_effect
from models.measure.evaluate import BATCH, evaluate
from models.measure.metrics import score
from models.measure.predictions import Predictions
from models.results.baselines import band_regression, constant
from pipelines.dataset.manifest import open_dataset
from pipelines.errors import BundleError
from pipelines.feeding.streamed import open_stream
from pipelines.location import Location


@dataclass(frozen=True)
class Assessment:
    """What a bundle says of a split.

    Args:
        predictions: with the bundle's own temperature and thresholds.
        effect: metrics `with` and `without` these; see `calibration_effect`.
    """

    predictions: Predictions
    effect: dict[str, dict[str, float | None]]

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """All metrics, with the bundle's own temperature and thresholds."""
        found = self.predictions
        return score(found.probabilities, found.labels, found.label_names, found.thresholds)


def examine(bundle: Bundle, data: Location | str, split: str, *, batch_size: int = BATCH) -> Assessment:
    """Run a bundle over one split, in float32, as it is served.

    Raises:
        BundleError: the dataset's classes are not the bundle's.
        ShardError: there is no such dataset, or the split is empty.
        BandError: the dataset lacks a band.
        SettingsError, ServiceError: see `open_dataset`.
        TrainingError: not even one patch fits into memory, or the net gives no finite numbers.
    """
    config = bundle.config
    manifest = open_dataset(data)
    if manifest.label_names != config.label_names:
        raise BundleError(
            f"the dataset has other classes than the model: {_difference(manifest.label_names, config.label_names)}",
            where=str(data),
            hint="Give the dataset that it was trained on, or one packed with the same classes in the same order.",
        )
    device = next(bundle.net.parameters()).device
    rows = open_stream(data, split, config.bands, manifest)
    logits = evaluate(bundle.net, rows, config.image_size, device, batch_size=batch_size).logits
    calibration = Calibration(config.temperature, [config.thresholds[name] for name in config.label_names])
    predictions = Predictions(
        probabilities=calibration.probabilities(logits),
        labels=rows.labels,
        label_names=tuple(config.label_names),
        patch_ids=np.array(rows.patch_ids.tolist(), np.str_),
        thresholds=tuple(calibration.thresholds),
        split=split,
    )
    return Assessment(predictions, calibration_effect(calibration, logits, rows.labels, config.label_names))


def assess(bundle: Bundle, data: Location | str, split: str) -> dict[str, Any]:
    """All metrics of a bundle on one split, with its own temperature and thresholds.

    Raises:
        As `examine`.
    """
    return examine(bundle, data, split).metrics


def compare(data: Location | str) -> dict[str, dict[str, Any]]:
    """Metrics on the test split of the baselines: `constant`, and `regression` on each band's mean and deviation.

    Raises:
        ShardError: there is no such dataset, or its training or test split is empty.
        SettingsError, ServiceError: see `open_dataset`.
    """
    manifest = open_dataset(data)
    train, test = (open_stream(data, split, manifest.band_names, manifest) for split in ("train", "test"))
    return {
        name: score(method(train, test), test.labels, manifest.label_names)
        for name, method in (("constant", constant), ("regression", band_regression))
    }


def _difference(there: Sequence[str], known: Sequence[str]) -> str:
    """How the classes of a dataset differ from those of a model, an example each way."""
    extra = next((f'it has "{each}"' for each in there if each not in known), "")
    missing = next((f'it lacks "{each}"' for each in known if each not in there), "")
    return " and ".join(filter(None, (extra, missing))) or "they are in another order"
