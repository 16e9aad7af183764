"""Points that a search begins with: each once, in their order, whatever interrupts it."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from models.nets.priors import prior_of
from tune.drawing.points import next_point
from tune.drawing.samplers import sampler
from tune.settings import SearchSettings
from tune.space import define


def search(**more: Any) -> SearchSettings:
    """A search over two models."""
    return SearchSettings.parse({"name": "s", "data": "d", "trials": 30} | more)


def study_of(settings: SearchSettings) -> optuna.study.Study:
    """A study in memory, as a search has it."""
    return optuna.create_study(direction="maximize", sampler=sampler(settings, 0))


def ask(study: optuna.study.Study, settings: SearchSettings) -> dict[str, Any] | None:
    """Ask for a trial as the searcher does; returns the point that it was to have."""
    point = next_point(settings, study.get_trials(deepcopy=False))
    if point is not None:
        study.enqueue_trial(point)
    trial = study.ask()
    define(settings.space)(trial)
    assert (point or {}).items() <= trial.params.items()
    return point


def test_a_model_each_on_the_first_bands_at_what_suits_it() -> None:
    settings = search(space={"model": ["landnet", "resnet18"], "bands": ["rgb", "all"]}, priors=True)
    study = study_of(settings)
    first, second = ask(study, settings), ask(study, settings)
    rates = [prior_of(name).learning_rate.centre for name in ("landnet", "resnet18")]
    assert first == {"model": "landnet", "bands": "rgb", "learning_rate": rates[0], "weight_decay": 0.02}
    assert second == {"model": "resnet18", "bands": "rgb", "learning_rate": rates[1], "weight_decay": 0.02}


def test_without_priors_the_rest_is_drawn() -> None:
    settings = search(priors=False, space={"bands": ["rgb", "all"]})
    study = study_of(settings)
    found = [ask(study, settings) for _ in range(20)]
    assert found == [{"model": name, "bands": "rgb"} for name in ("landnet", "resnet18")] + [None] * 18


def test_what_suits_a_model_but_is_outside_of_the_space_is_drawn() -> None:
    own = {"learning_rate": {"low": 1e-5, "high": 1e-4, "log": True}, "drop_path": {"low": 0, "high": 0.3}}
    settings = search(space={"model": {"landnet": own}, "weight_decay": 0.5})
    assert next_point(settings, []) == {"model": "landnet", "bands": "all", "landnet.drop_path": 0.0}


def test_points_of_the_user_come_first_and_count_as_their_models() -> None:
    given = [{"model": "resnet18", "learning_rate": 0.004}, {"model": "resnet18", "learning_rate": 0.005}]
    settings = search(first=given, priors=False)
    study = study_of(settings)
    found = [ask(study, settings) or {} for _ in range(4)]
    assert found[:2] == given
    assert [each.get("model") for each in found].count("landnet") == 1
    assert [each.get("model") for each in found[2:]] == ["landnet", None]


def test_a_search_that_is_gone_on_with_asks_for_what_is_owed() -> None:
    settings = search(first=[{"learning_rate": 0.001}, {"learning_rate": 0.002}])
    study = study_of(settings)
    ask(study, settings)
    before = study.get_trials()
    assert next_point(settings, before) == {"learning_rate": 0.002}
    assert next_point(settings, before) == {"learning_rate": 0.002}, "and nothing is remembered"
    study.enqueue_trial({"learning_rate": 0.002})
    assert (next_point(settings, study.get_trials()) or {})["model"], "a point that was asked for, but not drawn yet"


def test_a_model_that_was_added_has_its_trial() -> None:
    settings = search(space={"model": ["landnet", "resnet18"]}, priors=False)
    study = study_of(settings)
    for _ in range(8):
        ask(study, settings)
    wider = search(space={"model": ["landnet", "resnet18", "vit"]}, priors=False)
    assert next_point(wider, study.get_trials()) == {"model": "vit", "bands": "all"}


def test_trials_of_earlier_studies_are_nobodys_first() -> None:
    settings = search(priors=False)
    earlier = FrozenTrial(
        0, TrialState.COMPLETE, 0.5, None, None, {"model": "landnet"},
        {"model": optuna.distributions.CategoricalDistribution(["landnet"])}, {"from": "a"}, {}, {}, 0,
    )  # fmt: skip
    assert next_point(settings, [earlier]) == {"model": "landnet", "bands": "all"}
