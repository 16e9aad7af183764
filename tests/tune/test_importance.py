"""Which parameters decided, what a search cost, and the command that repeats a trial."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
import optuna
import pytest
import typer
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from typer.testing import CliRunner

from models.settings import Augment, Loss, RunSettings, TrainSettings
from pipelines.flags import flags_of
from tune.outcome.cost import cost
from tune.outcome.importance import LEAST, best_parameters, importances, interactions
from tune.outcome.repeat import repeat_command


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def trials(count: int, seed: int = 0) -> list[FrozenTrial]:
    """The rate decides, the decay does nothing; `depth` is a parameter of one model alone; every third is pruned."""
    rng, found = np.random.default_rng(seed), []
    for number in range(count):
        model, rate = ("deep", "flat")[number % 2], float(10 ** rng.uniform(-4, -2))
        parameters: dict[str, Any] = {"model": model, "rate": rate, "decay": float(rng.uniform(0, 1))}
        drawn: dict[str, BaseDistribution] = {
            "model": CategoricalDistribution(["deep", "flat"]),
            "rate": FloatDistribution(1e-4, 1e-2, log=True),
            "decay": FloatDistribution(0, 1),
        }
        value = 0.8 - 0.2 * (np.log10(rate) + 3) ** 2
        if model == "deep":
            parameters["depth"], drawn["depth"] = int(rng.integers(1, 5)), IntDistribution(1, 4)
            value += 0.02 * parameters["depth"]
        given: dict[str, Any] = {"params": parameters, "distributions": drawn}
        if number % 3:
            found.append(create_trial(**given, value=value, state=TrialState.COMPLETE))
        else:
            found.append(
                create_trial(**given, state=TrialState.PRUNED, intermediate_values={64: value - 1, 192: value})
            )
        found[-1].number = number
    return found


def test_the_parameter_that_decides_comes_first_and_one_of_some_models_is_told_of_those() -> None:
    found = importances(trials(40))
    shares = {each.parameter: each for each in found}
    assert set(shares) == {"model", "rate", "decay", "depth"}
    assert (shares["depth"].trials, shares["rate"].trials) == (20, 40)
    assert found[0].parameter == "rate"
    assert shares["rate"].share > 5 * shares["decay"].share
    common = sum(each.share for each in found if each.parameter != "depth")
    assert common == pytest.approx(1)


def test_little_is_no_ground_for_saying_anything() -> None:
    few = trials(LEAST - 1)
    assert importances(few) == []
    failed = [create_trial(state=TrialState.FAIL) for _ in range(9)]
    assert importances([*few, *failed]) == importances([]) == []
    same = [create_trial(params=t.params, distributions=t.distributions, value=0.5) for t in trials(12)]
    assert importances(same) == []
    assert best_parameters(failed) == {}


def test_the_best_parameters_are_of_a_trial_that_ran_to_its_end_if_there_is_one() -> None:
    some = trials(30)
    whole = [trial for trial in some if trial.state == TrialState.COMPLETE]
    best = max(whole, key=lambda trial: trial.value or 0)
    higher = create_trial(state=TrialState.PRUNED, intermediate_values={64: 99.0})
    assert best_parameters([*some, higher]) == best.params
    pruned = [trial for trial in some if trial.state == TrialState.PRUNED]
    best = max(pruned, key=lambda trial: trial.intermediate_values[192])
    assert best_parameters(pruned) == best.params


def test_two_parameters_are_set_against_each_other_in_a_small_table() -> None:
    some = trials(30)
    table = interactions(some, "rate", "model")
    assert [list(row) for row in table] == [["rate", "deep", "flat"]] * 3
    lows = [float(row["rate"].partition(" to ")[0]) for row in table]
    assert lows == sorted(lows)
    assert lows[0] == pytest.approx(min(trial.params["rate"] for trial in some), rel=0.1)
    counts = [int(row[model].partition("(")[2].rstrip(")")) for row in table for model in ("deep", "flat")]
    assert sum(counts) == 30
    (row,) = interactions(some[1:2], "model", "decay")
    assert row == {"model": "flat", f"{some[1].params['decay']:g}": f"{some[1].value:.3f} (1)"}
    assert interactions(some[1:2], "model", "depth") == []


def test_what_was_saved_is_what_stopped_trials_had_before_them_at_their_own_rate() -> None:
    def trial(state: TrialState, patches: int, seconds: float, **attributes: Any) -> FrozenTrial:
        curves = [{"patches": patches / 2, "seconds": seconds / 2}, {"patches": patches, "seconds": seconds}]
        kept = {"curves": curves if patches else [], "seconds": seconds} | attributes
        value = 0.5 if state == TrialState.COMPLETE else None
        return create_trial(state=state, user_attrs=kept, value=value)

    found = cost(
        [
            trial(TrialState.COMPLETE, 900, 90),
            trial(TrialState.PRUNED, 100, 20),  # 800 more at 0.2 s
            trial(TrialState.RUNNING, 300, 30, paused=300),  # 600 more at 0.1 s
            trial(TrialState.RUNNING, 300, 30),
            trial(TrialState.FAIL, 300, 5),
            trial(TrialState.PRUNED, 0, 1),
        ],
        900,
    )
    assert (found.spent, found.saved) == pytest.approx((176, 220))
    assert (found.stopped, found.unknown) == (3, 1)
    assert found.share == pytest.approx(220 / 396)
    assert cost([], 900).share == 0


@pytest.mark.parametrize(
    "settings",
    [
        TrainSettings(),
        TrainSettings(model="timm:resnet18", learning_rate=0.1 + 0.2, bands="B04,B08", seed=7, pretrained="a b/c'd"),
        TrainSettings(loss=Loss(name="focal", gamma=0.5), augment=Augment(flips=False, mixup=0.4), compile=True),
        TrainSettings(dropout=0.0, drop_path=1e-17, schedule="plateau", pretrained="-odd", threads=1, device="cpu"),
    ],
)
def test_the_command_that_repeats_a_trial_gives_its_settings_back(settings: TrainSettings) -> None:
    """It is parsed as `landsweep train` parses it."""
    seen: list[RunSettings] = []

    def keep(settings: RunSettings) -> None:
        seen.append(settings)

    app = typer.Typer()
    app.command()(flags_of(RunSettings, keep, config=True))
    program, verb, *words = shlex.split(repeat_command(settings, "my shards"))
    ended = CliRunner().invoke(app, words)
    assert (program, verb, ended.exit_code) == ("landsweep", "train", 0), ended.output
    (found,) = seen
    assert found.data == "my shards"
    assert TrainSettings(**{name: getattr(found, name) for name in TrainSettings.model_fields}) == settings
