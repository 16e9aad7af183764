"""One trial: fit a net with the parameters drawn for it, report each epoch, and keep its best bundle.

Flows in: parameters, and references to the data in the object store. Flows out: one report an epoch, with a
checkpoint that holds the state to go on from (`state.pt`) and the best bundle so far (`best/`).

Runs on a worker that is used again for the next trial, so nothing may be left behind in the process.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray import tune as raytune

from models.bundle import BundleConfig, read_metrics
from models.calibrate import fit_thresholds
from models.loop import EpochResult, Fit, pick_device
from models.metrics import METRICS, score
from models.settings import TrainSettings
from models.weights import write_bundle
from models.zoo import create_net
from pipelines.bands import parse_bands
from pipelines.errors import TrainingError
from pipelines.feed import Rows
from pipelines.patch import Patch
from pipelines.share import Feed
from tune.settings import SearchSettings

STATE, BUNDLE = "state.pt", "best"


def run_trial(parameters: dict[str, Any], *, data: Feed, search: SearchSettings) -> None:
    """What Ray Tune calls. A diverged fit is reported as failed and not retried: it would diverge again."""
    settings = search.train_settings(parameters)
    torch.set_num_threads(settings.threads or 1)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            _fit(settings, search, data, Path(scratch))
        except TrainingError as error:
            raytune.report({search.metric: 0.0, "best": 0.0, "failed": str(error)})


def _fit(settings: TrainSettings, search: SearchSettings, data: Feed, scratch: Path) -> None:
    manifest = data.manifest
    bands = parse_bands(settings.bands, manifest.band_names)
    train, validation = data.get("train", bands), data.get("validation", bands)
    statistics = [manifest.statistics[band] for band in bands]
    net = create_net(
        settings.model,
        mean=[each.mean for each in statistics],
        std=[each.std for each in statistics],
        num_classes=len(manifest.label_names),
        seed=settings.seed,
    )
    size = max(column.size for column in manifest.bands)
    fit = Fit(net, settings, size, pick_device(settings.device))
    best = _resume(fit, scratch, search.metric)
    for epoch in fit.epochs(train, validation):
        thresholds = fit_thresholds(epoch.probabilities, validation.labels)
        metrics = score(epoch.probabilities, validation.labels, manifest.label_names, thresholds)
        if metrics[search.metric] > best:
            best = metrics[search.metric]
            config = _config(settings, search, data, bands, size, thresholds)
            shutil.rmtree(scratch / BUNDLE, ignore_errors=True)
            write_bundle(scratch / BUNDLE, net, config, {"validation": metrics}, _example(validation))
        fit.save(scratch / STATE)
        raytune.report(_report(epoch, metrics, search, best), checkpoint=raytune.Checkpoint.from_directory(scratch))


def _resume(fit: Fit, scratch: Path, metric: str) -> float:
    """Go on from the trial's last checkpoint, if it has one; returns the best value it had reached."""
    checkpoint = raytune.get_checkpoint()
    if checkpoint is None:
        return -1.0
    checkpoint.to_directory(scratch)
    fit.load(scratch / STATE)
    if not (scratch / BUNDLE).is_dir():
        return -1.0
    return float(read_metrics(scratch / BUNDLE)["validation"][metric])


def _config(
    settings: TrainSettings,
    search: SearchSettings,
    data: Feed,
    bands: tuple[str, ...],
    size: int,
    thresholds: list[float],
) -> BundleConfig:
    manifest = data.manifest
    return BundleConfig(
        architecture=settings.model,
        num_classes=len(manifest.label_names),
        label_names=manifest.label_names,
        in_chans=len(bands),
        bands=list(bands),
        mean={band: manifest.statistics[band].mean for band in bands},
        std={band: manifest.statistics[band].std for band in bands},
        image_size=size,
        thresholds=dict(zip(manifest.label_names, thresholds, strict=True)),
        dataset=manifest.hash,
        trial={"study": search.name, "parameters": settings.model_dump(mode="json")},
        seed=settings.seed,
    )


def _example(split: Rows) -> Patch:
    """The split's patch with most labels, without its place: it is there to try the model on."""
    row = np.array([int(split.labels.sum(axis=1).argmax())])
    chunk = split.take(row)
    pixels: dict[str, NDArray[np.uint16]] = {band: chunk[band][0] for band in split.bands}
    return Patch(pixels)


def _report(epoch: EpochResult, metrics: dict[str, Any], search: SearchSettings, best: float) -> dict[str, Any]:
    curve = {key: metrics[key] for key in METRICS} | {"epoch": epoch.number}
    curve |= {"train_loss": round(epoch.train_loss, 5), "validation_loss": round(epoch.validation_loss, 5)}
    final = epoch.number == search.epochs
    return {search.metric: metrics[search.metric], "epoch": epoch.number, "best": best, "final": final, "curve": curve}
