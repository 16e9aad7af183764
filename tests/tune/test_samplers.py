"""Samplers by name: seeded, and never the same draws twice."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from tune.drawing.samplers import sampler
from tune.settings import SearchSettings
from tune.space import define

NUMBERS = {"model": "landnet", "bands": "all", "batch_size": 16}


def search(name: str, **more: Any) -> SearchSettings:
    """A search with a sampler of that name, over numbers alone."""
    return SearchSettings.parse({"name": "s", "data": "d", "sampler": name, "space": NUMBERS} | more)


def draws(settings: SearchSettings, known: int, trials: int) -> list[dict[str, Any]]:
    """What a sampler draws, where low rates are good."""
    study = optuna.create_study(direction="maximize", sampler=sampler(settings, known))
    for _ in range(trials):
        trial = study.ask()
        define(settings.space)(trial)
        study.tell(trial, -trial.params["learning_rate"])
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tpe", optuna.samplers.TPESampler),
        ("random", optuna.samplers.RandomSampler),
        ("gp", optuna.samplers.GPSampler),
    ],
)
def test_each_is_seeded_by_the_search_and_by_what_is_known(name: str, kind: type) -> None:
    settings = search(name)
    assert type(sampler(settings, 0)) is kind
    first = draws(settings, 0, 5)  # the last of them learnt
    assert first == draws(settings, 0, 5)
    assert draws(settings, 5, 1)[0] not in first
    assert draws(search(name, seed=1), 0, 1) != first[:1]


def test_tpe_learns_what_random_draws_do_not() -> None:
    last = {name: [each["learning_rate"] for each in draws(search(name), 0, 40)[20:]] for name in ("tpe", "random")}
    assert sum(last["tpe"]) < 0.5 * sum(last["random"])
