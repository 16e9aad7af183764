"""One trial: fit a net with the parameters drawn for it, report each epoch, and keep its best bundle.

Flows in: parameters, and references to the data in the object store. Flows out: one report an epoch, with a
checkpoint that holds the state to go on from (`state.pt`) and the best bundle so far (`best/`).

Runs on a worker that is used again for the next trial, so nothing may be left behind in the process.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from ray import tune as raytune

from models.bundle import read_metrics
from models.calibrate import Calibration, fit_thresholds
from models.device import pick_device
from models.keep import config_of, example_of, image_size, net_of
from models.loop import EpochResult, Fit
from models.measures import METRICS
from models.metrics import score
from models.settings import TrainSettings
from models.weights import write_bundle
from pipelines.bands import parse_bands
from pipelines.errors import SettingsError, TrainingError
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
        except (SettingsError, TrainingError) as error:
            raytune.report({search.metric: 0.0, "best": 0.0, "failed": str(error)})


def _fit(settings: TrainSettings, search: SearchSettings, data: Feed, scratch: Path) -> None:
    manifest = data.manifest
    bands = parse_bands(settings.bands, manifest.band_names)
    train, validation = data.get("train", bands), data.get("validation", bands)
    net = net_of(settings, manifest)
    fit = Fit(net, settings, image_size(manifest), pick_device(settings.device))
    best = _resume(fit, scratch, search.metric)
    for epoch in fit.epochs(train, validation):
        thresholds = fit_thresholds(epoch.probabilities, validation.labels)
        metrics = score(epoch.probabilities, validation.labels, manifest.label_names, thresholds)
        value = metrics[search.metric]
        if value is None:
            hint = "Take more patches into it, or another metric."
            raise TrainingError(f"{search.metric} has no value", where="validation split", hint=hint)
        if value > best:
            best = value
            trial = {"study": search.name, "parameters": settings.model_dump(mode="json")}
            config = config_of(settings, manifest, Calibration(1.0, thresholds), trial)
            example = example_of(validation)
            write_bundle(scratch / BUNDLE, net, config, {"validation": metrics}, example, replace=True)
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


def _report(epoch: EpochResult, metrics: dict[str, Any], search: SearchSettings, best: float) -> dict[str, Any]:
    curve = {key: metrics[key] for key in METRICS if metrics[key] is not None} | {"epoch": epoch.number}
    curve |= {"train_loss": round(epoch.train_loss, 5), "validation_loss": round(epoch.validation_loss, 5)}
    final = epoch.number == search.epochs
    return {search.metric: metrics[search.metric], "epoch": epoch.number, "best": best, "final": final, "curve": curve}
