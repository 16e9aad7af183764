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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from models.bundle.config import EXAMPLE
from models.report.epoch_table import TABLE, write_epochs
from pipelines.cluster import own_errors
from pipelines.errors import StudyError, TrainingError
from pipelines.pixels.patch import read_stack
from tune.outcome.finals import bundle_of
from tune.outcome.pareto import kept_to, pareto
from tune.settings import SearchSettings
from tune.study import BEST, TRIALS, Finalist, Study, TrialRow
from tune.trials.checkpoints import best_bundle, trial_folder

Tell = Callable[[str], None]

SPLITS = ("train", "validation", "test")


def keep_winner(settings: SearchSettings, study: Study, finalists: Sequence[Finalist], tell: Tell) -> None:
    """Copy the winner's bundle out of its trial, score it, and write down what a training run writes.

    The winner is the first finalist; where no trial is complete, the best of those that came somewhere.

    Raises:
        TrainingError: no trial came to a result; or see `examine`.
        StudyError: its bundle is gone.
        ShardError, BandError, SettingsError, ServiceError: see `examine`.
        StorageError, BusyError: see `write_results`.
    """
    best = study.row(finalists[0].number) if finalists else study.best
    if best is None:
        reasons = {row.reason for row in study.trials if row.reason}
        raise TrainingError("no trial came to a result", where=settings.name, hint=" ".join(sorted(reasons)))
    if kept := kept_to(study):
        tell(f"Constraints: {kept}.")
    if several := len(pareto(study)):
        tell(f"Pareto set: {several} trial{'s' * (several > 1)}; the highest {settings.metric} of it wins.")
    first = finalists[0] if finalists else None
    source = bundle_of(settings, first) if first else best_bundle(trial_folder(settings.folder / TRIALS, best.number))
    if source is None:
        raise StudyError("the best trial's bundle is gone", where=f"trial {best.number}", hint="Search again.")
    if first and len(first.values) > 1:
        tell(f"Trial {best.number} wins: {settings.metric} {first.said} over {len(first.values)} seeds.")
    tell("Scoring the best trial, and drawing its report.")
    where_trials_run(settings, partial(_write, settings, best, first, source), tell)


def where_trials_run(settings: SearchSettings, task: Callable[[Tell], None], tell: Tell) -> None:
    """Do something here, or on a cluster that was joined as a task with the resources of a trial.

    Raises:
        LandsweepError: as the task raises it.
    """
    if not os.environ.get("RAY_ADDRESS"):
        task(tell)
        return
    import ray

    remote = ray.remote(num_cpus=settings.cpus, num_gpus=settings.gpus)(_noted)
    with own_errors():
        for line in ray.get(remote.remote(task)):
            tell(line)


def _noted(task: Callable[[Tell], None]) -> list[str]:
    lines: list[str] = []
    task(lines.append)
    return lines


def _write(settings: SearchSettings, best: TrialRow, first: Finalist | None, source: Path, tell: Tell) -> None:
    from models.bundle.locate import RESULTS
    from models.bundle.weights import load_bundle, write_bundle
    from models.device import pick_device
    from models.results.score_split import score_splits, write_results

    bundle = load_bundle(source, pick_device("auto" if settings.gpus else "cpu"))
    found = score_splits(bundle, settings.data, SPLITS, tell)
    metrics = {each.predictions.split: each.metrics for each in found if each.predictions.split != "train"}
    example = read_stack((source / EXAMPLE).read_bytes(), wanted=bundle.config.bands)
    known = bundle.config.trial | ({"finals": {"values": first.values, "mean": first.mean}} if first else {})
    config = bundle.config.model_copy(update={"trial": known})
    write_bundle(settings.folder / BEST, bundle.net, config, metrics, example, replace=True)
    whole = [row for row in best.curves if row["epoch"] == int(row["epoch"])]
    keys = dict.fromkeys(key for row in whole for key in row)  # a metric without a value is in none
    write_epochs(settings.folder / TABLE, [{key: row.get(key) for key in keys} for row in whole])
    write_results(settings.folder / RESULTS, bundle, found, settings.data, settings.explain, tell)
