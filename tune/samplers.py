"""What draws parameters, by name.

Flows in: settings. Flows out: one of Optuna's samplers.
"""

from __future__ import annotations

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning

from tune.settings import SearchSettings


def sampler(settings: SearchSettings, known: int) -> optuna.samplers.BaseSampler:
    """TPE over the parameters together; trials under way count as poor, so that parallel ones spread out.

    Args:
        known: trials the study has already; a reopened study with the same seed would repeat its draws.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # group, since 2020
        return optuna.samplers.TPESampler(
            seed=settings.seed + known,
            n_startup_trials=max(4, min(10, settings.trials // 3)),
            multivariate=True,
            group=True,
            constant_liar=True,
        )
