"""What is replayed against what: schedulers with their settings, and the trials that they get.

Flows in: the table of trials. Flows out: makers of searches, by the name that tables show.
"""

from __future__ import annotations

from collections.abc import Callable

import optuna
import pandas as pd

from benchmarks.replay import Curve, Scheduler, read_curves
from benchmarks.samplers import MakeTpe, Sampler, Study, optunas, ours
from benchmarks.schedulers import OneThenThree, OptunaPruner, Promote, RayAsha, ToTheEnd
from tune.schedule.rungs import levels

REDUCTION = 3
ASHA = "Ray's ASHA"
INFORMED = f"{ASHA}, OptunaSearch"
SIMPLE = "one epoch, then the best three"
OURS = "promote"

Make = Callable[[int, int], Scheduler]
"""A search of so many trials, for a seed."""


class Bench:
    """The table of trials, and the searches over it. The grace is a third of an epoch, the default of
    `tune.settings.Scheduler`, where a name does not say otherwise."""

    def __init__(self, frame: pd.DataFrame, validation: int = 105) -> None:
        whole = frame[frame["test"].notna()]
        self.total, self.epoch = int(whole["patches"].max()), int(whole["patches"].min())
        self.grace, self.later = max(self.epoch // 3, validation // 2), min(self.total // 27, self.epoch)
        self.epochs, self.inside = read_curves(frame), read_curves(frame, self.grace)
        self.afterwards = read_curves(frame, self.later)
        self.best = max(curve.best.value for curve in self.epochs)

    def contenders(self) -> dict[str, Make]:
        """With trials in random order."""
        epochs, median = self.epochs, optuna.pruners.MedianPruner
        result: dict[str, Make] = {
            "all to the end": lambda trials, seed: ToTheEnd(Sampler(epochs, trials, seed)),
            ASHA: lambda trials, seed: self._asha(Sampler(epochs, trials, seed)),
            "Optuna's successive halving": lambda trials, seed: self._halving(trials, seed),
            "Optuna's median": lambda trials, seed: OptunaPruner(Study(epochs, trials, seed, pruner=median())),
            SIMPLE: lambda trials, seed: OneThenThree(Sampler(epochs, trials, seed)),
        }
        variants: dict[str, tuple[list[Curve], int, bool, bool]] = {
            "": (self.inside, self.grace, True, True),
            ", no ceiling": (self.inside, self.grace, True, False),
            ", places by number": (self.inside, self.grace, False, True),
            ", neither": (self.inside, self.grace, False, False),
            ", grace of an epoch": (epochs, self.epoch, True, True),
            ", grace of an epoch, neither": (epochs, self.epoch, False, False),
            ", grace of one in 27 of a trial": (self.afterwards, self.later, True, True),
            ", grace of one in 27 of a trial, neither": (self.afterwards, self.later, False, False),
        }
        return result | {f"{OURS}{name}": self._variant(*each) for name, each in variants.items()}

    def with_tpe(self) -> dict[str, Make]:
        """With trials as TPE would have them."""
        epochs, inside = self.epochs, self.inside
        return {
            "all to the end, TPE": lambda trials, seed: ToTheEnd(Study(epochs, trials, seed, optunas)),
            INFORMED: lambda trials, seed: self._asha(Study(epochs, trials, seed, optunas)),
            "Optuna's successive halving, TPE": lambda trials, seed: self._halving(trials, seed, optunas),
            f"{OURS}, TPE, paused ones running": lambda trials, seed: self._promote(
                Study(inside, trials, seed, ours, _startup(trials)), self.grace
            ),
            f"{OURS}, TPE, paused ones pruned": lambda trials, seed: self._promote(
                Study(inside, trials, seed, ours, _startup(trials), told=True), self.grace
            ),
            f"{OURS}, TPE, paused ones pruned, grace of an epoch": lambda trials, seed: self._promote(
                Study(epochs, trials, seed, ours, _startup(trials), told=True), self.epoch
            ),
        }

    def _asha(self, sampler: Sampler) -> RayAsha:
        return RayAsha(sampler, self.epoch, self.total, REDUCTION)

    def _halving(self, trials: int, seed: int, tpe: MakeTpe | None = None) -> OptunaPruner:
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
        return OptunaPruner(Study(self.epochs, trials, seed, tpe, pruner=pruner))

    def _variant(self, curves: list[Curve], grace: int, cost: bool, early_end: bool) -> Make:
        return lambda trials, seed: self._promote(Sampler(curves, trials, seed), grace, cost=cost, early_end=early_end)

    def _promote(self, sampler: Sampler, grace: int, *, cost: bool = True, early_end: bool = True) -> Promote:
        return Promote(sampler, levels(grace, REDUCTION, self.total), REDUCTION, cost=cost, early_end=early_end)


def _startup(trials: int) -> int:
    """As a search of ours has it."""
    return max(4, min(10, trials // 3))
