"""The search space in Optuna's define-by-run form.

Flows in: `Space`. Flows out: its parameters, each with the condition under which a trial has it, and a function that
asks an Optuna trial for one set of them (a `FixedTrial` will do to try it).

What a model or a loss has of its own is called after it, `landnet.drop_path`, and drawn only in trials that have it:
the space is a tree, and no number is drawn that means nothing. A number that is held is drawn too, from a range of
one: so it stands in the study and its tables, and may be held from some trial on.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import BaseTrial

from tune.ranges import ModelRanges, Range, Space

AUGMENT, LOSS_PREFIX = "augment", "loss."


@dataclass(frozen=True)
class Parameter:
    """One thing that is drawn.

    Args:
        name: what the study calls it.
        sets: the setting of a training run that it is, such as `drop_path` or `loss.gamma`.
        distribution: what it is drawn from.
        where: another parameter and those of its values with which a trial has this one; None: every trial has it.
    """

    name: str
    sets: str
    distribution: BaseDistribution
    where: tuple[str, Container[Any]] | None = None

    def among(self, drawn: Mapping[str, Any]) -> bool:
        """Whether a trial with these parameters, which come before it, has this one."""
        return self.where is None or drawn.get(self.where[0]) in self.where[1]

    def holds(self, value: Any) -> bool:
        """Whether it can have this value."""
        if isinstance(self.distribution, FloatDistribution):
            return isinstance(value, (int, float)) and self.distribution.low <= value <= self.distribution.high
        assert isinstance(self.distribution, CategoricalDistribution)
        return value in self.distribution.choices

    @property
    def open(self) -> bool:
        """Whether it has more than one value."""
        return not self.distribution.single()


def parameters(space: Space) -> Iterator[Parameter]:
    """Every parameter of a space, those that others depend on before them."""
    yield _choice("model", space.model)
    yield _choice("bands", space.bands)
    yield from _by_model(space, "batch_size", space.batch_size)
    if space.loss:
        yield _choice("loss", space.loss)
    yield from _by_model(space, "pretrained", space.pretrained if space.pretrained != [""] else None)
    for name in ("ema", "schedule"):
        if choices := getattr(space, name):
            yield _choice(name, choices)
    for name in ("learning_rate", "weight_decay", "dropout", "drop_path"):
        yield from _by_model(space, name, getattr(space, name))
    if space.label_smoothing is not None:
        yield Parameter("label_smoothing", f"{LOSS_PREFIX}label_smoothing", _distribution(space.label_smoothing))
    if space.augment is not None:
        yield Parameter(AUGMENT, AUGMENT, _distribution(space.augment))
    for loss, own in space.losses.items():
        for name, allowed in own:
            if allowed is not None:
                where = ("loss", (loss,))
                yield Parameter(f"{loss}.{name}", LOSS_PREFIX + name, _distribution(allowed), where)


def define(space: Space) -> Callable[[BaseTrial], None]:
    """A function that makes an Optuna trial draw every parameter of the space, by name. Can be pickled."""
    return partial(_draw, space)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """What every parameter of the space is drawn from, by name, whichever trials have it."""
    return {each.name: each.distribution for each in parameters(space)}


def settled(space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
    """A point as the study has it: what its model or loss has of its own may be said without their names.

    Raises:
        ValueError: it has a parameter that the space has not, or not with the others it has; or a value outside.
    """
    found: dict[str, Any] = {}
    rest = dict(point)
    for each in parameters(space):
        name = next((name for name in (each.name, each.name.rpartition(".")[2]) if name in rest), None)
        if name is not None and each.among(found):
            found[each.name] = _within(each, rest.pop(name))
    if rest:
        raise ValueError(f"first: a point has {next(iter(rest))}, which is not drawn with the rest of it")
    return found


def _within(each: Parameter, value: Any) -> Any:
    if isinstance(each.distribution, FloatDistribution) and isinstance(value, str):
        with suppress(ValueError):
            value = float(value)  # 1e-3, which YAML takes for text
    if isinstance(value, bool) or not each.holds(value):
        shown = f"{value:g}" if isinstance(value, float) else value
        raise ValueError(f"first: a point has {each.name} {shown}, which is outside of the space")
    return value


def mostly_numbers(space: Space) -> None:
    """A Gaussian process sees what every trial has, and a choice as no more than equal or not.

    Raises:
        ValueError: there is too little for it to see.
    """
    all_in_common(space, "gp")
    drawn = [each for each in parameters(space) if each.open]
    numbers = [each.name for each in drawn if isinstance(each.distribution, FloatDistribution)]
    lists = [each.name for each in drawn if each.name not in numbers]
    if len(numbers) < max(2, len(lists)):
        raise ValueError(
            f"sampler: gp is for numbers; {', '.join(numbers) or 'none'} are drawn beside "
            f"{', '.join(lists) or 'no'} choices: hold some of these, or take tpe"
        )


def all_in_common(space: Space, sampler: str) -> None:
    """What a Gaussian process, or evolution, does not see it draws at random for ever.

    Raises:
        ValueError: there is something that only some trials have.
    """
    partly = [each.name for each in parameters(space) if each.open and each.where]
    if partly:
        raise ValueError(
            f"sampler: {sampler} sees only what every trial has, and {', '.join(partly)} are of some trials; take tpe"
        )


def _draw(space: Space, trial: BaseTrial) -> None:
    drawn: dict[str, Any] = {}
    for each in parameters(space):
        if not each.among(drawn):
            continue
        match each.distribution:
            case CategoricalDistribution(choices=choices):
                drawn[each.name] = trial.suggest_categorical(each.name, choices)
            case FloatDistribution(low=low, high=high, log=log):
                drawn[each.name] = trial.suggest_float(each.name, low, high, log=log)


def _by_model(space: Space, field: str, common: Range | Sequence[Any] | None) -> Iterator[Parameter]:
    """A setting in common for the models that have none of their own, and that of each which has."""
    own = {name: getattr(space.models.get(name, ModelRanges()), field) for name in space.model}
    rest = tuple(name for name, allowed in own.items() if allowed is None)
    if common is not None and rest:
        where = None if len(rest) == len(own) else ("model", rest)
        yield Parameter(field, field, _distribution(common), where)
    for name, allowed in own.items():
        if allowed is not None:
            yield Parameter(f"{name}.{field}", field, _distribution(allowed), ("model", (name,)))


def _choice(name: str, choices: Sequence[Any]) -> Parameter:
    return Parameter(name, name, CategoricalDistribution(choices))


def _distribution(allowed: Range | Sequence[Any]) -> BaseDistribution:
    if isinstance(allowed, Range):
        return FloatDistribution(allowed.low, allowed.high, log=allowed.log)
    return CategoricalDistribution(allowed)
