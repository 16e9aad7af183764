"""Draws from what suits a family: within the space, by nothing but seed and trials, and fewer where it misleads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.nets.build import plan
from models.nets.catalog import MODELS
from models.nets.families import build
from models.nets.priors import OTHER, PRIORS, prior_of
from pipelines.errors import SettingsError
from tune.drawing.prior_draws import centre, draw_from_prior, results_of, weight
from tune.drawing.samplers import sampler
from tune.settings import SearchSettings
from tune.space import define

PLAIN: dict[str, Any] = {"name": "s", "data": "d"}


def study_of(search: SearchSettings, best: float, trials: int) -> optuna.study.Study:
    """A study at whose trials' values the rate `best` is the best, drawn by its sampler alone."""
    study = optuna.create_study(direction="maximize", sampler=sampler(search, 0))
    for _ in range(trials):
        trial = study.ask()
        define(search.space)(trial)
        study.tell(trial, -abs(math.log(trial.params["learning_rate"] / best)))
    return study


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(1e-5, 1e-2), st.floats(1.1, 1e3), st.floats(0, 0.3))
def test_draws_lie_in_the_space(seed: int, low: float, times: float, path: float) -> None:
    rates = {"low": low, "high": low * times, "log": True}
    own = {"drop_path": {"low": path, "high": path + 0.1}, "weight_decay": {"low": 0, "high": 0.1}}
    search = SearchSettings.parse(
        PLAIN | {"seed": seed, "space": {"model": {"swin": own, "vgg16": {}}, "learning_rate": rates}}
    )
    study = optuna.create_study()
    for point in (draw_from_prior(search, []), centre(search, "swin"), centre(search, "vgg16")):
        if point is not None:
            study.enqueue_trial(point)
            trial = study.ask()
            define(search.space)(trial)
            assert point.items() <= trial.params.items()


def test_one_in_two_at_first_about_the_familys_centre() -> None:
    wide = {"model": "landnet", "learning_rate": {"low": 1e-7, "high": 10, "log": True}}
    searches = (SearchSettings.parse(PLAIN | {"seed": seed, "space": wide}) for seed in range(400))
    found = [draw_from_prior(each, []) for each in searches]
    rates = np.log([each["learning_rate"] for each in found if each])
    assert 160 < len(rates) < 240  # four deviations of 400 even draws
    bell = PRIORS["landnet"].learning_rate
    deviation = math.log(bell.spread)
    assert abs(rates.mean() - math.log(bell.centre)) < 4 * deviation / math.sqrt(len(rates))
    assert abs(rates.std() / deviation - 1) < 0.25


def test_the_weight_falls_and_faster_where_the_prior_misleads() -> None:
    search = SearchSettings.parse(PLAIN | {"trials": 40, "space": {"model": "landnet"}})
    assert weight(search, []) == 0.5
    right, wrong = (results_of(study_of(search, best, 30).trials) for best in (2e-3, 7.5e-3))
    assert weight(search, wrong) < 0.25 * weight(search, right)
    assert weight(search, right) < weight(search, right[:9]) < 0.5


def test_failed_trials_say_nothing_and_those_under_way_what_they_have_come_to() -> None:
    search = SearchSettings.parse(PLAIN | {"space": {"model": "landnet"}})
    study = study_of(search, 2e-3, 2)
    failed, running, fresh = study.ask(), study.ask(), study.ask()
    for trial in (failed, running, fresh):
        define(search.space)(trial)
    failed.report(9, 1)
    running.report(1, 1)
    study.tell(failed, state=optuna.trial.TrialState.FAIL)
    assert results_of(study.get_trials())[0] == running.params
    assert len(results_of(study.get_trials())) == 3


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(0, 12))
def test_the_same_trials_give_the_same_draw(seed: int, trials: int) -> None:
    search = SearchSettings.parse(PLAIN | {"seed": seed})
    known = study_of(search, 1e-3, trials).get_trials()
    assert draw_from_prior(search, known) == draw_from_prior(search, known)


def test_every_model_of_the_zoo_has_a_prior_with_its_source() -> None:
    for name in MODELS:
        prior = prior_of(name)
        assert prior is not OTHER, name
        assert prior.source
        for bell in (prior.learning_rate, prior.weight_decay):
            assert 0 < bell.centre < 1 < bell.spread <= 10
    families = {
        "timm:vgg11_bn": "vgg", "resnet26t": "resnet", "tf_efficientnetv2_s": "efficientnet", "swin": "swin",
        "convnext_atto.d2_in1k": "convnext", "deit_tiny_patch16_224": "vit", "landnet-s": "landnet",
    }  # fmt: skip
    assert {name: prior_of(name) for name in families} == {name: PRIORS[each] for name, each in families.items()}
    assert prior_of("mobilenetv3_small_100") is OTHER


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].timm])
def test_models_that_have_a_drop_path_can_be_built_with_it(name: str) -> None:
    recipe = plan(name, 64, drop_path=0.1)
    with torch.device("meta"):
        if prior_of(name).drop_path:
            assert build(recipe, 3, 2)
        else:
            with pytest.raises(SettingsError, match="no stochastic depth"):
                build(recipe, 3, 2)
