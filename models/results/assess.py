"""How good a bundle is on a split, and next to what any net must beat.

Flows in: a loaded bundle and a dataset. Flows out: predictions, and metrics under the project's keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.config import BundleConfig
from models.bundle.weights import Bundle
from models.measure.calibrate import Calibration, calibration_effect
from models.measure.evaluate import BATCH, evaluate
from models.measure.metrics import score
from models.measure.predictions import Predictions
from models.measure.shared_classes import shared_classes
from models.results.baselines import band_regression, constant
from pipelines.dataset.manifest import open_dataset
from pipelines.feeding.rows import Rows
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
    """Run a bundle over one split, in float32, as it is served; scored are the classes that both know, by name.

    Raises:
        BundleError: the dataset has none of the bundle's classes.
        ShardError: there is no such dataset, or the split is empty.
        BandError: the dataset lacks a band.
        SettingsError, ServiceError: see `open_dataset`.
        TrainingError: not even one patch fits into memory, or the net gives no finite numbers.
    """
    config = bundle.config
    manifest = open_dataset(data)
    shared_classes(config.label_names, manifest.label_names, str(data))  # before the net runs
    device = next(bundle.net.parameters()).device
    rows = open_stream(data, split, config.bands, manifest)
    logits = evaluate(bundle.net, rows, config.image_size, device, batch_size=batch_size).logits
    return assessment(config, logits, rows, data, split)


def assessment(
    config: BundleConfig, logits: NDArray[np.float32], rows: Rows, data: Location | str, split: str
) -> Assessment:
    """What a bundle's logits of a split are worth.

    Args:
        config: of the bundle.
        logits: (rows, the bundle's classes).
        rows: of the split, with the dataset's own classes.
        data, split: the dataset, and which of its splits.

    Raises:
        BundleError: the dataset has none of the bundle's classes.
        ShardError, SettingsError, ServiceError: see `open_dataset`.
    """
    both = shared_classes(config.label_names, open_dataset(data).label_names, str(data))
    calibration = Calibration(config.temperature, [config.thresholds[name] for name in both.names])
    kept, labels = logits[:, both.of_model], np.ascontiguousarray(rows.labels[:, both.of_data])
    notes = list(both.notes)
    if strangers := int((rows.labels.any(axis=1) & ~labels.any(axis=1)).sum()):
        notes.append(f"{strangers:,} patches have none of the classes that are scored; saying one of them is wrong.")
    if lacking := [name for name, count in zip(both.names, labels.sum(axis=0).tolist(), strict=True) if not count]:
        notes.append(f"No patch of this split has them, so that macro means are without: {', '.join(lacking)}.")
    predictions = Predictions(
        probabilities=calibration.probabilities(kept),
        labels=labels,
        label_names=both.names,
        patch_ids=np.array(rows.patch_ids.tolist(), np.str_),
        thresholds=tuple(calibration.thresholds),
        split=split,
        notes=tuple(notes),
    )
    return Assessment(predictions, calibration_effect(calibration, kept, labels, both.names))


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
