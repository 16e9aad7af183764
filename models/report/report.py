"""The report of a set of predictions: every metric and every figure, computed again from one file.

    out/
      best_test_metrics.json       all metrics of the split (`best_metrics.json` of validation)
      test_per_class_metrics.json  the same by class
      visualizations/…             figures; see `figures`

Flows in: predictions, and where there are any, the dataset they were made of and a table of epochs. Flows out: the
files above. All is computed before a file is written, and written aside before a file is replaced: what stops it
halfway leaves the report that was there. The folder's other files are left alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.measure.extremes import bands_shown, extremes
from models.measure.metrics import score, score_decisions
from models.measure.prediction_file import read_predictions
from models.measure.predictions import Predictions
from models.measure.shared_classes import rows_of
from models.report.epoch_table import Epochs, epoch_beside, epochs_beside
from models.report.figures import DRAWERS, Material, draw_figures, left_out
from models.settings import ReportSettings
from pipelines.dataset.manifest import open_dataset
from pipelines.drawing.canvas import png_of
from pipelines.drawing.fonts import unwritable
from pipelines.errors import PredictionsError, ShardError, nearest
from pipelines.feeding.rows import Rows
from pipelines.feeding.streamed import open_stream
from pipelines.files import check_out, commit, exclusive, write_whole

FIGURES = "visualizations"

METRIC_FILES = {
    "train": ("best_train_metrics.json", "train_per_class_metrics.json"),
    "validation": ("best_metrics.json", "val_per_class_metrics.json"),
    "test": ("best_test_metrics.json", "test_per_class_metrics.json"),
}
"""Split to the files of its metrics and of those by class."""


@dataclass(frozen=True)
class Report:
    """What was written: all metrics, files relative to the folder, and figures that are not among them, and why."""

    metrics: dict[str, Any]
    files: list[str]
    left_out: dict[str, str]


def report_on(settings: ReportSettings) -> dict[str, Any]:
    """Read, compute and write; returns what the command line prints.

    Raises:
        PredictionsError: the file is missing, damaged or does not fit, or is of other patches than the dataset.
        LabelError, UnsupportedError, TooLargeError: see `read_predictions`.
        SettingsError: nothing can be written there; or see `open_dataset`.
        ShardError: no such dataset, it is damaged, or it lacks the split.
        ServiceError: the object store does not answer.
        BusyError: another report is being written there.
        BundleError: the bundle beside the predictions is damaged.
        StorageError: the disk is full.
    """
    check_out(settings.out)
    predictions = _of_split(read_predictions(settings.predictions), settings)
    rows = _open_rows(settings.data, predictions) if settings.data else None
    table, epoch = epochs_beside(settings.predictions), epoch_beside(settings.predictions)
    written = write_report(settings.out, predictions, rows=rows, epochs=table, epoch=epoch, examples=settings.examples)
    return {
        "predictions": str(settings.predictions),
        "split": predictions.split,
        "patches": len(predictions),
        "notes": [*predictions.notes, *filter(None, [_absent(predictions), unwritable(predictions.label_names)])],
        "out": str(settings.out),
        "files": written.files,
        "left out": written.left_out,
        "metrics": written.metrics,
    }


def overview(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics of all classes together, as a person reads them."""
    shown = {key: value for key, value in metrics.items() if key != "per_class"}
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in shown.items()}


def class_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a class, for a table."""
    return [{"class": name} | values for name, values in metrics["per_class"].items()]


def write_report(
    out: Path,
    predictions: Predictions,
    *,
    rows: Rows | None = None,
    epochs: Epochs | None = None,
    epoch: int | None = None,
    examples: int = 6,
) -> Report:
    """Compute everything, and write it whole or not at all.

    Args:
        out: folder, made if it is not there.
        predictions: with their split named.
        rows: of the dataset and split that they were made of, for pictures of `examples` best and worst patches.
        epochs, epoch: for learning curves, and whose model's predictions these are; see `learning.draw_learning`.

    Raises:
        PredictionsError: the rows are others; or the split has no name.
        StorageError: the disk is full.
        BusyError: another report is being written there.
    """
    if predictions.split not in METRIC_FILES:
        raise PredictionsError("it is not said of which split these predictions are", hint="Name it.")
    metrics = measure(predictions)
    shown = extremes(predictions, rows, examples) if rows is not None else None
    material = Material(predictions, metrics, epochs, shown, epoch)
    files: dict[str, bytes | str] = {f"{FIGURES}/{name}.png": png_of(figure) for name, figure in draw_figures(material)}
    whole, by_class = METRIC_FILES[predictions.split]
    files[by_class] = _json(metrics["per_class"])
    files[whole] = _json({key: value for key, value in metrics.items() if key != "per_class"})
    _replace(out, files, [f"{FIGURES}/{name}.png" for name in DRAWERS])
    return Report(metrics, sorted(files), left_out(material))


def measure(predictions: Predictions) -> dict[str, Any]:
    """All metrics; see `metrics.score`."""
    if predictions.decided:
        return score_decisions(predictions.decisions, predictions.labels, predictions.label_names)
    return score(predictions.probabilities, predictions.labels, predictions.label_names, predictions.limits.tolist())


def _absent(predictions: Predictions) -> str:
    """That some classes count in no macro average; nothing where all are there."""
    counts = predictions.labels.sum(axis=0, dtype=int).tolist()
    absent = [name for name, count in zip(predictions.label_names, counts, strict=True) if not count]
    return f"No patch has, so counted in no macro average: {', '.join(absent)}." if absent else ""


def _of_split(predictions: Predictions, settings: ReportSettings) -> Predictions:
    """With the split named by the file or the caller; where neither does, it is taken for test, and that is said."""
    told = "" if settings.split == "auto" else settings.split
    if told and predictions.split not in ("", told):
        what = f"the file is of split {predictions.split}, not {told}"
        raise PredictionsError(what, where=str(settings.predictions), hint="Leave --split out.")
    if told or predictions.split:
        return replace(predictions, split=told or predictions.split)
    note = "The file does not say of which split it is: taken for test. Name another with --split."
    return replace(predictions, split="test", notes=(*predictions.notes, note))


def _open_rows(data: str, predictions: Predictions) -> Rows:
    manifest = open_dataset(data)
    if not set(predictions.label_names) <= set(manifest.label_names):
        names = zip(predictions.label_names, manifest.label_names, strict=False)
        differing = next((pair for pair in names if pair[0] != pair[1]), None)
        what = f'it has class "{differing[1]}" where they have "{differing[0]}"' if differing else "it has others"
        hint = "Give the dataset that these predictions were made of."
        raise PredictionsError(f"the dataset has not the classes of the predictions: {what}", where=data, hint=hint)
    if not manifest.rows(predictions.split):
        raise ShardError(f'no patches in split "{predictions.split}"', where=data, hint=nearest("", manifest.splits))
    rows = open_stream(data, predictions.split, bands_shown(manifest.band_names), manifest)
    return rows_of(rows, manifest.label_names, predictions.label_names)


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _replace(out: Path, files: dict[str, bytes | str], own: Sequence[str]) -> None:
    """Put the files there, the last one last; what an earlier report had and this one has not is removed."""
    with _made(out), exclusive(out / ".lock", f"a report into {out}"):
        aside = out / f".{FIGURES}-aside"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            for name, data in files.items():
                write_whole(aside / name, data)
            (out / FIGURES).mkdir(exist_ok=True)
            for name in [list(files)[-1], *(name for name in own if name not in files)]:
                (out / name).unlink(missing_ok=True)
            for name in files:
                commit(aside / name, out / name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Have a folder; if it was not there and the block fails, it is not there afterwards."""
    there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if not there:
            shutil.rmtree(folder, ignore_errors=True)
        raise
