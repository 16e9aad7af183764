"""What a search is to make better, beside quality: how long a net takes, and how large it is. Light to import.

Flows in: goals and bounds as a file has them; a net, a bundle's folder. Flows out: validated goals, and numbers.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, field_validator, model_validator

from models.metric_keys import METRICS, Goal
from pipelines.settings import Settings

if TYPE_CHECKING:
    from torch import nn

COSTS: dict[str, dict[str, float]] = {
    "latency": {"ms": 1, "s": 1000},
    "parameters": {"": 1, "k": 1e3, "M": 1e6},
    "size": {"kB": 1e3, "MB": 1e6, "GB": 1e9},
}
"""What is better when less, and its units: the first is one; of a size, bytes are."""

PASSES = 15
"""Forward passes whose median is the latency."""

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
        description="a metric, and what else is to be good: latency (one patch, as it is served), parameters, size (of "
        "the bundle); the search's metric alone if none is given",
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
        if self.objectives and len(quality) != 1:
            raise ValueError("objectives: one of them is a metric, by which trials are pruned; the others are costs")
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


def directions(objectives: list[str]) -> list[str]:
    """Optuna's direction of each: costs are to be low."""
    return ["minimize" if each in COSTS else "maximize" for each in objectives]


def parameter_count(net: nn.Module) -> int:
    """Numbers that the net has learnt, whether or not it goes on to."""
    return sum(each.numel() for each in net.parameters())


def bundle_bytes(folder: Path) -> int:
    """Bytes of a bundle's files, all that has to be carried to where it is served."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def latency_ms(
    net: nn.Module, channels: int, side: int, passes: int = PASSES, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Milliseconds of a forward pass of one patch, as the endpoint makes it; the median of several.

    The net is left as it was, in its own memory format and mode. It runs where it is, with the threads there are.

    Args:
        net: takes float32 (1, channels, side, side).
        channels, side: of its patches.
        passes: so many are timed, after two that are not.
        clock: in seconds.
    """
    import copy

    import torch

    # A copy: serving's memory format would change the order of sums in the training that goes on.
    served = copy.deepcopy(net).eval().to(memory_format=torch.channels_last)
    device = next((each.device for each in served.parameters()), torch.device("cpu"))
    images = torch.zeros(1, channels, side, side, device=device)
    taken = []
    with torch.inference_mode():
        for _ in range(passes + 2):
            start = clock()
            torch.sigmoid(served(images)).cpu()  # waits for a GPU, as an answer does
            taken.append(1000 * (clock() - start))
    return statistics.median(taken[2:])
