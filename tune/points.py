"""The point that a search's next trial is to have, where that is not the sampler's to choose.

Flows in: search settings, and the trials that the study has. Flows out: parameters by name, some or all of them, or
none. In this order: the points that the user lists; one trial a model; what did well in earlier studies; then, now and
then, a draw from what suits a model's family.

Nothing is remembered but the trials, so a search that is gone on with asks for what is still owed, and a model that was
added has its trial.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from models.nets.priors import prior_of
from tune.settings import SearchSettings
from tune.space import Parameter, parameters, settled

FROM = "from"
"""Attribute of a trial that another study had: whose it was."""

_ASKED = "fixed_params"
"""Where Optuna keeps the point that a trial was asked to have, before it has drawn it."""


def next_point(settings: SearchSettings, known: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    """What the next trial is to have; None where the sampler draws all of it.

    Args:
        settings: of the search.
        known: all trials of its study, those of earlier ones among them.
    """
    tried = [trial.params | trial.system_attrs.get(_ASKED, {}) for trial in known if FROM not in trial.user_attrs]
    for point, mark in _owed(settings):
        if not any(mark.items() <= each.items() for each in tried):
            return point
    return None


def _owed(settings: SearchSettings) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Points that every search tries, in their order, and by what of it a trial is known to be one of each."""
    for given in settings.first:
        point = settled(settings.space, given)
        yield point, point
    for model in settings.space.model:
        mark = {"model": model}
        yield centre(settings, model), mark


def centre(settings: SearchSettings, model: str) -> dict[str, Any]:
    """A model on the first band set, at what suits its family as far as the space has it; the rest is drawn."""
    point = {"model": model, "bands": settings.space.bands[0]}
    if settings.priors:
        prior = prior_of(model)
        for each in of_model(settings, model):
            bell = getattr(prior, each.sets, None)
            low, high = each.distribution.low, each.distribution.high  # type: ignore[attr-defined]
            if bell and low <= bell.centre <= high:
                point[each.name] = bell.centre
    return point


def of_model(settings: SearchSettings, model: str) -> list[Parameter]:
    """What a trial of a model draws of that for which families have priors."""
    names = ("learning_rate", "weight_decay", "drop_path")
    return [
        each
        for each in parameters(settings.space)
        if each.sets in names and each.open and (each.where is None or model in each.where[1])
    ]
