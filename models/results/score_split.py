"""What a bundle reached, as files: metrics of each split, predictions of one, its report, and what calibration did.

    OUT/
      best_metrics.json, best_test_metrics.json            of validation and of test
      train_per_class_metrics.json, val_…, test_…          the same by class
      calibration.json                                     split to metrics with temperature and thresholds, and without
      predictions.npz                                      of the last split that was scored
      visualizations/…                                     its figures; see `report`
      gradcam_visualizations/…, activations.pdf, …         what the net looked at in it; see `run_artefacts`

Flows in: a bundle, or a run that has some, and a dataset. Flows out: these files, and metrics for the terminal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from models.bundle.config import read_config
from models.bundle.locate import find_bundle, own_results
from models.bundle.weights import Bundle, load_bundle
from models.device import pick_device
from models.explain.run_artefacts import Tell, write_insight
from models.measure.extremes import bands_shown
from models.measure.prediction_file import FILE, write_predictions
from models.measure.shared_classes import rows_of
from models.metric_keys import METRICS
from models.report.epoch_table import epoch_of, epochs_beside
from models.report.report import METRIC_FILES, write_report
from models.results.assess import Assessment, examine
from models.settings import AssessSettings
from pipelines.dataset.manifest import open_dataset
from pipelines.drawing.fonts import unwritable
from pipelines.feeding.streamed import open_stream
from pipelines.files import check_out, write_whole
from pipelines.location import Location

CALIBRATION = "calibration.json"
OTHER_DATA = "this is not the dataset that the model was trained on"


def score_bundle(settings: AssessSettings, tell: Tell = lambda _: None) -> dict[str, Any]:
    """Score a bundle, or one of a run's, on a split; returns what the command line prints.

    `tell` gets what should be known beside that.

    Raises:
        BundleError: there is none, or it is damaged, or the dataset has none of its classes.
        ShardError: there is no such dataset, or the split is empty.
        BandError: the dataset lacks a band.
        SettingsError: nothing can be written to `out`, or no such device; or see `open_dataset`.
        ServiceError: the object store does not answer.
        TrainingError: not even one patch fits into memory, or the net gives no finite numbers.
        StorageError, BusyError: see `write_results`.
    """
    folder = find_bundle(settings.source, settings.checkpoint)
    same = read_config(folder).dataset == open_dataset(settings.data).hash
    out = settings.out or own_results(settings.source, folder, same_data=same)
    if out is not None:
        check_out(out)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    bundle = load_bundle(folder, pick_device(settings.device))
    found = examine(bundle, settings.data, settings.split, batch_size=settings.batch_size)
    written = write_results(out, bundle, [found], settings.data, settings.explain, tell) if out is not None else []
    said = {"bundle": str(folder), "split": settings.split, "patches": len(found.predictions)}
    notes = [] if same else [OTHER_DATA]
    notes += [] if out else ["to keep results and draw their report, name a folder with --out"]
    said |= {"note": "; ".join(notes)} if notes else {}
    said |= {"notes": list(found.predictions.notes)} if found.predictions.notes else {}
    said |= {"out": str(out), "files": written} if out is not None else {}
    return said | {"metrics": found.metrics, "calibration": found.effect}


def score_splits(bundle: Bundle, data: str, splits: Sequence[str], tell: Tell) -> list[Assessment]:
    """Score a bundle on several splits, those that are empty left out and said to be.

    Raises:
        As `examine`.
    """
    manifest = open_dataset(data)
    found = []
    for split in splits:
        if manifest.rows(split):
            found.append(examine(bundle, data, split))
        else:
            tell(f"Not scored on {split}: the dataset has no such patches.")
    return found


def write_results(
    out: Path, bundle: Bundle, found: Sequence[Assessment], data: Location | str, explain: int, tell: Tell
) -> list[str]:
    """Write the files; predictions and figures are those of the last one. What is not written anew stays as it was.

    Args:
        out: folder, made if it is not there.
        bundle, data: what was scored on which dataset.
        explain: best and worst patches to show where the net looks; see `write_insight`.
        tell: gets what could not be shown.

    Returns:
        The files, relative to `out`.

    Raises:
        ShardError, BandError, SettingsError, ServiceError: see `open_shown`.
        PredictionsError: the dataset has other patches or labels than what was scored.
        StorageError: the disk is full.
        BusyError: another process writes a report or an explanation into this folder.
    """
    effects = _effects(out / CALIBRATION, tell)
    names = set()
    for each in found:
        split, metrics = each.predictions.split, each.metrics
        whole = {key: value for key, value in metrics.items() if key != "per_class"}
        whole_file, by_class_file = METRIC_FILES[split]
        files = {by_class_file: metrics["per_class"]} | ({} if split == "train" else {whole_file: whole})
        for name, values in files.items():
            write_whole(out / name, json.dumps(values, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
        names |= set(files)
        effects[split] = each.effect
    write_whole(out / CALIBRATION, json.dumps(effects, indent=2, allow_nan=False) + "\n")
    shown = found[-1].predictions
    write_predictions(out / FILE, shown)
    manifest = open_dataset(data)
    stream = open_stream(data, shown.split, bands_shown(manifest.band_names), manifest)
    rows = rows_of(stream, manifest.label_names, shown.label_names)
    epochs, epoch = epochs_beside(out / FILE), epoch_of(bundle.config)
    if lacking := unwritable(shown.label_names):
        tell(lacking)
    report = write_report(out, shown, rows=rows, epochs=epochs, epoch=epoch)
    shown_too = write_insight(out, bundle, data, shown, explain, tell)
    return sorted({*names, CALIBRATION, FILE, *report.files, *shown_too})


def _effects(path: Path, tell: Tell) -> dict[str, Any]:
    """What calibration did to the splits that were scored before."""
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    tell(f"{path} is damaged; it is begun anew, with what is scored now.")
    return {}


def headline(metrics: dict[str, Any]) -> dict[str, float]:
    """The metrics of a split as a whole, for the terminal."""
    return {key: round(metrics[key], 4) for key in METRICS if metrics.get(key) is not None}
