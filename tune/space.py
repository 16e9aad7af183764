"""The search space in Optuna's define-by-run form.

Flows in: `Space`. Flows out: a function that asks an Optuna trial for one set of parameters (a `FixedTrial` will do
to try it), and the points that a fresh study starts from.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import BaseTrial

from tune.settings import Range, Space


def define(space: Space) -> Callable[[BaseTrial], None]:
    """A function that makes an Optuna trial draw every parameter of the space, by name. Can be pickled."""
    return partial(_draw, space)


def _draw(space: Space, trial: BaseTrial) -> None:
    for name, choices in space.choices.items():
        trial.suggest_categorical(name, choices)
    for name in ("learning_rate", "weight_decay"):
        allowed: Range = getattr(space, name)
        trial.suggest_float(name, allowed.low, allowed.high, log=allowed.log)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """What every parameter of the space is drawn from, by name."""
    found: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(choices) for name, choices in space.choices.items()
    }
    for name in ("learning_rate", "weight_decay"):
        allowed: Range = getattr(space, name)
        found[name] = FloatDistribution(allowed.low, allowed.high, log=allowed.log)
    return found


def first_points(space: Space) -> list[dict[str, Any]]:
    """One trial a model on the first band set, so that a short search has seen them all; the rest is drawn."""
    return [{"model": model, "bands": space.bands[0]} for model in space.model]
