"""Schedulers to be replayed: others' by their own rules, and ours by the functions that it runs by.

Flows in: where trials come from (`benchmarks.samplers`). Flows out: which trial is run, and how far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from benchmarks.replay import Curve
from benchmarks.samplers import Sampler
from tune.schedule.rungs import Standing, State, ceiling, finalists, promotable


@dataclass
class ToTheEnd:
    """Every trial runs to its end."""

    sampler: Sampler

    def next(self) -> Curve | None:
        return self.sampler.draw()

    def report(self, curve: Curve, place: int) -> bool:
        goes_on = place + 1 < len(curve.reports) and self.goes_on(curve, place)
        self.sampler.report(curve, place)
        if not goes_on:
            self.end(curve, place)
        return goes_on

    def goes_on(self, curve: Curve, place: int) -> bool:
        """Whether a trial that is not over goes on."""
        return True

    def end(self, curve: Curve, place: int) -> None:
        """Tell the sampler."""
        value = max(each.value for each in curve.reports[: place + 1])
        self.sampler.end(curve, "failed" if curve.failed and place + 1 == len(curve.reports) else "complete", value)


@dataclass
class RayAsha(ToTheEnd):
    """Ray's ASHAScheduler with OptunaSearch: stops what is below the rung's quantile so far, and never looks again.

    As OptunaSearch does it, a trial that was stopped is COMPLETE, with its last value.
    """

    epoch: int
    total: int
    reduction: int = 3
    rungs: list[tuple[int, dict[int, float]]] = field(init=False)

    def __post_init__(self) -> None:
        count = int(math.log(self.total / self.epoch) / math.log(self.reduction) + 1)
        self.rungs = [(self.epoch * self.reduction**power, {}) for power in reversed(range(count))]

    def goes_on(self, curve: Curve, place: int) -> bool:
        report = curve.reports[place]
        for level, recorded in self.rungs:
            if report.patches < level or curve.number in recorded:
                continue
            values, recorded[curve.number] = list(recorded.values()), report.value
            return not values or report.value >= float(np.nanpercentile(values, (1 - 1 / self.reduction) * 100))
        return True

    def end(self, curve: Curve, place: int) -> None:
        self.sampler.end(curve, "complete", curve.reports[place].value)


@dataclass
class OptunaPruner(ToTheEnd):
    """Plain Optuna: its own pruner, which the sampler's study has, is asked after every report."""

    pruned: set[int] = field(default_factory=set)

    def report(self, curve: Curve, place: int) -> bool:
        self.sampler.report(curve, place)
        if place + 1 < len(curve.reports) and self.sampler.would_prune(curve):
            self.sampler.end(curve, "pruned", curve.reports[place].value)
            return False
        if place + 1 == len(curve.reports):
            self.end(curve, place)
            return False
        return True


@dataclass
class OneThenThree(ToTheEnd):
    """One epoch of every trial, then the best three to the end."""

    count: int = 3
    first: dict[int, tuple[float, Curve]] = field(default_factory=dict)
    running: int = 0
    rest: list[Curve] | None = None

    def next(self) -> Curve | None:
        found = self.sampler.draw() if self.rest is None else None
        if found is None and not self.running and self.rest is None:
            order = sorted(self.first.values(), key=lambda each: (-each[0], each[1].number))
            self.rest = [curve for _, curve in order[: self.count]]
        if found is None and self.rest:
            return self.rest.pop(0)
        self.running += found is not None
        return found

    def report(self, curve: Curve, place: int) -> bool:
        if self.rest is not None:
            return True
        self.running -= 1
        self.first[curve.number] = (curve.reports[place].value, curve)
        self.sampler.report(curve, place)
        self.sampler.end(curve, "pruned", curve.reports[place].value)
        return False


@dataclass
class Promote:
    """Ours: trials pause at rungs, the best go on, the finalists run to the end; see `tune.schedule.rungs`.

    Args:
        cost: whether a rung's places are counted in seconds, or in trials.
        early_end: whether there is a ceiling.
    """

    sampler: Sampler
    rungs: tuple[int, ...]
    reduction: int = 3
    finalists: int = 3
    cost: bool = True
    early_end: bool = True
    curves: dict[int, Curve] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)
    goal: dict[int, int] = field(default_factory=dict)

    def standings(self) -> list[Standing]:
        """All trials, as they stand."""
        return [self._standing(number) for number in self.curves]

    def _standing(self, number: int) -> Standing:
        reports = self.curves[number].reports[: self.places[number]]
        values = {each.patches: each.value for each in reports}
        seconds = {each.patches: each.seconds if self.cost else float(each.patches) for each in reports}
        return Standing(number, values, seconds, self.states[number])

    def next(self) -> Curve | None:
        standings = self.standings()
        top = ceiling(standings, self.rungs) if self.early_end else len(self.rungs) - 1
        found = promotable(standings, self.rungs, self.reduction, top)
        if found is not None:
            above = min(level for level in self.rungs if level > found.patches)
            return self._go(self.curves[found.number], above)
        drawn = self.sampler.draw()
        if drawn is not None:
            return self._go(drawn, self.rungs[0])
        for each in finalists(standings, self.finalists):
            if each.state == "paused":
                return self._go(self.curves[each.number], self.rungs[-1])
        return None

    def _go(self, curve: Curve, goal: int) -> Curve:
        number = curve.number
        self.curves[number], self.states[number], self.goal[number] = curve, "running", goal
        self.places.setdefault(number, 0)
        return curve

    def report(self, curve: Curve, place: int) -> bool:
        number = curve.number
        self.places[number] = place + 1
        self.sampler.report(curve, place)
        if place + 1 == len(curve.reports):
            self.states[number] = "failed" if curve.failed else "complete"
            self.sampler.end(curve, self.states[number], max(each.value for each in curve.reports))
            return False
        if curve.reports[place].patches < self.goal[number]:
            return True
        self.states[number] = "paused"
        self.sampler.pause(curve, place)
        return False
