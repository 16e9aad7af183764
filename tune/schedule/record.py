"""The write side of a study: every trial's true state, the moment it changes. Nothing else of a search is remembered.

Flows in: what trials report, and how their jobs end. Flows out: an Optuna study, and how its trials stand.

A trial that rests at a rung stays RUNNING in the study, with the attribute `paused`: Optuna has no state for it, and
none that a trial could come back from. Its intermediate values, which trials are promoted and pruned by, are the
metric's whatever else is an objective: they go to the storage directly, as `Trial.report` is for one objective alone.

One process writes (`tune.search` holds a lock), so what was written is also kept here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import TrialState

from tune.objectives import COSTS as OF_NETS
from tune.objectives import broken, measured, shares
from tune.schedule.rungs import Standing, State
from tune.schedule.seen_study import SeenStudy
from tune.settings import SearchSettings
from tune.study import COSTS, CURVES, FROM, PAUSED, REASON, SECONDS, is_paused

_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
    TrialState.WAITING: "failed",
}


_NET = ("model", "bands", "pretrained")


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
        self.study = SeenStudy(settings, storage, sampler)
        self._bounds, self._objectives = settings.bounds, settings.costs
        self._limits = [each for each in self._bounds if each.of in OF_NETS]  # known of a trial before its end
        self._trials: dict[int, _Kept] = {}
        for trial in storage.get_all_trials(self.study._study_id, deepcopy=False):  # as they are, not as they are seen
            if FROM not in trial.user_attrs:
                state: State = "paused" if is_paused(trial) else _STATES[trial.state]
                curves = trial.user_attrs.get(CURVES, [])
                costs = trial.user_attrs.get(COSTS, {})
                self._trials[trial.number] = _Kept(trial._trial_id, dict(trial.params), state, list(curves), costs)

    def standings(self) -> list[Standing]:
        """How all trials of this search stand."""
        return [self._standing(number, kept) for number, kept in self._trials.items()]

    def _standing(self, number: int, kept: _Kept) -> Standing:
        rows = [row for row in kept.curves if not math.isnan(row[self.settings.metric])]
        values = {int(row["patches"]): float(row[self.settings.metric]) for row in rows}
        seconds = {int(row["patches"]): float(row["seconds"]) for row in rows}
        if not kept.costs:
            return Standing(number, values, seconds, kept.state)
        costs = tuple(kept.costs[each] for each in self._objectives)
        return Standing(number, values, seconds, kept.state, broken(self._limits, kept.costs), costs)

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

    def measured(self, number: int, costs: Mapping[str, float]) -> None:
        """What a trial's net costs, whenever it is said.

        The first measurement of a net counts for all its trials: else the luckiest would seem the fastest, and be one
        that no other beats.
        """
        kept = self._trials[number]
        same = [
            each.costs for each in self._trials.values() if each.net == kept.net and costs.keys() <= each.costs.keys()
        ]
        found = same[0] if same else dict(costs)
        if kept.costs != found:
            kept.costs = found
            self.storage.set_trial_user_attr(kept.id, COSTS, kept.costs)

    def pause(self, number: int) -> None:
        """A trial rests at a rung."""
        kept = self._trials[number]
        self.storage.set_trial_user_attr(kept.id, PAUSED, True)
        kept.state = "paused"

    def end(self, number: int, state: State, value: float | None = None, reason: str = "") -> None:
        """A trial is over: complete with its best value and what its net costs, pruned, or failed with a reason."""
        kept = self._trials[number]
        if state == "complete" and not {*self._objectives} <= kept.costs.keys():
            state, value, reason = "failed", None, "it was not measured what its net costs"
        self._constrain(kept)
        self.storage.set_trial_user_attr(kept.id, SECONDS, round(self.seconds(number), 1))
        if reason:
            self.storage.set_trial_user_attr(kept.id, REASON, reason)
        told = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[state]
        values = None if value is None else [value, *(kept.costs[each] for each in self._objectives)]
        self.study.tell(number, values, state=told)
        kept.state, kept.reason = state, reason

    def _constrain(self, kept: _Kept) -> None:
        """Say how far a trial exceeds the constraints, where its net was measured; a kill may have come after that."""
        if not self._bounds:
            return
        trial = optuna.trial.Trial(self.study, kept.id)
        for name, share in shares(self._bounds, measured(kept.curves, self.settings.metric, kept.costs)).items():
            if name not in trial.constraints:
                trial.set_constraint(name, share)

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
    costs: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def net(self) -> dict[str, Any]:
        """Those of its parameters that say which net it is, whatever it learns and how."""
        return {name: each for name, each in self.parameters.items() if name.rpartition(".")[2] in _NET}
