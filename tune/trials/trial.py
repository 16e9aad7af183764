"""One job of a search: what Ray Tune calls on a worker.

Flows in: a trial's number and parameters, and references to the data in the object store. Flows out: reports to Tune.
The worker is used again for the next job, so nothing may be left behind in the process.
"""

from __future__ import annotations

from typing import Any

import torch
from ray import tune as raytune

from pipelines.errors import LandsweepError, TrainingError
from pipelines.feeding.shared import Feed
from tune.settings import SearchSettings
from tune.study import TRIALS
from tune.trials.checkpoints import trial_folder
from tune.trials.fitting import Course, TrialFit
from tune.trials.job import NUMBER, PARAMETERS, REPORTED

_SMALLER = 2  # times as many parts of a batch, where a step did not fit into memory
_MOST_PARTS = 8


def run_trial(told: dict[str, Any], *, data: Feed, search: SearchSettings, rungs: tuple[int, ...]) -> None:
    """What Ray Tune calls with a job. What a trial says itself, such as that it diverged, is reported as failed and not
    retried: it would come about again. A step that does not fit into memory is tried again in parts."""
    number, parts = int(told[NUMBER]), search.accumulate
    course = Course(
        trial_folder(search.folder / TRIALS, number), {"study": search.name, "number": number}, rungs,
        search.checkpoint_seconds, raytune.report, int(told[REPORTED]), frozenset(search.measured),
    )  # fmt: skip
    while True:
        try:
            settings = search.train_settings(told[PARAMETERS]).model_copy(update={"accumulate": parts})
            torch.set_num_threads(settings.threads or 1)
            TrialFit(settings, course, data).run()
            return
        except LandsweepError as error:
            if not _may_fit(error, parts, int(told[PARAMETERS].get("batch_size", _MOST_PARTS))):
                raytune.report({search.metric: 0.0, "best": 0.0, "failed": str(error)})
                return
            parts *= _SMALLER
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _may_fit(error: LandsweepError, parts: int, batch: int) -> bool:
    memory = isinstance(error, TrainingError) and "memory" in error.what
    return memory and parts * _SMALLER <= min(_MOST_PARTS, batch)
