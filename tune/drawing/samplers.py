"""Who draws a trial's parameters, by the name that a search's file has.

Flows in: search settings. Flows out: one of Optuna's samplers, seeded.
"""

from __future__ import annotations

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.samplers.nsgaii import BLXAlphaCrossover

from pipelines.errors import SettingsError
from tune.settings import SearchSettings
from tune.space import mostly_numbers


def sampler(settings: SearchSettings, known: int) -> BaseSampler:
    """The sampler that the settings name.

    Args:
        settings: of the search.
        known: trials that the study has; a study that is gone on with would else draw again what it began with.

    Raises:
        SettingsError: the space is none for it.
    """
    seed = settings.seed + known
    match settings.sampler:
        case "tpe":
            return _tpe(seed, settings.trials)
        case "random":
            return RandomSampler(seed=seed)
        case "gp":
            try:
                mostly_numbers(settings.space)
            except ValueError as error:
                raise SettingsError(str(error), where=settings.name) from None
            return GPSampler(seed=seed, n_startup_trials=_at_random(settings.trials))
        case "nsga2":
            return _nsga2(seed, settings.trials)


def _at_random(trials: int) -> int:
    """Trials that are drawn at random before there is anything to learn from."""
    return max(4, min(10, trials // 3))


def _nsga2(seed: int, trials: int) -> NSGAIISampler:
    """Evolution whose children have numbers between their parents' and a little beyond: the usual crossover hands each
    on as it is, and among few parents one child in ten then was a trial that there was already, here one in thirty."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # since 2022
        crossover = BLXAlphaCrossover()
    return NSGAIISampler(seed=seed, population_size=max(4, min(50, trials // 4)), crossover=crossover)


def _tpe(seed: int, trials: int) -> TPESampler:
    """TPE over the parameters together; trials under way count as poor, so that parallel ones spread out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # multivariate, group and constant_liar, since 2020
        return TPESampler(
            seed=seed, n_startup_trials=_at_random(trials), multivariate=True, group=True, constant_liar=True
        )
