"""What is kept of a study's best trial: its bundle, and all the results that a training run has.

    experiments/NAME/
      checkpoints/best/    the bundle, with its metrics on validation and test
      logs/epochs.jsonl    its epochs, which the learning curves are drawn of
      results/…            see `models.results.score_split`

Flows in: a study whose trials are over. Flows out: these files. On a cluster that was joined they are made by a task
with the resources of a trial: this process is then on the head, which may have no GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from models.bundle.config import EXAMPLE, check_bundle
from models.report.epoch_table import TABLE, write_epochs
from pipelines.cluster import own_errors
from pipelines.errors import BundleError, StudyError, TrainingError
from pipelines.pixels.patch import read_stack
from tune.settings import SearchSettings
from tune.study import BEST, TRIALS, TrialRow, open_study

Tell = Callable[[str], None]

SPLITS = ("train", "validation", "test")


def keep_winner(settings: SearchSettings, tell: Tell) -> None:
    """Copy the winner's bundle out of its trial, score it, and write down what a training run writes.

    Raises:
        TrainingError: no trial came to a result; or see `examine`.
        StudyError: see `open_study` and `last_whole`.
        ShardError, BandError, SettingsError, ServiceError: see `examine`.
        StorageError, BusyError: see `write_results`.
    """
    study = open_study(settings.experiments, settings.name)
    best = study.best
    if best is None:
        reasons = {row.reason for row in study.trials if row.reason}
        raise TrainingError("no trial came to a result", where=settings.name, hint=" ".join(sorted(reasons)))
    checkpoint = last_whole(settings.folder / TRIALS / best.ray_trial)
    tell("Scoring the best trial, and drawing its report.")
    if not os.environ.get("RAY_ADDRESS"):
        _write(settings, best, checkpoint, tell)
        return
    import ray

    task = ray.remote(num_cpus=settings.cpus, num_gpus=settings.gpus)(_noted)
    with own_errors():
        for line in ray.get(task.remote(settings, best, checkpoint)):
            tell(line)


def last_whole(trial: Path) -> Path:
    """The trial's last checkpoint. Tune copies them file by file: one that it was ended in is followed by no other.

    Raises:
        StudyError: there is none whose bundle is whole.
    """
    from tune.trial import BUNDLE

    for checkpoint in sorted(trial.glob("checkpoint_*"), reverse=True):
        try:
            check_bundle(checkpoint / BUNDLE)
            return checkpoint
        except BundleError:
            continue
    raise StudyError("the best trial's checkpoint is gone", where=trial.name, hint="Search again.")


def drop_states(settings: SearchSettings) -> None:
    """Optimizer states are several times the weights, and only a trial under way needs its own."""
    from tune.trial import STATE

    for state in (settings.folder / TRIALS).glob(f"*/checkpoint_*/{STATE}"):
        state.unlink()


def _noted(settings: SearchSettings, best: TrialRow, checkpoint: Path) -> list[str]:
    lines: list[str] = []
    _write(settings, best, checkpoint, lines.append)
    return lines


def _write(settings: SearchSettings, best: TrialRow, checkpoint: Path, tell: Tell) -> None:
    from models.bundle.locate import RESULTS
    from models.bundle.weights import load_bundle, write_bundle
    from models.device import pick_device
    from models.results.score_split import score_splits, write_results
    from tune.trial import BUNDLE

    source = checkpoint / BUNDLE
    bundle = load_bundle(source, pick_device("auto" if settings.gpus else "cpu"))
    found = score_splits(bundle, settings.data, SPLITS, tell)
    metrics = {each.predictions.split: each.metrics for each in found if each.predictions.split != "train"}
    config = bundle.config.model_copy(update={"trial": bundle.config.trial | {"number": best.number}})
    example = read_stack((source / EXAMPLE).read_bytes(), wanted=config.bands)
    write_bundle(settings.folder / BEST, bundle.net, config, metrics, example, replace=True)
    keys = dict.fromkeys(key for row in best.curves for key in row)  # a metric without a value is in none
    write_epochs(settings.folder / TABLE, [{key: row.get(key) for key in keys} for row in best.curves])
    write_results(settings.folder / RESULTS, bundle, found, settings.data, settings.explain, tell)
