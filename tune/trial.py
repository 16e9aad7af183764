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

from models.bundle.config import read_config, read_metrics
from models.bundle.weights import write_bundle
from models.device import pick_device
from models.metric_keys import METRICS
from models.settings import TrainSettings
from models.training.fit_state import load, save
from models.training.fresh_net import fresh_net, image_size
from models.training.kept_bundle import config_of, example_of
from models.training.loop import EpochResult, Fit
from models.training.patience import Patience
from models.training.score_epoch import judge
from pipelines.bands import parse_bands
from pipelines.errors import LandsweepError
from pipelines.feeding.shared import Feed
from tune.settings import SearchSettings

STATE, BUNDLE = "state.pt", "best"


def run_trial(parameters: dict[str, Any], *, data: Feed, search: SearchSettings) -> None:
    """What Ray Tune calls. What a trial says itself, such as that it diverged, is reported as failed and not retried:
    it would come about again."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            settings = search.train_settings(parameters)
            torch.set_num_threads(settings.threads or 1)
            _fit(settings, search, data, Path(scratch))
        except LandsweepError as error:
            raytune.report({search.metric: 0.0, "best": 0.0, "failed": str(error)})


def _fit(settings: TrainSettings, search: SearchSettings, data: Feed, scratch: Path) -> None:
    manifest = data.manifest
    bands = parse_bands(settings.bands, manifest.band_names)
    train, validation = data.get("train", bands), data.get("validation", bands)
    net, _ = fresh_net(settings, manifest)
    fit = Fit(net, settings, image_size(manifest), pick_device(settings.device))
    best = _resume(fit, scratch, search.metric)
    for epoch in fit.epochs(train, validation):
        calibration, metrics = judge(epoch, validation.labels, manifest.label_names, settings)
        if best.better(metrics[search.metric]):
            said = {"study": search.name, "epoch": epoch.number}
            config = config_of(settings, manifest, calibration, said, net)
            example = example_of(validation)
            write_bundle(scratch / BUNDLE, fit.kept, config, {"validation": metrics}, example, replace=True)
        save(fit, scratch / STATE)
        final = epoch.number == settings.epochs or best.over(settings.patience)
        report = {search.metric: metrics[search.metric], "epoch": epoch.number, "best": best.best, "final": final}
        report |= {"curve": _curve(epoch, metrics)}
        raytune.report(report, checkpoint=raytune.Checkpoint.from_directory(scratch))
        if final:
            return


def _resume(fit: Fit, scratch: Path, metric: str) -> Patience:
    """Go on from the trial's last checkpoint, if it has one; returns what it had reached, and when."""
    checkpoint = raytune.get_checkpoint()
    if checkpoint is None:
        return Patience()
    checkpoint.to_directory(scratch)
    load(fit, scratch / STATE)
    value = float(read_metrics(scratch / BUNDLE)["validation"][metric])
    reached = int(read_config(scratch / BUNDLE).trial["epoch"])
    return Patience(value, fit.done - reached)


def _curve(epoch: EpochResult, metrics: dict[str, Any]) -> dict[str, Any]:
    curve = {key: metrics[key] for key in METRICS if metrics[key] is not None} | {"epoch": epoch.number}
    return curve | {"train_loss": round(epoch.train_loss, 5), "validation_loss": round(epoch.validation_loss, 5)}
