"""What a search is to make better, beside quality: how long a net takes, and how large it is. Light to import.

Flows in: goals and bounds as a file has them, and what was measured of trials. Flows out: validated goals, how far
bounds are broken, and which trials no other beats.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from models.metric_keys import METRICS, Goal
from pipelines.settings import Settings

COSTS: dict[str, dict[str, float]] = {
    "latency": {"ms": 1, "s": 1000},
    "parameters": {"": 1, "k": 1e3, "M": 1e6},
    "size": {"kB": 1e3, "MB": 1e6, "GB": 1e9},
}
"""What is better when less, and its units: the first is one; of a size, bytes are."""

_BOUND = re.compile(r"\s*([a-z0-9_]+)\s*(<=|>=)\s*(\d+(?:\.\d+)?(?:e-?\d+)?)\s*([A-Za-z]*)\s*")


class Bound(Settings):
    """A constraint: a number that is to be at most, or at least, so much.

    Args:
        of: a metric or a cost.
        most: whether it may not be more; else it may not be less.
        value: metrics as they are, latency in milliseconds, size in bytes.
    """

    of: str
    most: bool
    value: float

    def violation(self, measured: Mapping[str, float]) -> float:
        """By how much it is broken, 0 or less where it holds, as Optuna has constraints."""
        above = measured[self.of] - self.value
        return above if self.most else -above


def bound(text: str) -> Bound:
    """A constraint as it is written, such as `latency <= 20 ms`, `parameters <= 2 M` or `ap_macro >= 0.6`.

    Raises:
        ValueError: it cannot be read, or bounds a number from its good side.
    """
    found = _BOUND.fullmatch(text)
    if not found:
        raise ValueError(f'"{text}" is no constraint: write such as latency <= 20 ms, or ap_macro >= 0.6')
    of, sign, number, unit = found.groups()
    metric = METRICS.get(of)
    if of not in COSTS and not (metric and metric.goal):
        raise ValueError(f'constraint on "{of}", which is neither a goal nor one of {", ".join(COSTS)}')
    if (sign == "<=") is not (of in COSTS):
        raise ValueError(f'"{text}" bounds {of} from its good side')
    units = COSTS.get(of, {"": 1.0})
    if unit not in units:
        raise ValueError(f'"{text}": {of} is in {" or ".join(filter(None, units)) or "no unit"}')
    return Bound(of=of, most=sign == "<=", value=float(number) * units[unit])


class Goals(Settings):
    """What is searched for: a metric, beside it costs to be low, and what may not be exceeded."""

    objectives: list[Goal | Literal["latency", "parameters", "size"]] = Field(
        default=[],
        description="the metric, then what is to be low: latency (of one patch), parameters, size; none: metric alone",
    )
    constraints: list[str] = Field(
        default=[], description="bounds such as latency <= 20 ms, parameters <= 2 M, size <= 10 MB, ap_macro >= 0.6"
    )

    @field_validator("constraints")
    @classmethod
    def _can_be_read(cls, texts: list[str]) -> list[str]:
        bounds = [bound(text) for text in texts]
        if len({each.of for each in bounds}) < len(bounds):
            raise ValueError("a number is bounded twice")
        return texts

    @model_validator(mode="after")
    def _one_is_quality(self) -> Self:
        """Trials are pruned on quality, which has to be one number."""
        quality = [each for each in self.objectives if each not in COSTS]
        if self.objectives and quality != self.objectives[:1]:
            raise ValueError("objectives: the first is a metric, by which trials are pruned; the others are costs")
        if len({*self.objectives}) < len(self.objectives):
            raise ValueError("objectives: one is given twice")
        return self

    @property
    def bounds(self) -> list[Bound]:
        """The constraints, read."""
        return [bound(text) for text in self.constraints]

    @property
    def measured(self) -> set[str]:
        """Costs that have to be measured of each trial."""
        return ({*self.objectives} | {each.of for each in self.bounds}) & COSTS.keys()

    @property
    def costs(self) -> list[str]:
        """Objectives beside the metric; none where there is one objective."""
        return [*self.objectives[1:]]


def directions(objectives: Iterable[str]) -> list[Literal["minimize", "maximize"]]:
    """Optuna's direction of each: costs are to be low."""
    return ["minimize" if each in COSTS else "maximize" for each in objectives]


def measured(
    curves: Sequence[Mapping[str, float]], metric: str, costs: Mapping[str, float] | None = None
) -> dict[str, float]:
    """All metrics of the report with the best value of one, and costs beside them."""
    known = [row for row in curves if not math.isnan(row.get(metric, math.nan))]
    return {**max(known, key=lambda row: row[metric], default={}), **(costs or {})}


def shares(bounds: Iterable[Bound], measured: Mapping[str, float]) -> dict[str, float]:
    """By what share of its value each bound is exceeded, 0 or less where it holds; of those that were measured."""
    return {each.of: each.violation(measured) / (each.value or 1.0) for each in bounds if each.of in measured}


def broken(bounds: Sequence[Bound], measured: Mapping[str, float]) -> float:
    """The shares of the bounds that are exceeded, together: 0 where all hold, ∞ where one was not measured."""
    known = shares(bounds, measured)
    return sum(max(0.0, known.get(each.of, math.inf)) for each in bounds)


def unbeaten(points: Sequence[Sequence[float]]) -> list[bool]:
    """Of each point, whether no other is as good in everything and better in something: the Pareto set.

    Args:
        points: numbers that are better when higher, as many each.
    """
    import numpy as np

    there = np.array(points, dtype=float)
    return [not ((there >= each).all(axis=1) & (there > each).any(axis=1)).any() for each in there]


def columns(costs: Mapping[str, float]) -> dict[str, float]:
    """What was measured as tables have it, under names that say the unit; what is counted is whole."""
    names = {"latency": "latency_ms", "parameters": "parameter_count", "size": "size_bytes"}
    return {name: costs[of] if of == "latency" else int(costs[of]) for of, name in names.items() if of in costs}


def said(of: str, value: float) -> str:
    """A measured number in the largest unit of its cost that leaves it at 1 or more; a metric in three digits."""
    if of not in COSTS:
        return f"{of} {value:.3f}"
    units = COSTS[of]
    unit = ([each for each, one in units.items() if one <= value] or [*units][:1])[-1]
    return f"{of} {value / units[unit]:.3g} {unit}".rstrip()
