"""Search settings and the space they describe: what is wrong is said before Ray starts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from models.settings import Augment, FitSettings, Loss, TrainSettings
from pipelines.errors import SettingsError
from tune.settings import SearchSettings

BASE: dict[str, Any] = {"name": "s", "data": "shards"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"trials": 0}, "trials: input should be greater than or equal to 1, not 0"),
        ({"trails": 3}, 'unknown key "trails". Did you mean "trials"?'),
        ({"name": "../x"}, "name: string should match pattern"),
        ({"metric": "accuracy"}, "metric: input should be 'ap_macro'"),
        ({"scheduler": {"name": "pbt"}}, "input should be 'promote', 'asha', 'hyperband'"),
        ({"space": {"learning_rate": {"low": 0.1, "high": 0.01}}}, "low 0.1 is not below high 0.01"),
        ({"space": {"learning_rate": {"low": 0, "high": 0.01, "log": True}}}, "cannot start at 0"),
        ({"space": {"model": []}}, "at least 1 item"),
        ({"space": {"bands": ["rgb", "rgb"]}}, "a choice is given twice"),
        ({"space": {"batch_size": [0]}}, "batch_size.0: input should be greater than or equal to 1"),
        ({"space": {"batch_size": [8, 70_000]}}, "batch_size: input should be less than or equal to 65536, not 70000"),
        ({"space": {"learning_rate": {"low": -1, "high": 1}}}, "learning_rate: input should be greater than 0, not -1"),
        ({"space": {"weight_decay": {"low": 0, "high": 11}}}, "weight_decay: input should be less than or equal to 10"),
        ({"space": {"weight_decay": {"low": 0, "high": float("inf")}}}, "high: input should be a finite number"),
        ({"space": {"optimizer": ["sgd"]}}, 'unknown key "space.optimizer"'),
        (
            {"space": {"learning_rate": "fast"}},
            "learning_rate: give a number, or a range such as {low: 0.1, high: 0.3}",
        ),
        ({"space": {"learning_rate": True}}, "finite number"),
        ({"space": {"weight_decay": 11}}, "weight_decay: input should be less than or equal to 10"),
        ({"space": {"model": {}}}, "at least 1 item"),
        ({"space": {"model": {"landnet": {"depth": 3}}}}, 'unknown key "space.models.landnet.depth"'),
        ({"space": {"model": {"landnet": {"dropout": {"low": 0, "high": 1}}}}}, "dropout: input should be less than 1"),
        ({"space": {"model": {"vgg16": {"drop_path": 0.1}}}}, '"vgg16" has no stochastic depth'),
        ({"space": {"model": ["landnet", "densenet121"], "drop_path": 0.1}}, '"densenet121" has no stochastic depth'),
        ({"space": {"model": ["timm:vgg11"]}, "drop_path": 0.1}, '"timm:vgg11" has no stochastic depth'),
        ({"space": {"models": {"vit": {"dropout": 0.1}}}}, '"vit" is not one of model'),
        ({"space": {"loss": {"bce": {"gamma": 2}}}}, "loss bce has no gamma; it has max_positive_weight"),
        ({"space": {"loss": {"focal": {"gamma": {"low": 1, "high": 11}}}}}, "loss.gamma: input should be less than or"),
        ({"space": {"augment": {"low": 0, "high": 2}}}, "a strength is a share, from 0 to 1"),
        ({"space": {"label_smoothing": {"low": 0, "high": 1}}}, "loss.label_smoothing: input should be less than 1"),
        ({"space": {"ema": [0, 1]}}, "ema: input should be less than 1"),
        ({"space": {"schedule": ["linear"]}}, "space.schedule.0: input should be 'cosine' or 'plateau'"),
        ({"first": [{"model": "vit"}]}, "a point has model vit, which is outside of the space"),
        ({"first": [{"learning_rate": 1}]}, "a point has learning_rate 1, which is outside of the space"),
        ({"first": [{"learning_rate": "1"}]}, "a point has learning_rate 1, which is outside of the space"),
        ({"first": [{"gamma": 1}]}, "a point has gamma, which is not drawn with the rest of it"),
        ({"sampler": "gp", "space": {"loss": ["bce", "focal"]}}, "gp is for numbers; learning_rate, weight_decay are"),
        (
            {"sampler": "gp", "space": {"model": {"vit": {"dropout": {"low": 0, "high": 0.5}}, "landnet": {}}}},
            "vit.dropout",
        ),
        ({"sampler": "nsga2"}, "nsga2 is for several objectives, and there is one"),
        ({"sampler": "nsga2", "objectives": ["ap_macro"]}, "nsga2 is for several objectives, and there is one"),
        (
            {
                "sampler": "nsga2",
                "objectives": ["ap_macro", "size"],
                "space": {"loss": {"bce": {}, "focal": {"gamma": {"low": 1, "high": 4}}}},
            },
            "nsga2 sees only what every trial has, and focal.gamma are of some trials; take tpe",
        ),
        ({"objectives": ["f1_macro", "size"]}, "f1_macro is not metric, ap_macro, by which the best epoch"),
        ({"objectives": ["size"]}, "the first is a metric"),
        ({"constraints": ["latency < 1 ms"]}, "is no constraint: write such as latency <= 20 ms"),
        ({"earlier": ["a"]}, 'unknown key "earlier"'),
        ({"space": {"loss": ["focus"]}}, "space.loss.0: input should be 'bce', 'focal'"),
        ({"space": {"loss": ["bce", "bce"]}}, "a choice is given twice"),
        ({"space": {"pretrained": []}}, "at least 1 item"),
        ({"loss": {"gamma": -1}}, "loss.gamma: input should be greater than or equal to 0"),
        ({"explain": 51}, "explain: input should be less than or equal to 50"),
        ({"augment": {"rotation": 90}}, "augment.rotation: input should be less than or equal to 45"),
        ({"gpus": -1}, "gpus: input should be greater than or equal to 0"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        SearchSettings.parse(BASE | wrong)
    assert said in str(caught.value)


def test_template_reads_back(tmp_path: Path) -> None:
    settings = SearchSettings.parse(BASE)
    (tmp_path / "s.yaml").write_text(settings.dump_yaml(), encoding="utf-8")
    assert SearchSettings.load(tmp_path / "s.yaml") == settings


def test_template_says_what_every_key_means() -> None:
    lines = SearchSettings.parse(BASE).dump_yaml().split("\n")
    keys = [place for place, line in enumerate(lines) if re.match(r" *\w+:", line)]
    assert {"  rotation: 0.0", "    low: 0.0005"} < {lines[place] for place in keys}
    for place in keys:
        assert lines[place - 1].lstrip().startswith("# "), lines[place]


def test_trial_settings_come_from_parameters_and_search() -> None:
    search = SearchSettings.parse(BASE | {"epochs": 7, "seed": 5, "gpus": 0.5})
    train = search.train_settings({"model": "resnet18", "bands": "rgb", "batch_size": 8, "learning_rate": 0.01})
    assert (train.model, train.epochs, train.seed, train.device) == ("resnet18", 7, 5, "cuda")


FIXED: dict[str, Any] = {
    "epochs": 7, "metric": "f1_macro", "patience": 3, "beta": 2, "loss": {"name": "focal", "gamma": 3},
    "augment": {"mixup": 0.2}, "sampling": "weighted", "dropout": 0.1, "drop_path": 0.2, "warmup": 0.2,
    "schedule": "plateau", "plateau_patience": 2, "plateau_factor": 0.5, "clip": 2, "ema": 0.9, "precision": "bf16",
    "accumulate": 2, "compile": True, "seed": 5, "pretrained_bands": "rgb", "pretrained_normalisation": "theirs",
}  # fmt: skip


def test_whatever_a_run_can_be_told_and_is_not_drawn_is_the_same_in_every_trial() -> None:
    assert set(FIXED) == set(FitSettings.model_fields)
    search = SearchSettings.parse(BASE | FIXED)
    expected = FitSettings.parse(FIXED)
    train = search.train_settings({"model": "resnet18", "bands": "rgb", "pretrained": "hub"})
    assert {name: getattr(train, name) for name in FIXED} == {name: getattr(expected, name) for name in FIXED}
    assert (train.model, train.bands, train.pretrained) == ("resnet18", "rgb", "hub")
    assert search.train_settings({"loss": "hybrid"}).loss == Loss(name="hybrid", gamma=3), (
        "with the search's parameters"
    )


OLD = """
name: first
data: shards
feed: auto
experiments: experiments
storage: ''
metric: f1_macro
trials: 12
epochs: 10
concurrent: 0
time_budget: 0.0
seed: 3
cpus: 1.0
gpus: 0.0
space:
  model: [landnet, resnet18]
  bands: [all, rgb-nir-swir]
  learning_rate: {low: 0.0005, high: 0.008, log: true}
  weight_decay: {low: 0.001, high: 0.2, log: true}
  batch_size: [16, 32, 64]
scheduler: {name: asha, grace: 2, reduction: 3}
augment: {flips: true, rotation: 0.0, erasing: 0.0, erasing_area: 0.2, jitter: 0.0, mixup: 0.0}
"""


def test_a_search_of_before_fit_settings_is_read_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "search.yaml").write_text(OLD)
    search = SearchSettings.load(tmp_path / "search.yaml")
    scheduler = {"name": "asha", "grace": 2, "reduction": 3}
    assert search == SearchSettings.parse(
        BASE | {"name": "first", "metric": "f1_macro", "seed": 3, "scheduler": scheduler}
    )
    assert search.train_settings({}) == TrainSettings(metric="f1_macro", seed=3, device="cpu", threads=1)


def test_every_trial_augments_as_the_search_says(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: s\ndata: shards\naugment: {flips: false, rotation: 15, mixup: 2e-1}\n")
    search = SearchSettings.load(tmp_path / "s.yaml")
    assert search.train_settings({"model": "landnet"}).augment == Augment(flips=False, rotation=15, mixup=0.2)
    (tmp_path / "again.yaml").write_text(search.dump_yaml(), encoding="utf-8")
    assert SearchSettings.load(tmp_path / "again.yaml") == search
