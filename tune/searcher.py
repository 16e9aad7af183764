"""The bridge between Ray Tune and Optuna: what Tune sees happen is what the study remembers.

Flows in: Tune's events. Flows out: suggestions, and an Optuna study in which every trial has its true state.

Ray's `OptunaSearch` (2.60) tells a trial that a scheduler stopped as COMPLETE, tells the last value in place of the
best, and tells a failed trial's last value as if it had finished. Then the sampler learns from results that are not,
and nobody can count what was pruned. Here the trial's own words decide: `final` marks a run to its end, `failed` a
run that cannot go on; a stop without either is a pruning.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import Trial, TrialState
from ray.tune.search.optuna import OptunaSearch

from tune.settings import SearchSettings
from tune.space import define, first_points
from tune.study import CURVES, RAY_TRIAL, REASON, SECONDS


class StudySearcher(OptunaSearch):  # type: ignore[misc]  # ray ships no types
    """OptunaSearch whose study is the record of truth: it is told before Tune counts the trial as finished."""

    def __init__(self, settings: SearchSettings, storage: optuna.storages.BaseStorage, known: int) -> None:
        """`known`: trials the study has already; a reopened study with the same seed would repeat its draws."""
        super().__init__(
            space=define(settings.space),
            metric=settings.metric,
            mode="max",
            sampler=_sampler(settings.seed + known, settings.trials),
            study_name=settings.name,
            storage=storage,
            points_to_evaluate=None if known else first_points(settings.space),
        )

    def trial(self, trial_id: str) -> Trial:
        """The Optuna trial behind one of Tune's."""
        trial: Trial = self._ot_trials[trial_id]
        return trial

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Parameters for one of Tune's trials, by name; the study remembers whose they are."""
        parameters: dict[str, Any] | None = super().suggest(trial_id)
        self.trial(trial_id).set_user_attr(RAY_TRIAL, trial_id)
        return parameters

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record one epoch; the one with which a trial ends comes with `on_trial_complete` instead."""
        if "epoch" in result:
            self._record(self.trial(trial_id), result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study how a trial ended: COMPLETE with its best value, PRUNED, or FAIL with the reason."""
        if trial_id in self._completed_trials:
            return
        trial, result = self.trial(trial_id), result or {}
        self.on_trial_result(trial_id, result)
        trial.set_user_attr(SECONDS, round(float(result.get("time_total_s", 0.0)), 1))
        if error or "failed" in result:
            trial.set_user_attr(REASON, str(result.get("failed", "the worker ended without a word")))
            self._tell(trial, TrialState.FAIL)
        elif result.get("final"):
            self._tell(trial, TrialState.COMPLETE, float(result["best"]))
        else:
            self._tell(trial, TrialState.PRUNED)
        self._completed_trials.add(trial_id)

    def _record(self, trial: Trial, result: dict[str, Any]) -> None:
        """An epoch that comes twice (a trial that went on from a checkpoint) replaces the curve, not the value."""
        epoch, value = result["epoch"], result[self.metric]
        curves = trial.user_attrs.get(CURVES, [])
        if curves and curves[-1]["epoch"] == epoch:
            return
        curve = {key.removeprefix("curve/"): each for key, each in result.items() if key.startswith("curve/")}
        trial.set_user_attr(CURVES, [*(row for row in curves if row["epoch"] < epoch), curve])
        if not math.isnan(value) and all(row["epoch"] != epoch for row in curves):
            trial.report(value, epoch)

    def _tell(self, trial: Trial, state: TrialState, value: float | None = None) -> None:
        self._ot_study.tell(trial, value, state=state)


def _sampler(seed: int, trials: int) -> optuna.samplers.TPESampler:
    """TPE over the parameters together; trials under way count as poor, so that parallel ones spread out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # multivariate, group and constant_liar, since 2020
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=max(4, min(10, trials // 3)),
            multivariate=True,
            group=True,
            constant_liar=True,
        )
