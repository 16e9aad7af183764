"""Where a replayed search's trials come from: the table's own, in random order, or as TPE would have them.

TPE's suggestion is taken for the table's nearest trial that was not drawn yet: of the same model while there is one,
by rate, decay, batch and drop path, each over its range. Its first trials are drawn at random from the table.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import Trial, TrialState, create_trial

from benchmarks.replay import Curve
from tune.schedule.rungs import State

OTHER_MODEL = 10.0  # further than any two trials of one model
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass
class Sampler:
    """So many of the table's trials, in random order."""

    curves: Sequence[Curve]
    trials: int
    seed: int
    left: list[Curve] = field(init=False)

    def __post_init__(self) -> None:
        order = np.random.default_rng(self.seed).permutation(len(self.curves))
        self.left = [self.curves[place] for place in order]

    def draw(self) -> Curve | None:
        """The next trial, if there is to be one."""
        if len(self.curves) - len(self.left) >= min(self.trials, len(self.curves)):
            return None
        return self.left.pop(self.choose())

    def choose(self) -> int:
        """Place of the next trial among those that are left."""
        return 0

    def report(self, curve: Curve, place: int) -> None:
        """A trial has reported."""

    def pause(self, curve: Curve, place: int) -> None:
        """A trial rests after a report."""

    def end(self, curve: Curve, state: State, value: float) -> None:
        """A trial is over."""

    def would_prune(self, curve: Curve) -> bool:
        """Whether Optuna's pruner would end a trial now."""
        return False


MakeTpe = Callable[[int], optuna.samplers.TPESampler]


@dataclass
class Study(Sampler):
    """The same trials in a study of Optuna's, whose sampler may choose among them and whose pruner may end them.

    Args:
        tpe: makes the sampler for a seed; if there is none, the order is random.
        startup: trials that are drawn at random first.
        told: the sampler sees paused trials as pruned ones, with what they came to; else as running.
        pruner: see `would_prune`.
    """

    tpe: MakeTpe | None = None
    startup: int = 10
    told: bool = False
    pruner: optuna.pruners.BasePruner | None = None
    paused: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.study = optuna.create_study(direction="maximize", pruner=self.pruner or optuna.pruners.NopPruner())
        self.asked: dict[int, Trial] = {}
        self.space = _space(self.curves)

    def draw(self) -> Curve | None:
        found = super().draw()
        if found is not None:
            self.study.enqueue_trial(dict(found.parameters))
            self.asked[found.number] = self.study.ask(self.space)
        return found

    def choose(self) -> int:
        if self.tpe is None or len(self.asked) < self.startup:
            return 0
        view = optuna.create_study(direction="maximize", sampler=self.tpe(self.seed * 1000 + len(self.asked)))
        resting = {self.asked[number].number for number in self.paused} if self.told else set()
        for trial in self.study.get_trials(deepcopy=False):
            state = TrialState.PRUNED if trial.number in resting else trial.state
            value = trial.value if state is TrialState.COMPLETE else None
            steps = trial.intermediate_values
            view.add_trial(
                create_trial(
                    state=state,
                    value=value,
                    params=trial.params,
                    distributions=trial.distributions,
                    intermediate_values=steps,
                )
            )
        wanted = view.ask(self.space).params
        return min(range(len(self.left)), key=lambda place: self._distance(wanted, self.left[place].parameters))

    def _distance(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
        found = OTHER_MODEL if one["model"] != other["model"] else 0.0
        for name, distribution in self.space.items():
            if isinstance(distribution, FloatDistribution):
                scale = math.log if distribution.log else float
                span = scale(distribution.high) - scale(distribution.low)
                found += abs(scale(one[name]) - scale(other[name])) / span
        return found + abs(math.log2(one["batch_size"] / other["batch_size"])) / 2

    def report(self, curve: Curve, place: int) -> None:
        self.paused.discard(curve.number)
        self.asked[curve.number].report(curve.reports[place].value, place + 1)

    def pause(self, curve: Curve, place: int) -> None:
        self.paused.add(curve.number)

    def end(self, curve: Curve, state: State, value: float) -> None:
        self.study.tell(self.asked[curve.number], value if state == "complete" else None, state=STATES[state])

    def would_prune(self, curve: Curve) -> bool:
        return self.asked[curve.number].should_prune()


def _space(curves: Sequence[Curve]) -> dict[str, BaseDistribution]:
    """What the trials were drawn from."""
    return {
        "model": CategoricalDistribution(sorted({each.parameters["model"] for each in curves})),
        "learning_rate": FloatDistribution(2e-4, 1e-2, log=True),
        "weight_decay": FloatDistribution(1e-3, 0.2, log=True),
        "batch_size": CategoricalDistribution([16, 32, 64]),
        "drop_path": FloatDistribution(0, 0.3),
    }


def optunas(seed: int) -> optuna.samplers.TPESampler:
    """As Optuna and OptunaSearch have it by default."""
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=1)


def ours(seed: int) -> optuna.samplers.TPESampler:
    """As a search of ours has it: over the parameters together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, multivariate=True, group=True)
