"""The run of a search: what is left to do of a study, done by Ray Tune's workers, to its end or to the end of its time.

Flows in: the study that is written, rows, rungs. Flows out: trials in it that are over, or left to go on later.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ray import tune as raytune
from rich.console import Console

from pipelines.feeding.shared import Feed
from tune.schedule.budget import Budget
from tune.schedule.next_job import Rules
from tune.schedule.progress import ProgressTable
from tune.schedule.record import Record
from tune.schedule.scheduler import scheduler_of
from tune.schedule.searcher import StudySearcher
from tune.schedule.sweep import sweep
from tune.settings import SearchSettings
from tune.study import TRIALS
from tune.trials.checkpoints import remove
from tune.trials.trial import run_trial

JOBS = "jobs"
"""Tune's own folder, which is nothing to go on from and is removed."""


def run_jobs(record: Record, data: Feed, rungs: tuple[int, ...], budget: Budget, console: Console) -> None:
    """Run trials until none is owed and the finalists are at their end, or the budget stops it; then all is as it is.

    Args:
        record: the study that is written.
        data: with the bands of all trials.
        rungs: see `rungs_of`.
        budget: where it is over, trials under way are pruned; where it was stopped, they are left to go on.
        console: where progress is told.
    """
    settings = record.settings
    wanted = settings.scheduler
    owed = settings.trials - sum(each.state != "failed" for each in record.standings())
    rules = Rules(
        rungs if wanted.name == "promote" else rungs[-1:],
        wanted.reduction, wanted.finalists, wanted.early_end, settings.patches,
    )  # fmt: skip
    searcher = StudySearcher(record, rules, max(0, owed), closing=budget.closing, stopping=budget.stop_all)
    if searcher.next():
        _fit(searcher, data, budget, rungs, console)
    if not budget.stopped.is_set():
        record.close("the time budget was over" if budget.stop_all() else "")
        sweep(record.standings(), settings.folder / TRIALS, settings.keep)


def _fit(searcher: StudySearcher, data: Feed, budget: Budget, rungs: tuple[int, ...], console: Console) -> None:
    settings = searcher.record.settings
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    trainable = raytune.with_parameters(run_trial, data=data, search=settings, rungs=rungs)
    with _quiet():
        raytune.Tuner(
            raytune.with_resources(trainable, {"cpu": settings.cpus, "gpu": settings.gpus}),
            tune_config=raytune.TuneConfig(
                metric=settings.metric,
                mode="max",
                search_alg=searcher,
                scheduler=scheduler_of(settings, searcher, rungs),
                num_samples=-1,
                max_concurrent_trials=settings.concurrent or _slots(settings),
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=raytune.RunConfig(
                name=JOBS,
                storage_path=str(settings.folder),
                stop=budget,
                failure_config=raytune.FailureConfig(max_failures=2),
                callbacks=[ProgressTable(searcher.record, rungs[-1], console)],
                verbose=0,
            ),
        ).fit()
    remove(settings.folder / JOBS)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Tune's own records of each job, and its own way with Ctrl-C."""
    given = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_DISABLE_SIGINT_HANDLER": "1"}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _slots(settings: SearchSettings) -> int | None:
    """How many trials fit on this machine at once; a cluster that was joined may still grow, and is asked for more."""
    import ray

    if os.environ.get("RAY_ADDRESS"):
        return None
    there = ray.cluster_resources()
    found = [there.get(kind, 0) / wanted for kind, wanted in (("CPU", settings.cpus), ("GPU", settings.gpus)) if wanted]
    return max(1, int(min(found)))
