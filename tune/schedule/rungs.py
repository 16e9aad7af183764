"""Who may go on: rungs, promotion by cost, and when the order of trials has settled. Pure: no Ray, no Optuna, no clock.

Flows in: how far each trial has come, with what value, at what cost. Flows out: rungs in patches seen, the paused trial
that goes on next, the highest rung that is worth running to, and the trials to finish.

Pause and promote is asynchronous successive halving as its paper has it (ASHA, Li et al. 2020, arXiv 1810.05934): a
trial rests at a rung, and the best of a rung go on as others arrive. Two things differ. A rung lets as many of its
best go on as have cost one in `reduction` of its seconds, so that a dear net does not count as a cheap one. And no
trial goes beyond the rung at which the order of the last two agrees within the noise of the curves (PASHA, Bohdal et
al. 2023, arXiv 2207.06940): what is left to find out there, the finalists tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from tune.objectives import unbeaten

State = Literal["running", "paused", "interrupted", "complete", "failed", "pruned"]

_CLOCK = 0.1  # of a trial's own seconds: clocks are not exact enough for three equal trials to cost a third each
_NOISE = 90  # percentile of the differences of pairs that cross and cross back, as PASHA's authors chose


@dataclass(frozen=True)
class Standing:
    """How far a trial has come.

    Args:
        values: the metric, higher is better, by patches seen.
        seconds: what it had cost by then, by patches seen; the same keys.
        broken: by how much it exceeds what its net may cost; 0 where it does not, or nothing is said of that.
        costs: what is to be low beside the metric being high; none where nothing is, or before it was measured.
    """

    number: int
    values: Mapping[int, float]
    seconds: Mapping[int, float]
    state: State
    broken: float = 0.0
    costs: tuple[float, ...] = ()

    @property
    def patches(self) -> int:
        """Patches seen at its last report; 0 before the first."""
        return max(self.values, default=0)

    def reached(self, level: int) -> bool:
        """Whether it has a value at this rung."""
        return self.patches >= level

    def best(self, level: float = math.inf) -> float:
        """Its best value up to a rung's first report, which is what it would be kept with; −∞ before any."""
        end = min((step for step in self.values if step >= level), default=level)
        return max((value for step, value in self.values.items() if step <= end), default=-math.inf)

    def cost(self, level: int) -> float:
        """Seconds it took to this rung, which it has reached."""
        return self.seconds[min(step for step in self.seconds if step >= level)]


def levels(grace: int, reduction: int, total: int) -> tuple[int, ...]:
    """Rungs in patches seen, lowest first; the last one is the end of a trial.

    A rung so near the end that a trial on it might as well end is none.

    Args:
        grace: patches of the lowest.
        reduction: each has so many times the patches of the one below.
        total: patches of a whole trial.
    """
    found = []
    while grace * math.sqrt(reduction) <= total:
        found.append(grace)
        grace *= reduction
    return (*found, total)


def promotable(standings: Iterable[Standing], rungs: Sequence[int], reduction: int, top: int) -> Standing | None:
    """The paused trial that goes on next: the best of the highest rung whose best may; None where nobody may.

    Args:
        rungs: as `levels` gives them.
        top: index of the highest rung that anyone goes to, see `ceiling`.
    """
    usable = [each for each in standings if each.state != "failed"]
    for place in range(min(top, len(rungs) - 1) - 1, -1, -1):
        there = sorted(_at(usable, rungs[place]), key=lambda each: _order(each, rungs[place]))
        allowed = sum(each.cost(rungs[place]) for each in there) / reduction
        spent = 0.0
        for each in there:
            cost = each.cost(rungs[place])
            spent += cost
            if spent - _CLOCK * cost > allowed:
                break
            if each.state == "paused" and not each.reached(rungs[place + 1]):
                return each
    return None


def ceiling(standings: Iterable[Standing], rungs: Sequence[int]) -> int:
    """Index of the highest rung that is worth running to: one above the first two whose order agrees.

    It starts at the second, and rises while trials stand otherwise on the highest two rungs so far than noise explains.
    """
    usable = [each for each in standings if each.state != "failed"]
    top = min(1, len(rungs) - 1)
    while top < len(rungs) - 1:
        there = _at(usable, rungs[top])
        if len(there) < 2 or agree(there, rungs[top - 1], rungs[top]):
            return top
        top += 1
    return top


def agree(there: Sequence[Standing], below: int, level: int) -> bool:
    """Whether trials stand on a rung as on the one below, but for places that noise may have exchanged."""
    margin = noise(there, level)
    return all(
        (first.best(below) - second.best(below)) * (first.best(level) - second.best(level)) >= 0
        or abs(first.best(below) - second.best(below)) <= margin
        for first, second in combinations(there, 2)
    )


def noise(there: Sequence[Standing], level: int) -> float:
    """How far apart curves are that cross and cross back, which a difference has to exceed to say something; else 0."""
    found: list[float] = []
    for first, second in combinations(there, 2):
        steps = [step for step in sorted(first.values.keys() & second.values.keys()) if step <= level]
        gaps = [first.values[step] - second.values[step] for step in steps]
        turns = [place for place in range(1, len(gaps)) if gaps[place] * gaps[place - 1] < 0]
        if len(turns) > 1:
            found.append(max(abs(gap) for gap in gaps[turns[0] : turns[-1] + 1]))
    return float(np.percentile(found, _NOISE)) if found else 0.0


def finalists(standings: Iterable[Standing], count: int) -> list[Standing]:
    """The best so many of all that have a value, best first.

    With costs beside quality, those that no other beats in everything come before the rest: they are to be the Pareto
    set. Within each it goes by quality, and a net that costs more than it may is behind all that do not.
    """
    usable = [each for each in standings if each.state != "failed" and each.values]
    fair = [each for each in usable if not each.broken]
    unknown = (math.inf,) * max((len(each.costs) for each in fair), default=0)
    points = [(each.best(), *(-cost for cost in each.costs or unknown)) for each in fair]
    first = {each.number for each, found in zip(fair, unbeaten(points) if unknown else (), strict=False) if found}
    return sorted(usable, key=lambda each: (each.broken, each.number not in first, *_order(each)[1:]))[:count]


def _order(each: Standing, level: float = math.inf) -> tuple[float, float, int]:
    """What a net costs beyond what it may, then quality, then who came first."""
    return each.broken, -each.best(level), each.number


def _at(standings: Iterable[Standing], level: int) -> list[Standing]:
    return [each for each in standings if each.reached(level)]
