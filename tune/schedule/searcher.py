"""The bridge between Ray Tune and Optuna: Tune asks for jobs and says how they ended, the study remembers trials.

Flows in: Tune's events. Flows out: jobs for its workers, and an Optuna study in which every trial has its true state.

To Tune a trial is what a worker does from start to stop. Here that is a *job*: a trial of the study from where it
stands to its next rung or its end; a trial that rests and goes on later is two jobs. So a pause, a worker's crash and a
search that was killed are all mended alike: by a job that begins at the trial's checkpoint. Nothing of Tune's own state
is needed to go on (its restore accepts truncated files in silence, and forgets the rungs of its schedulers).

Ray's `OptunaSearch` (2.60) tells a trial that a scheduler stopped as COMPLETE, tells the last value in place of the
best, and tells a failed trial's last value as if it had finished. Here the trial's own words decide: `final` marks a
run to its end, `failed` one that cannot go on; a stop without either is a pause, or with Ray's schedulers a pruning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from tune.drawing.points import next_point
from tune.schedule.next_job import Job, Rules, next_job
from tune.schedule.record import Record
from tune.schedule.sweep import surplus, sweep
from tune.space import define
from tune.study import TRIALS
from tune.trials.job import NUMBER, PARAMETERS, REPORTED, TO_END

Asked = Callable[[], bool]

_NO_WORD = "the worker ended without a word"


class StudySearcher(Searcher):  # type: ignore[misc]  # ray ships no types
    """Hands out jobs and writes down what came of them, before Tune counts them as finished.

    Args:
        record: the study that is written.
        rules: what the choice of jobs goes by.
        owed: new trials that may begin.
        closing: whether only the finalists go on.
        stopping: whether Tune ends all jobs now: their trials are then left as they are.
    """

    def __init__(
        self,
        record: Record,
        rules: Rules,
        owed: int,
        *,
        closing: Asked = lambda: False,
        stopping: Asked = lambda: False,
    ) -> None:
        super().__init__(metric=record.settings.metric, mode="max")
        self.record, self.rules, self.owed, self.closing, self.stopping = record, rules, owed, closing, stopping
        self.jobs: dict[str, int] = {}
        self.resting: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job; None where one may come later, and Tune's word for the end where none will."""
        job = self.next()
        if job is None:
            return None if self.jobs else str(Searcher.FINISHED)
        record = self.record
        if job.number is None:
            self.owed -= 1
            point = next_point(record.settings, record.study.get_trials(deepcopy=False))
            number = record.draw(define(record.settings.space), point)
        else:
            number = job.number
            record.go_on(number)
        self.jobs[trial_id] = number
        told = {NUMBER: number, PARAMETERS: record.parameters(number), TO_END: job.to_end}
        return told | {REPORTED: record.patches(number)}

    def next(self) -> Job | None:
        """What a free worker is to do."""
        return next_job(self.record.standings(), self.rules, self.owed, self.closing())

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Write a report down; one that was written is not written again."""
        curve, costs = (
            {key.removeprefix(start): each for key, each in result.items() if key.startswith(start)}
            for start in ("curve/", "costs/")
        )
        if costs:
            self.record.measured(self.jobs[trial_id], costs)
        if curve:
            self.record.report(self.jobs[trial_id], curve)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Write down how a job ended: its trial COMPLETE with its best value, FAIL with the reason, resting, or PRUNED.

        Where Tune ends all jobs, their trials are left as they are: whoever ends the search knows why.
        """
        if trial_id not in self.jobs:
            return
        result = result or {}
        self.on_trial_result(trial_id, result)
        number = self.jobs.pop(trial_id)
        if error or "failed" in result:
            self.record.end(number, "failed", reason=str(result.get("failed", _NO_WORD)))
        elif result.get("final"):
            self.record.end(number, "complete", float(result["best"]))
        elif trial_id in self.resting:
            self.record.pause(number)
        elif not self.stopping():
            self.record.end(number, "pruned")
        self._tidy()

    def _tidy(self) -> None:
        settings = self.record.settings
        for each in surplus(self.record.standings(), settings.scheduler.paused):
            self.record.end(each.number, "pruned", reason="too many others that rested did better")
        sweep(self.record.standings(), settings.folder / TRIALS, settings.keep)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is what is kept."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""

    def get_state(self) -> dict[str, Any]:
        """Nothing, likewise."""
        return {}
