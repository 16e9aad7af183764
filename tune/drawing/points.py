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

from tune.drawing.history import MOST_POINTS, earlier
from tune.drawing.prior_draws import centre, draw_from_prior
from tune.settings import SearchSettings
from tune.space import settled
from tune.study import FROM

_ASKED = "fixed_params"
"""Where Optuna keeps the point that a trial was asked to have, before it has drawn it."""


def next_point(settings: SearchSettings, known: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    """What the next trial is to have; None where the sampler draws all of it.

    Args:
        settings: of the search.
        known: all trials of its study, those of earlier ones among them.
    """
    own = [trial for trial in known if FROM not in trial.user_attrs]
    tried = [trial.params | trial.system_attrs.get(_ASKED, {}) for trial in own]
    for point, mark in _owed(settings, len(own)):
        if not any(mark.items() <= each.items() for each in tried):
            return point
    return draw_from_prior(settings, known) if settings.priors else None


def _owed(settings: SearchSettings, begun: int) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Points that every search tries, in their order, and by what of it a trial is known to be one of each.

    Args:
        settings: of the search.
        begun: trials it has; after some, no earlier study is read any more.
    """
    for given in settings.first:
        point = settled(settings.space, given)
        yield point, point
    for model in settings.space.model:
        mark = {"model": model}
        yield centre(settings, model), mark
    if settings.earlier and begun <= len(settings.first) + len(settings.space.model) + MOST_POINTS * settings.trials:
        for point in earlier(settings).points:
            yield point, point
