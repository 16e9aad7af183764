"""The write side of a study: every trial's true state, the moment it changes. Nothing else of a search is remembered.

Flows in: what trials report, and how their jobs end. Flows out: an Optuna study, and how its trials stand.

A trial that rests at a rung stays RUNNING in the study, with the attribute `paused`: Optuna has no state for it, and
none that a trial could come back from. To the sampler it is shown as pruned where it rests, for else its result would
count as none, and as a poor one besides.

One process writes (`tune.search` holds a lock), so what was written is also kept here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tune.schedule.rungs import Standing, State
from tune.settings import SearchSettings
from tune.study import CURVES, FROM, PAUSED, REASON, SECONDS

_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
    TrialState.WAITING: "failed",
}


class SeenStudy(optuna.study.Study):
    """A study as its sampler sees it: a trial that rests is pruned where it rests."""

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        found = [_as_seen(each) for each in super()._get_trials(deepcopy=deepcopy, use_cache=use_cache)]
        return [each for each in found if states is None or each.state in states]


def _as_seen(trial: FrozenTrial) -> FrozenTrial:
    if trial.state != TrialState.RUNNING or not trial.user_attrs.get(PAUSED):
        return trial
    seen = copy.copy(trial)
    seen.state = TrialState.PRUNED
    return seen


class Record:
    """A study that is being written.

    Args:
        settings: the search.
        storage: where the study is; it exists.
        sampler: what draws.
    """

    def __init__(
        self, settings: SearchSettings, storage: optuna.storages.BaseStorage, sampler: optuna.samplers.BaseSampler
    ) -> None:
        self.settings, self.storage = settings, storage
        self.study = SeenStudy(settings.name, storage, sampler=sampler)
        self._trials: dict[int, _Kept] = {}
        for trial in storage.get_all_trials(self.study._study_id, deepcopy=False):  # as they are, not as they are seen
            if FROM not in trial.user_attrs:
                state: State = "paused" if _paused(trial) else _STATES[trial.state]
                curves = trial.user_attrs.get(CURVES, [])
                self._trials[trial.number] = _Kept(trial._trial_id, dict(trial.params), state, list(curves))

    def standings(self) -> list[Standing]:
        """How all trials of this search stand."""
        return [each.standing(number, self.settings.metric) for number, each in self._trials.items()]

    def state(self, number: int) -> State:
        """Of a trial."""
        return self._trials[number].state

    def reason(self, number: int) -> str:
        """Why a trial ended early; empty where it did not."""
        return self._trials[number].reason

    def parameters(self, number: int) -> dict[str, Any]:
        """Of a trial, by name."""
        return self._trials[number].parameters

    def patches(self, number: int) -> int:
        """That a trial had seen at its last report; 0 before the first."""
        curves = self._trials[number].curves
        return int(curves[-1]["patches"]) if curves else 0

    def seconds(self, number: int) -> float:
        """What a trial has cost so far."""
        curves = self._trials[number].curves
        return float(curves[-1]["seconds"]) if curves else 0.0

    def draw(self, define: Callable[[optuna.trial.Trial], None], point: Mapping[str, Any] | None) -> int:
        """Begin a new trial and return its number.

        Args:
            define: asks for every parameter.
            point: values that are given; what is not among them is drawn.
        """
        if point is not None:
            self.study.enqueue_trial(dict(point))
        trial = self.study.ask()
        define(trial)
        self._trials[trial.number] = _Kept(trial._trial_id, dict(trial.params), "running", [])
        return trial.number

    def go_on(self, number: int) -> None:
        """A trial that rested, or was interrupted, runs again."""
        kept = self._trials[number]
        if kept.state == "paused":
            self.storage.set_trial_user_attr(kept.id, PAUSED, False)
        kept.state = "running"

    def report(self, number: int, curve: Mapping[str, Any]) -> None:
        """One report of a trial, with `patches`, `seconds` and the metric among its values. One that comes again, from
        a trial that went on from a checkpoint, replaces what followed it."""
        kept = self._trials[number]
        patches, value = int(curve["patches"]), float(curve[self.settings.metric])
        if kept.curves and kept.curves[-1]["patches"] == patches:
            return
        known = any(row["patches"] == patches for row in kept.curves)
        kept.curves = [*(row for row in kept.curves if row["patches"] < patches), dict(curve)]
        self.storage.set_trial_user_attr(kept.id, CURVES, kept.curves)
        if not known and not math.isnan(value):
            self.storage.set_trial_intermediate_value(kept.id, patches, value)

    def pause(self, number: int) -> None:
        """A trial rests at a rung."""
        kept = self._trials[number]
        self.storage.set_trial_user_attr(kept.id, PAUSED, True)
        kept.state = "paused"

    def end(self, number: int, state: State, value: float | None = None, reason: str = "") -> None:
        """A trial is over: complete with its best value, pruned, or failed with a reason."""
        kept = self._trials[number]
        self.storage.set_trial_user_attr(kept.id, SECONDS, round(self.seconds(number), 1))
        if reason:
            self.storage.set_trial_user_attr(kept.id, REASON, reason)
        told = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[state]
        self.study.tell(number, value, state=told)
        kept.state, kept.reason = state, reason

    def close(self, reason: str = "") -> None:
        """End what nobody will go on with: trials that rest, or were under way when the time was over.

        Args:
            reason: why all ended, if not because others did better.
        """
        for number, kept in self._trials.items():
            if kept.state == "paused":
                behind = f"others did better at {kept.curves[-1]['patches']} patches"
                self.end(number, "pruned", reason=reason or behind)
            elif kept.state in ("running", "interrupted"):
                self.end(number, "pruned" if kept.curves else "failed", reason=reason)


@dataclass
class _Kept:
    """What is kept of a trial beside the study."""

    id: int
    parameters: dict[str, Any]
    state: State
    curves: list[dict[str, Any]]
    reason: str = ""

    def standing(self, number: int, metric: str) -> Standing:
        rows = [row for row in self.curves if not math.isnan(row[metric])]
        values = {int(row["patches"]): float(row[metric]) for row in rows}
        seconds = {int(row["patches"]): float(row["seconds"]) for row in rows}
        return Standing(number, values, seconds, self.state)


def _paused(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.RUNNING and bool(trial.user_attrs.get(PAUSED))
