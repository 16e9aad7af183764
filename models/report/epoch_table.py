"""The table of a training run: one row an epoch, as JSON, one a line, so that a run can add to it as it goes.

    RUN/logs/epochs.jsonl          {"epoch": 1, "train_loss": 0.41, "validation_loss": 0.38, "ap_macro": 0.52, …}
    RUN/results/predictions.npz    beside which it is looked for
    RUN/checkpoints/best_acc/      the bundle that results are of, which says of which epoch it is; `best` of a search,
                                   and `final` for RUN/results_final

Flows in: rows, or the path of a run's predictions. Flows out: rows, and the epoch that predictions are of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from models.bundle.config import BundleConfig, read_config
from models.bundle.locate import bundle_of_results
from pipelines.errors import PredictionsError
from pipelines.files import write_whole

TABLE = "logs/epochs.jsonl"

MAX_BYTES = 64 * 2**20
"""A hundred thousand epochs with all metrics."""

MOST, LAST = 1e38, 10**9
"""Largest amount of a number, as of one in float32, and of an epoch: nobody can draw axes for what is far beyond."""

Epochs: TypeAlias = Sequence[Mapping[str, Any]]


def write_epochs(path: Path, epochs: Epochs) -> None:
    """Write the whole table. Values are numbers, text or None; NaN has no place in JSON.

    Raises:
        ValueError: a value is not a finite number.
        StorageError: the disk is full.
    """
    write_whole(path, "".join(json.dumps(dict(row), allow_nan=False) + "\n" for row in epochs))


def epochs_beside(predictions: Path) -> list[dict[str, Any]] | None:
    """The table of the run whose results these predictions are; None if they lie in no run's folder.

    Raises:
        PredictionsError: the table is damaged.
    """
    path = predictions.absolute().parent.parent / TABLE
    return read_epochs(path) if path.is_file() else None


def epoch_beside(predictions: Path) -> int | None:
    """The epoch of the bundle whose results these predictions are; None if they lie in no run's folder.

    Raises:
        BundleError: the bundle's config is damaged.
    """
    bundle = bundle_of_results(predictions.absolute().parent)
    return epoch_of(read_config(bundle)) if bundle else None


def epoch_of(config: BundleConfig) -> int | None:
    """The epoch after which a bundle was kept; None where it does not say."""
    epoch = config.trial.get("epoch")
    return epoch if isinstance(epoch, int) else None


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """Read and check a table. Values are numbers to `MOST`, text, true, false or None; epochs are whole numbers.

    Raises:
        PredictionsError: it is too large, or a line is not a row of such values.
    """
    hint = "Mend it, or move it away: learning curves are left out then."
    if path.stat().st_size > MAX_BYTES:
        raise PredictionsError(f"table is over {MAX_BYTES // 2**20} MiB", where=str(path), hint=hint)
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        row = _row(line)
        if row is None or (rows and row.keys() != rows[0].keys()):
            what = "not a row of numbers by name" if row is None else "other columns than in the first line"
            raise PredictionsError(what, where=f"{path}, line {number}", hint=hint)
        rows.append(row)
    return rows


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    epoch = row.get("epoch")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or abs(epoch) > LAST:
        return None
    return row if all(map(_readable, row.values())) else None


def _readable(value: object) -> bool:
    return abs(value) <= MOST if isinstance(value, int | float) else value is None or isinstance(value, str)
