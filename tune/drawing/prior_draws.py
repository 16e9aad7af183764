"""Draws from what suits a model's family, fewer as results come in.

Flows in: search settings, the trials so far. Flows out: a model, and its rate, decay and drop path; or nothing, where
the sampler is to draw.

The scheme is that of PriorBand (Mallik et al. 2023, arXiv 2306.12370). One draw in two is from the prior at first. Once
there are results, that half is shared between the prior and the best trial, by how likely each makes the top third of
them, so that a prior which misleads is soon left. What PriorBand draws evenly, or around the best trial, is the
sampler's here; and as that learns, beside all this the chance falls with the number of results.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from models.nets.priors import Bell, prior_of
from tune.settings import SearchSettings
from tune.space import parameters
from tune.study import reached

HALVED = 10
"""Results after which half as many draws are from the prior, all else equal."""

TOP = 3
"""One in so many results is among the top."""

AROUND = 0.25
"""How far the best trial's neighbourhood reaches: one standard deviation, as a share of a range."""

_BELIEVED = ("learning_rate", "weight_decay", "drop_path")


def centre(settings: SearchSettings, model: str) -> dict[str, Any]:
    """A model on the first band set, at what suits its family as far as the space has it; the rest is drawn."""
    sides = _sides(settings, model).items() if settings.priors else ()
    suits = {name: each.bell.centre for name, each in sides if each.low <= each.bell.centre <= each.high}
    return {"model": model, "bands": settings.space.bands[0], **suits}


def draw_from_prior(settings: SearchSettings, known: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    """A draw, of a model that is the likelier, the more of the top results it has; None where the sampler is to draw.

    Args:
        settings: of the search, whose seed and the number of trials say what is drawn.
        known: all trials of its study.
    """
    rng = random.Random(settings.seed + len(known))  # noqa: S311  nothing is kept secret by it
    results = results_of(known)
    if rng.random() >= weight(settings, results):
        return None
    models = [each["model"] for each in results[: len(results) // TOP]]
    model = rng.choices(settings.space.model, [1 + models.count(each) for each in settings.space.model])[0]
    drawn = {name: side.draw(rng) for name, side in _sides(settings, model).items()}
    point = {name: value for name, value in drawn.items() if value is not None}
    return {"model": model, **point} if point else None


def results_of(known: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """Parameters of the trials that have come to something, best first."""
    found = []
    for trial in known:
        value = reached(trial)
        if value is not None and trial.state != TrialState.FAIL:
            found.append((-value, trial.number, trial.params))
    return [parameters for _, _, parameters in sorted(found, key=lambda each: each[:2])]


def weight(settings: SearchSettings, results: Sequence[Mapping[str, Any]]) -> float:
    """The chance of a draw from the prior, by the results so far, best first."""
    prior = best = 0.0
    top = results[: len(results) // TOP]
    for place, trial in enumerate(top):
        prior += (len(top) - place) * _by_prior(settings, trial)
        best += (len(top) - place) * _by_best(settings, trial, results[0])
    share = prior / (prior + best) if prior + best else 1.0
    return 0.5 * share * HALVED / (HALVED + len(results))


def _by_prior(settings: SearchSettings, trial: Mapping[str, Any]) -> float:
    """How likely the prior makes a trial: any model is as likely, the rest against even draws."""
    sides = _sides(settings, trial["model"])
    chances = [side.likelihood(trial[name], side.prior) for name, side in sides.items() if name in trial]
    return math.prod(chances) / len(settings.space.model)


def _by_best(settings: SearchSettings, trial: Mapping[str, Any], best: Mapping[str, Any]) -> float:
    """How likely the neighbourhood of the best makes a trial; half of what is drawn there has its model, half any."""
    around = {side.sets: best[name] for name, side in _sides(settings, best["model"]).items() if name in best}
    sides = _sides(settings, trial["model"])
    chances = [
        side.likelihood(trial[name], side.around(around[side.sets]))
        for name, side in sides.items()
        if name in trial and side.sets in around
    ]
    same = 0.5 if trial["model"] == best["model"] else 0.0
    return math.prod(chances) * (same + 0.5 / len(settings.space.model))


@dataclass(frozen=True)
class _Side:
    """One number of a trial, along its bell's coordinate: the number, or its logarithm.

    Args:
        sets: the setting that it is.
        low, high: of its range.
    """

    sets: str
    bell: Bell
    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value lies; as low as it gets, where there is no logarithm."""
        return math.log(max(value, 1e-12)) if self.bell.log else value

    @property
    def prior(self) -> NormalDist:
        """The family's."""
        return NormalDist(self.at(self.bell.centre), math.log(self.bell.spread) if self.bell.log else self.bell.spread)

    def around(self, value: float) -> NormalDist:
        """The neighbourhood of a value."""
        return NormalDist(self.at(value), AROUND * (self.at(self.high) - self.at(self.low)))

    def draw(self, rng: random.Random) -> float | None:
        """A value from the prior, as far as it lies within the range; None where next to nothing of it does."""
        below, above = (self.prior.cdf(self.at(end)) for end in (self.low, self.high))
        place = below + (above - below) * rng.random()
        if above - below < 1e-6 or not 0 < place < 1:
            return None
        drawn = self.prior.inv_cdf(place)
        return min(self.high, max(self.low, math.exp(drawn) if self.bell.log else drawn))

    def likelihood(self, value: float, normal: NormalDist) -> float:
        """How many times likelier a normal distribution makes a value than an even one, both within the range."""
        low, high = self.at(self.low), self.at(self.high)
        return normal.pdf(self.at(value)) * (high - low) / max(normal.cdf(high) - normal.cdf(low), 1e-9)


def _sides(settings: SearchSettings, model: str) -> dict[str, _Side]:
    """What a trial of a model draws of that for which families have priors, by name."""
    found, prior = {}, prior_of(model)
    for each in parameters(settings.space):
        bell = getattr(prior, each.sets) if each.sets in _BELIEVED else None
        if bell and each.open and (each.where is None or model in each.where[1]):
            assert isinstance(each.distribution, FloatDistribution)
            found[each.name] = _Side(each.sets, bell, each.distribution.low, each.distribution.high)
    return found
