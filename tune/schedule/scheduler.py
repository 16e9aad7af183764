"""Pause and promote, as a scheduler of Ray Tune; and Ray's own by name.

Flows in: reports of trials. Flows out: whether their jobs go on. There is no state here: rungs are derived from the
study at each decision, so that a search that is resumed decides as if it had never been killed. Ray's ASHA starts with
empty rungs then, and it only ever stops.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import (
    ASHAScheduler,
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from tune.schedule.next_job import next_job
from tune.schedule.searcher import StudySearcher
from tune.settings import SearchSettings
from tune.trials.job import NUMBER, TO_END

if TYPE_CHECKING:
    from ray.tune.experiment import Trial


class PauseAndPromote(FIFOScheduler):  # type: ignore[misc]  # ray ships no types
    """Ends a trial's job at a rung, unless it is the very one that would go on next.

    Args:
        searcher: hands out the jobs, and writes reports down.
    """

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()
        self.searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Whether a trial goes on after a report: STOP ends its job, and lets it rest."""
        self.searcher.on_trial_result(trial.trial_id, result)
        if trial.config[TO_END] or not result.get("rung") or result.get("final") or "failed" in result:
            return str(TrialScheduler.CONTINUE)
        searcher, number = self.searcher, trial.config[NUMBER]
        standings = [
            each if each.number != number else replace(each, state="paused") for each in searcher.record.standings()
        ]
        job = next_job(standings, searcher.rules, searcher.owed, searcher.closing())
        if job is not None and job.number == number and not job.to_end:
            return str(TrialScheduler.CONTINUE)
        searcher.resting.add(trial.trial_id)
        return str(TrialScheduler.STOP)


def scheduler_of(settings: SearchSettings, searcher: StudySearcher, rungs: tuple[int, ...]) -> TrialScheduler:
    """The scheduler that a search asks for.

    Args:
        rungs: patches seen, from the lowest rung to the end of a trial.
    """
    wanted = settings.scheduler
    if wanted.name == "promote":
        return PauseAndPromote(searcher)
    if wanted.name == "fifo":
        return FIFOScheduler()
    if wanted.name == "median":
        return MedianStoppingRule(time_attr="patches", grace_period=rungs[0], min_samples_required=3)
    # One more than there are, so that the last report is the trial's own to end.
    asked = {"time_attr": "patches", "grace_period": rungs[0], "max_t": rungs[-1] + 1}
    if wanted.name == "asha":
        return ASHAScheduler(reduction_factor=wanted.reduction, **asked)
    return AsyncHyperBandScheduler(reduction_factor=wanted.reduction, brackets=3, **asked)
