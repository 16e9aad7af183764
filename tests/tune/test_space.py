"""The space: what is drawn is a trial that can be run, and what a file says of it is what is drawn."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FixedTrial

from models.nets.catalog import MODELS
from models.nets.priors import prior_of
from models.settings import Augment, Loss, TrainSettings
from tune.ranges import OF_LOSSES, LossRanges, ModelRanges, Range, Space
from tune.settings import STRONG, SearchSettings
from tune.space import define, distributions, parameters, settled

PLAIN: dict[str, Any] = {"name": "s", "data": "shards"}
POINT = {"model": "landnet", "bands": "all", "batch_size": 16, "learning_rate": 1e-3, "weight_decay": 0.01}

BOUNDS: dict[str, tuple[float, float]] = {
    "learning_rate": (1e-6, 10), "weight_decay": (1e-6, 10), "dropout": (0, 0.99), "drop_path": (0, 0.99),
    "label_smoothing": (0, 0.99), "augment": (0, 1), "max_positive_weight": (1, 1000), "gamma": (0, 10),
    "gamma_positive": (0, 10), "gamma_negative": (0, 10), "margin": (0, 0.5), "smoothing": (1e-3, 1000),
    "f1_share": (0, 1),
}  # fmt: skip
"""What a run takes of each number."""

sizes = st.lists(st.integers(1, 4096), min_size=1, max_size=3, unique=True)


@st.composite
def ranges(draw: st.DrawFn, name: str) -> Any:
    """A range within what a run takes, or a number that is held, as a file has them."""
    low, high = BOUNDS[name]
    ends = sorted(draw(st.lists(st.floats(low, high), min_size=2, max_size=2)))
    if draw(st.booleans()):
        return ends[0]
    return {"low": ends[0], "high": ends[1], "log": draw(st.booleans()) and ends[0] > 0}


@st.composite
def own(draw: st.DrawFn, model: str) -> dict[str, Any]:
    """Ranges of a single model."""
    names = ["learning_rate", "weight_decay", "dropout", *(["drop_path"] if prior_of(model).drop_path else [])]
    found = {name: draw(ranges(name)) for name in draw(st.lists(st.sampled_from(names), unique=True))}
    found |= {"batch_size": draw(sizes)} if draw(st.booleans()) else {}
    return found | ({"pretrained": draw(st.sampled_from(["hub", ["", "hub"]]))} if draw(st.booleans()) else {})


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    """A space as a file has it."""
    names = draw(st.lists(st.sampled_from([*MODELS, "convnext_atto.d2_in1k"]), min_size=1, max_size=4, unique=True))
    losses = draw(st.lists(st.sampled_from(sorted(OF_LOSSES)), max_size=3, unique=True))
    optional = ["learning_rate", "weight_decay", "dropout", "label_smoothing", "augment"]
    found: dict[str, Any] = {"model": {name: draw(own(name)) for name in names}, "batch_size": draw(sizes)}
    found |= {name: draw(ranges(name)) for name in draw(st.lists(st.sampled_from(optional), unique=True))}
    found["loss"] = {
        name: {each: draw(ranges(each)) for each in draw(st.sets(st.sampled_from(sorted(OF_LOSSES[name]))))}
        for name in losses
    }
    found["ema"] = draw(st.sampled_from([[], [0, 0.999], 0.99]))
    found["schedule"] = draw(st.sampled_from([[], "plateau", ["cosine", "plateau"]]))
    return found


@settings(max_examples=50)
@given(spaces(), st.integers(0, 2**31))
def test_every_draw_is_a_trial_that_can_be_run(plain: dict[str, Any], seed: int) -> None:
    search = SearchSettings.parse(PLAIN | {"space": plain})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    define(search.space)(trial)
    assert trial.distributions.items() <= distributions(search.space).items()
    train = search.train_settings(trial.params)
    for each in parameters(search.space):
        if each.name in trial.params and each.sets != "augment":
            holder: Any = train.loss if each.sets.startswith("loss.") or each.sets == "loss" else train
            field = "name" if each.sets == "loss" else each.sets.removeprefix("loss.")
            assert getattr(holder, field) == trial.params[each.name]


@settings(max_examples=20)
@given(spaces())
def test_a_space_is_read_back_as_it_was_written(plain: dict[str, Any]) -> None:
    search = SearchSettings.parse(PLAIN | {"space": plain})
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "s.yaml").write_text(search.dump_yaml(), encoding="utf-8")
        again = SearchSettings.load(Path(folder) / "s.yaml")
    assert again == search
    assert distributions(again.space) == distributions(search.space)


@settings(max_examples=25)
@given(spaces(), st.integers(0, 2**31))
def test_over_many_draws_every_parameter_comes_and_no_other(plain: dict[str, Any], seed: int) -> None:
    space = Space.parse(plain)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    found: set[str] = set()
    for model in space.model:
        for point in [{"loss": loss} for loss in space.loss] or [{}]:
            study.enqueue_trial({"model": model, **point})
            trial = study.ask()
            define(space)(trial)
            found |= set(trial.params)
    assert found == set(distributions(space))


def test_a_plain_space_draws_what_it_did_before_and_in_that_order() -> None:
    plain = {"low": 0.1, "high": 0.3}
    space = Space.parse({"model": ["landnet"], "loss": ["bce"], "pretrained": ["", "hub"], "weight_decay": plain})
    assert list(distributions(space).items()) == [
        ("model", CategoricalDistribution(["landnet"])),
        ("bands", CategoricalDistribution(["all", "rgb-nir-swir"])),
        ("batch_size", CategoricalDistribution([16, 32, 64])),
        ("loss", CategoricalDistribution(["bce"])),
        ("pretrained", CategoricalDistribution(["", "hub"])),
        ("learning_rate", FloatDistribution(5e-4, 8e-3, log=True)),
        ("weight_decay", FloatDistribution(0.1, 0.3)),
    ]


@given(st.floats(5e-4, 8e-3), st.sampled_from([16, 32, 64]))
def test_space_takes_any_point_inside(rate: float, batch: int) -> None:
    point = POINT | {"batch_size": batch, "learning_rate": rate}
    trial = FixedTrial(point)
    define(Space())(trial)
    assert trial.params == point


def test_space_refuses_a_point_outside() -> None:
    with pytest.warns(UserWarning, match="out of the range"):
        define(Space())(FixedTrial(POINT | {"learning_rate": 1.0}))


def test_what_nobody_asks_for_is_not_drawn() -> None:
    assert list(Space().choices) == ["model", "bands", "batch_size"]
    space = Space(loss=["focal", "hybrid"], pretrained=["", "weights/landnet"])
    trial = FixedTrial(POINT | {"loss": "hybrid", "pretrained": "weights/landnet"})
    define(space)(trial)
    assert trial.params == POINT | {"loss": "hybrid", "pretrained": "weights/landnet"}


def test_what_a_model_has_of_its_own_stands_in_place_of_the_common() -> None:
    search = SearchSettings.parse(
        PLAIN
        | {"space": {"model": {"landnet": {"learning_rate": 0.004, "drop_path": 0.2}, "vgg16": {}}, "dropout": 0.1}}
    )
    landnet, vgg = ({each.name for each in parameters(search.space) if each.among({"model": name})} for name in
                    ("landnet", "vgg16"))  # fmt: skip
    assert landnet - vgg == {"landnet.learning_rate", "landnet.drop_path"}
    assert vgg - landnet == {"learning_rate"}
    drawn = {"model": "landnet", "landnet.learning_rate": 0.004, "landnet.drop_path": 0.2, "dropout": 0.1}
    train = search.train_settings(drawn)
    assert (train.learning_rate, train.drop_path, train.dropout) == (0.004, 0.2, 0.1)
    with pytest.raises(Exception, match=r'unknown key "landnet.drop_path"'):
        search.train_settings({"model": "vgg16", "landnet.drop_path": 0.2})


def test_losses_take_their_own_parameters_and_the_searchs_where_none_are_given() -> None:
    space = {"loss": {"focal": {"gamma": {"low": 1, "high": 4}}, "hybrid": {}}, "label_smoothing": 0.1}
    search = SearchSettings.parse(PLAIN | {"space": space, "loss": {"f1_share": 0.3}})
    focal = search.train_settings({"loss": "focal", "focal.gamma": 3.0, "label_smoothing": 0.1}).loss
    assert focal == Loss(name="focal", gamma=3, f1_share=0.3, label_smoothing=0.1)
    assert search.train_settings({"loss": "hybrid"}).loss == Loss(name="hybrid", f1_share=0.3)


@pytest.mark.parametrize(("own", "full"), [({}, STRONG), ({"rotation": 40}, Augment(rotation=40))])
def test_strength_is_a_share_of_the_searchs_augmentation_or_else_of_a_strong_one(
    own: dict[str, Any], full: Augment
) -> None:
    search = SearchSettings.parse(PLAIN | {"augment": own, "space": {"augment": {"low": 0, "high": 1}}})
    assert search.train_settings({"augment": 0.0}).augment == Augment()
    assert search.train_settings({"augment": 1.0}).augment == full
    assert search.train_settings({"augment": 0.5}).augment.rotation == full.rotation / 2
    assert search.train_settings({}).augment == Augment(**own)


def test_a_number_may_be_held_and_choices_be_single() -> None:
    space = Space.parse({"model": "landnet", "bands": "rgb", "batch_size": 8, "learning_rate": "2e-3", "dropout": 0})
    assert space.learning_rate == Range(low=2e-3, high=2e-3, log=True)
    trial = optuna.create_study().ask()
    define(space)(trial)
    assert trial.params.pop("weight_decay")
    assert trial.params | {"weight_decay": 0} == {
        "model": "landnet", "bands": "rgb", "batch_size": 8, "learning_rate": 2e-3, "weight_decay": 0, "dropout": 0
    }  # fmt: skip


def test_points_may_leave_out_whose_a_parameter_is() -> None:
    space = Space.parse({"model": {"landnet": {"drop_path": {"low": 0, "high": 0.3}}, "vgg16": {}}})
    assert settled(space, {"model": "landnet", "drop_path": "1e-1"}) == {"model": "landnet", "landnet.drop_path": 0.1}
    with pytest.raises(ValueError, match="drop_path, which is not drawn with the rest"):
        settled(space, {"model": "vgg16", "drop_path": 0.1})


def test_what_may_be_varied_is_what_a_run_has() -> None:
    assert {*ModelRanges.model_fields} <= {*TrainSettings.model_fields}
    assert {*LossRanges.model_fields} == set.union(*OF_LOSSES.values()) <= {*Loss.model_fields}
    lists = {"model", "models", "loss", "losses", "label_smoothing"}
    assert {*Space.model_fields} - lists <= {*TrainSettings.model_fields}


def test_space_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(define(Space()))) is not None


def test_weights_of_one_model_are_its_own() -> None:
    space = Space.parse({"model": {"landnet": {"dropout": 0.1}, "resnet18": {"pretrained": ["", "hub"]}}})
    found = space.with_weights(str.upper)
    assert [found.weights(name) for name in found.model] == [[""], ["", "HUB"]]
    assert found.models["landnet"] == space.models["landnet"]


def test_the_space_of_the_docs_can_be_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")
    blocks = [block for block in page.split("```") if block.lstrip().startswith("space:")]
    for block in blocks:
        search = SearchSettings.parse(PLAIN | yaml.safe_load(block))
        assert {"landnet.drop_path", "focal.gamma", "augment"} <= {*distributions(search.space)}
    assert blocks
