"""A probe, from a dataset to a folder with everything that came of it: `landsweep probe`.

    RUN/
      run.json                what it is and where it comes from, as a run's
      checkpoints/best_acc/   a bundle: the frozen net, with a last layer that was fitted on its features
      logs/train.log          what was told
      results/                metrics, predictions.npz and figures, as a run's, and
        floor.json            metrics of validation and test: the probe's, and of what it has to beat; see `floor`

Flows in: `ProbeSettings`. Flows out: this folder. The net runs once over each split; all else is arithmetic on what it
gives. One that is interrupted leaves nothing that counts, and is begun anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from models.bundle.locate import BEST_ACC, CHECKPOINTS, RECORD, RESULTS
from models.bundle.weights import Bundle, installed_versions, write_bundle
from models.device import pick_device
from models.measure.calibrate import fit_calibration
from models.probe.features import features_of, last_layer, put_in
from models.probe.fit import Regression, fit
from models.probe.floor import Choice, floor
from models.probe.source import frozen_net, parameters_of, resolve, training_settings
from models.results.assess import Assessment, assessment
from models.results.score_split import headline, write_results
from models.settings import ProbeSettings
from models.training.fresh_net import image_size
from models.training.kept_bundle import config_of, example_of
from models.training.run_folder import LOGS, PROBE, check_new, code_hash, now, plain_name
from pipelines.bands import parse_bands
from pipelines.dataset.manifest import Manifest, open_dataset
from pipelines.errors import SettingsError
from pipelines.feeding.open_rows import open_rows
from pipelines.feeding.rows import Rows
from pipelines.files import exclusive, write_whole
from pipelines.location import locate
from pipelines.settings import Settings

FLOOR = "floor.json"

Tell = Callable[[str], None]


class Record(Settings):
    """What `run.json` says of a probe: the keys of a run's record, as far as a probe has them."""

    kind: Literal["probe"] = PROBE
    settings: ProbeSettings
    seed: int
    data: str
    code: str
    versions: dict[str, str]
    begun: str
    ended: str


@dataclass
class _Notes:
    """What is told, and kept for the log."""

    tell: Tell
    lines: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        self.lines.append(f"{now()} {line}\n")
        self.tell(line)


@dataclass(frozen=True)
class Fitted:
    """What came of a probe.

    Args:
        bundle: not written yet.
        regression: on the features, as it lies in the bundle's last layer.
        neighbours: how many were chosen.
        found: split to what the bundle says of it.
        floor: name, the probe's first, to split to metrics.
    """

    bundle: Bundle
    regression: Regression
    neighbours: int
    found: dict[str, Assessment]
    floor: dict[str, dict[str, dict[str, Any]]]


def probe(settings: ProbeSettings, tell: Tell = lambda _: None) -> dict[str, Any]:
    """Fit a probe, keep it as a bundle, and score it beside what is simpler; returns what the command line prints.

    Raises:
        SettingsError: settings do not fit each other, the dataset or the model; see `resolve` and `check_new`.
        ShardError: there is no such dataset, or its training or validation split is empty.
        BandError: the dataset lacks a band.
        BundleError: features are to be those of a bundle that is not there or damaged.
        ServiceError: the object store, or the hub that weights are to come from, does not answer.
        TrainingError: not even one patch fits into memory, the net gives no finite numbers, or the metric to choose by
            has no value on the validation split.
        BusyError: another process writes into the folder.
        StorageError: the disk is full.
    """
    begun, notes = now(), _Notes(tell)
    if not settings.data:
        raise SettingsError("no dataset is given", where="data", hint="Name its folder with --data.")
    settings = resolve(settings.model_copy(update={"data": str(locate(settings.data))}))
    folder = settings.out or Path("experiments") / plain_name(PROBE, settings.model, settings.bands, settings.seed)
    check_new(folder)
    device = pick_device(settings.device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    manifest = open_dataset(settings.data)
    splits = _open(settings, manifest, notes)
    fitted = fit_probe(settings, manifest, splits, device, notes)
    with exclusive(folder / ".lock", f"the run in {folder}"):
        check_new(folder)  # another may have ended since
        files = _write(folder, settings, fitted, splits, notes)
        known = {"seed": settings.seed, "data": manifest.hash, "code": code_hash(), "versions": installed_versions()}
        record = Record.parse({"settings": settings, "begun": begun, "ended": now()} | known)
        write_whole(folder / RECORD, record.model_dump_json(indent=1))
    return {
        "run": str(folder),
        "bundle": str(folder / CHECKPOINTS / BEST_ACC),
        "results": files,
        "strength": fitted.regression.strength,
        "neighbours": fitted.neighbours,
        "metrics": {split: headline(each.metrics) for split, each in fitted.found.items()},
        "floor": {name: {split: headline(each) for split, each in by.items()} for name, by in fitted.floor.items()},
    }


def _open(settings: ProbeSettings, manifest: Manifest, tell: Tell) -> dict[str, Rows]:
    """Rows of each split that is used, with the bands that are asked for."""
    bands = parse_bands(settings.bands, manifest.band_names)
    names = ["train", "validation"]
    if settings.test and manifest.rows("test"):
        names.append("test")
    elif settings.test:
        tell("Not scored on test: the dataset has no such patches.")
    return dict(zip(names, open_rows(settings.data, manifest, names, bands), strict=True))


def fit_probe(
    settings: ProbeSettings, manifest: Manifest, splits: dict[str, Rows], device: torch.device, tell: Tell
) -> Fitted:
    """All but the files.

    Args:
        settings: resolved.
        manifest: of the dataset.
        splits: train, validation and maybe test, with the bands that are asked for.
        device: the net runs on.
        tell: gets a line for each step.

    Raises:
        SettingsError, BandError, BundleError, ServiceError, TrainingError: see `probe`.
    """
    size, train = image_size(manifest), splits["train"]
    net = frozen_net(settings, manifest, train, tell).to(device)
    layer = last_layer(net, size, settings.model)
    features = {
        split: features_of(net, layer, rows, size, device, settings.batch_size) for split, rows in splits.items()
    }
    count = features["train"].shape[1]
    tell(f"{count:,} features of {settings.model} on {settings.bands}, of {_counts(splits)} patches")
    choice = Choice(splits["validation"].labels, manifest.label_names, settings.metric, settings.beta)
    regression = fit(features["train"], train.labels, features["validation"], choice.of_logits)
    tried = ", ".join(f"{value:.4f} at {strength:g}" for strength, value in regression.tried.items())
    tell(f"{settings.metric} on validation is {tried}; strength {regression.strength:g} is taken")
    linear = put_in(net, layer, regression.weight, regression.bias)
    with torch.inference_mode():
        logits = {split: linear(torch.from_numpy(each).to(device)).cpu().numpy() for split, each in features.items()}
    calibration = fit_calibration(logits["validation"], choice.labels, settings.beta)
    facts = {"strength": regression.strength, "features": count}
    trial = {"probe": facts, "parameters": parameters_of(settings)}
    config = config_of(training_settings(settings), manifest, calibration, {}, net).model_copy(update={"trial": trial})
    found = {split: assessment(config, logits[split], rows, settings.data, split) for split, rows in splits.items()}
    neighbours, others = floor(splits, features, choice)
    mine = {split: each.metrics for split, each in found.items() if split != "train"}
    return Fitted(Bundle(config, net), regression, neighbours, found, {"probe": mine} | others)


def _counts(splits: dict[str, Rows]) -> str:
    return ", ".join(f"{len(rows):,} {split}" for split, rows in splits.items())


def _write(folder: Path, settings: ProbeSettings, fitted: Fitted, splits: dict[str, Rows], notes: _Notes) -> list[str]:
    """Everything but the record; returns the files of the results."""
    net, metrics = fitted.bundle.net, fitted.floor["probe"]
    example = example_of(splits["validation"])
    config = write_bundle(folder / CHECKPOINTS / BEST_ACC, net, fitted.bundle.config, metrics, example)
    found, out = list(fitted.found.values()), folder / RESULTS
    # Explained as what was loaded is: maps need gradients.
    bundle = Bundle(config, net.requires_grad_(True))
    files = write_results(out, bundle, found, settings.data, settings.explain, notes)
    write_whole(out / FLOOR, json.dumps(fitted.floor, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
    write_whole(folder / LOGS / "train.log", "".join(notes.lines))
    return sorted([*files, FLOOR])
