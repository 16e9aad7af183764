"""What a search varies: ranges and lists, in common and of each model and each loss. Light to import.

Flows in: `space` of a search file. Flows out: one frozen `Space`, of which `tune.space` draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from models.settings import LossName
from pipelines.settings import Settings


class Range(Settings):
    """Real numbers from `low` to `high`, drawn evenly, or evenly over their logarithm; one number where they meet."""

    low: float = Field(description="smallest")
    high: float = Field(description="largest; equal to the smallest, it is held at that")
    log: bool = Field(default=False, description="drawn evenly over the logarithm")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range cannot start at {self.low:g}")
        return self

    @property
    def held(self) -> bool:
        """Whether it is one number."""
        return self.low == self.high


def _ranged(value: Any, *, log: bool) -> Any:
    """A plain number as the range that holds it; what is drawn over its logarithm otherwise is of that kind too."""
    if isinstance(value, (Range, Mapping)) or value is None:
        return value
    try:
        number = float("nan" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        raise ValueError("give a number, or a range such as {low: 0.1, high: 0.3}") from None
    return {"low": number, "high": number, "log": log and number > 0}


def _listed(value: Any) -> Any:
    """A single choice as a list of it; a list of which none is given twice."""
    choices = [value] if isinstance(value, (str, int, float)) else value
    if isinstance(choices, list) and any(each in choices[:place] for place, each in enumerate(choices)):
        raise ValueError("a choice is given twice")
    return choices


Rate = Annotated[Range, BeforeValidator(partial(_ranged, log=True))]
"""A range, or a number that is held; of what is best drawn over its logarithm."""

Amount = Annotated[Range, BeforeValidator(partial(_ranged, log=False))]
"""A range, or a number that is held."""

Names = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
Sizes = Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_listed), Field(min_length=1)]


class ModelRanges(Settings):
    """What a model has of its own, in place of what all have in common."""

    learning_rate: Rate | None = Field(default=None, description="peak learning rate")
    weight_decay: Rate | None = Field(default=None, description="decoupled weight decay")
    batch_size: Sizes | None = Field(default=None, description="batch sizes to try")
    pretrained: Names | None = Field(default=None, description='weights to start from; "": none')
    dropout: Amount | None = Field(default=None, description="before the classifier")
    drop_path: Amount | None = Field(default=None, description="chance of a patch to skip the last block")


class LossRanges(Settings):
    """Parameters of a loss to vary; see `models.settings.Loss`."""

    max_positive_weight: Rate | None = Field(default=None, description="largest weight of a class's positives")
    gamma: Amount | None = Field(default=None, description="of focal: how much less easy decisions count")
    gamma_positive: Amount | None = Field(default=None, description="of asymmetric: gamma of positives")
    gamma_negative: Amount | None = Field(default=None, description="of asymmetric: gamma of negatives")
    margin: Amount | None = Field(default=None, description="of asymmetric: negatives below are not learned from")
    smoothing: Rate | None = Field(default=None, description="of soft-f1, hybrid: added above and below the line")
    f1_share: Amount | None = Field(default=None, description="of hybrid: share of soft-f1")


OF_LOSSES: dict[str, set[str]] = {
    "bce": {"max_positive_weight"},
    "focal": {"max_positive_weight", "gamma"},
    "asymmetric": {"gamma_positive", "gamma_negative", "margin"},
    "soft-f1": {"smoothing"},
    "hybrid": {"max_positive_weight", "smoothing", "f1_share"},
}
"""Which parameters each loss has."""

_EACH = {"model": "models", "loss": "losses"}
"""Lists that a file may give as a mapping instead, of names to ranges, and where these are kept."""


class Space(Settings):
    """What is varied between trials; what is off is the search's own in every trial."""

    model: Names = Field(
        default=["landnet", "resnet18"],
        description="models to try: a list, or a mapping of each to ranges of its own (learning_rate, weight_decay, "
        "batch_size, pretrained, dropout, drop_path), which stand in place of those below",
    )
    bands: Names = Field(default=["all", "rgb-nir-swir"], description="band sets to try")
    learning_rate: Rate = Field(
        default=Range(low=5e-4, high=8e-3, log=True), description="peak learning rate: a range, or one number"
    )
    weight_decay: Rate = Field(
        default=Range(low=1e-3, high=0.2, log=True), description="decoupled weight decay: a range, or one number"
    )
    batch_size: Sizes = Field(default=[16, 32, 64], description="batch sizes to try")
    loss: Annotated[list[LossName], BeforeValidator(_listed)] = Field(
        default=[],
        description="losses to try, with the search's own parameters: a list, or a mapping of each to ranges of its "
        "parameters; none: the search's own alone",
    )
    pretrained: Names = Field(
        default=[""], description='weights to start from, for every model: hub, files, bundles; "": none'
    )
    dropout: Amount | None = Field(default=None, description="before the classifier; off if empty")
    drop_path: Amount | None = Field(default=None, description="chance of a patch to skip the last block; off if empty")
    label_smoothing: Amount | None = Field(
        default=None, description="how far labels are moved towards one half; off if empty"
    )
    augment: Amount | None = Field(
        default=None,
        description="strength of augmentation: the share, 0 to 1, of the search's rotation, erasing, jitter and mixup, "
        "or where it has none of these, of 20 degrees, 0.5, 0.1 and 0.4; off if empty",
    )
    ema: Annotated[list[float], BeforeValidator(_listed)] = Field(
        default=[], description="decays of the running mean of the weights to try, such as 0 and 0.999; none: off"
    )
    schedule: Annotated[list[Literal["cosine", "plateau"]], BeforeValidator(_listed)] = Field(
        default=[], description="schedules of the rate to try: cosine, plateau; none: off"
    )
    models: dict[str, ModelRanges] = Field(default={}, description="ranges of single models")
    losses: dict[str, LossRanges] = Field(default={}, description="ranges of single losses")

    @property
    def choices(self) -> dict[str, list[Any]]:
        """What all trials draw from lists in common, by its name; what nobody asked to vary is not drawn."""
        drawn: dict[str, list[Any]] = {"model": self.model, "bands": self.bands, "batch_size": self.batch_size}
        drawn |= {name: each for name in ("loss", "ema", "schedule") if (each := getattr(self, name))}
        return drawn | ({"pretrained": self.pretrained} if self.pretrained != [""] else {})

    def weights(self, model: str) -> list[str]:
        """What a model may start from."""
        return self.models.get(model, ModelRanges()).pretrained or self.pretrained

    def with_weights(self, change: Callable[[str], str]) -> Self:
        """The same space with every name of weights changed, such as to a whole path."""
        of_models = {
            name: own.model_copy(update={"pretrained": [*map(change, own.pretrained)]} if own.pretrained else {})
            for name, own in self.models.items()
        }
        return self.model_copy(update={"pretrained": [*map(change, self.pretrained)], "models": of_models})

    @model_validator(mode="before")
    @classmethod
    def _of_each(cls, values: Any) -> Any:
        """A mapping of names to ranges, as files have it, is their list and their ranges."""
        if not isinstance(values, Mapping):
            return values
        found = dict(values)
        for names, ranges in _EACH.items():
            if isinstance(each := found.get(names), Mapping):
                if found.get(ranges):
                    raise ValueError(f"{names} and {ranges} both have ranges of their own")
                found |= {names: list(each), ranges: {name: own for name, own in each.items() if own}}
        return found

    @model_validator(mode="after")
    def _of_those_there_are(self) -> Self:
        for names, ranges in _EACH.items():
            if strange := [name for name in getattr(self, ranges) if name not in getattr(self, names)]:
                raise ValueError(f'{ranges}: "{strange[0]}" is not one of {names}')
        for name, own in self.losses.items():
            if strange := sorted(own.model_fields_set - OF_LOSSES[name]):
                raise ValueError(f"loss {name} has no {strange[0]}; it has {', '.join(sorted(OF_LOSSES[name]))}")
        return self

    @model_serializer(mode="wrap")
    def _as_in_files(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = handler(self)
        for names, ranges in _EACH.items():
            del found[ranges]
            if each := getattr(self, ranges):
                of = {name: own.model_dump(mode="json", exclude_none=True) for name, own in each.items()}
                found[names] = {name: of.get(name, {}) for name in getattr(self, names)}
        return found
