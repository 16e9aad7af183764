"""Earlier studies: their trials in today's space, as far as they mean the same, and the points that did well there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from pipelines.errors import SettingsError, StudyError
from tune.drawing.history import earlier, earlier_trials, placed
from tune.drawing.points import next_point
from tune.settings import SearchSettings
from tune.space import define, distributions
from tune.study import CURVES, FROM, open_storage

SPACE: dict[str, Any] = {"model": ["landnet", "resnet18"], "bands": ["all", "rgb"], "batch_size": [16]}
POINT: dict[str, Any] = {
    "model": "landnet",
    "bands": "all",
    "batch_size": 16,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
}


def search(folder: Path, name: str = "new", after: Sequence[str] = (), **more: Any) -> SearchSettings:
    """A search whose studies lie in a folder."""
    plain = {"name": name, "data": str(folder / "shards"), "experiments": folder, "from": [*after]}
    return SearchSettings.parse(plain | {"space": SPACE} | more)


def study_with(settings: SearchSettings, *trials: tuple[dict[str, Any], float | None, str]) -> None:
    """A finished study on the disk: changes to `POINT`, values and states of its trials."""
    settings.folder.mkdir()
    (settings.folder / "search.yaml").write_text(settings.dump_yaml(), encoding="utf-8")
    study = optuna.create_study(direction="maximize")
    for change, value, state in trials:
        study.enqueue_trial(POINT | change)
        trial = study.ask()
        define(settings.space)(trial)
        if value is not None:
            trial.report(value, 500)
            trial.set_user_attr(CURVES, [{"epoch": 1, "patches": 500, "ap_macro": value, "f1_macro": value / 2}])
        if state == "complete":
            study.tell(trial, value)
        elif state != "running":
            study.tell(trial, state=TrialState.PRUNED if state == "pruned" else TrialState.FAIL)
    storage = open_storage(settings, settings.folder)
    optuna.create_study(storage=storage, study_name=settings.name, direction="maximize").add_trials(study.trials)


def test_trials_are_known_from_the_start(tmp_path: Path) -> None:
    study_with(
        search(tmp_path, "old"),
        ({}, 0.7, "complete"),
        ({"learning_rate": 2e-3}, 0.4, "pruned"),
        ({"learning_rate": 3e-3}, 0.9, "failed"),
        ({"learning_rate": 4e-3}, None, "running"),
    )
    found = earlier_trials(search(tmp_path, after=["old"]))
    assert [(each.state.name, each.params, each.user_attrs) for each in found] == [
        ("COMPLETE", POINT, {FROM: "old 0"}),
        ("PRUNED", POINT | {"learning_rate": 2e-3}, {FROM: "old 1"}),
    ]
    study = optuna.create_study(direction="maximize")
    study.add_trials(found)
    assert study.best_value == 0.7
    assert study.trials[1].intermediate_values == {500: 0.4}


def test_trials_are_placed_by_what_they_were(tmp_path: Path) -> None:
    space: dict[str, Any] = {
        "model": {"landnet": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}, "resnet18": {}}
    }
    space |= {"bands": ["rgb", "all"], "dropout": {"low": 0, "high": 0.5}, "augment": {"low": 0, "high": 1}}
    today = search(tmp_path, space=space | {"loss": {"focal": {"gamma": {"low": 1, "high": 4}}}})
    then = search(tmp_path, "old", dropout=0.2, loss={"name": "focal", "gamma": 3})
    assert placed(today, then, POINT) == {
        "model": "landnet", "bands": "all", "batch_size": 16, "loss": "focal", "landnet.learning_rate": 1e-3,
        "weight_decay": 0.01, "dropout": 0.2, "augment": 0.0, "focal.gamma": 3.0,
    }  # fmt: skip
    strange: list[dict[str, Any]] = [
        {"gamma": 1},
        {"model": "vit"},
        {"bands": "rgb-nir"},
        {"batch_size": 17},
        {"learning_rate": 0.02},
    ]
    assert [placed(today, then, POINT | each) for each in strange] == [None] * 5
    assert placed(today, search(tmp_path, "old", loss={"name": "focal"}), POINT) is None, "no dropout is said"
    assert placed(today, search(tmp_path, "old", dropout=0.2), POINT) is None, "of another loss"
    rotated = search(tmp_path, "old", dropout=0.2, loss={"name": "focal", "gamma": 3}, augment={"rotation": 9})
    assert placed(today, rotated, POINT) is None, "no share of today's strongest"


def test_every_point_lies_in_todays_space(tmp_path: Path) -> None:
    study_with(search(tmp_path, "old"), ({}, 0.7, "complete"), ({"learning_rate": 4e-3}, 0.8, "complete"))
    narrow = SPACE | {"learning_rate": {"low": 5e-4, "high": 2e-3, "log": True}}
    found = earlier(search(tmp_path, space=narrow, after=["old"]))
    assert [each.params for each in found.trials] == [POINT] == found.points
    assert dict(found.left_out) == {"outside of today's space": 1}
    assert found.trials[0].distributions["learning_rate"].high == 2e-3  # type: ignore[attr-defined]


def test_values_of_other_data_or_epochs_say_points_alone(tmp_path: Path) -> None:
    study_with(search(tmp_path, "other", data=str(tmp_path / "more")), ({}, 0.7, "complete"))
    study_with(search(tmp_path, "short", epochs=2), ({}, 0.7, "complete"))
    found = earlier(search(tmp_path, after=["other", "short"]))
    assert (found.trials, found.points, found.incomparable) == ([], [POINT], ["other", "short"])


def test_values_are_todays_metric_where_curves_have_it(tmp_path: Path) -> None:
    study_with(search(tmp_path, "old"), ({}, 0.7, "complete"))
    assert [each.value for each in earlier_trials(search(tmp_path, metric="f1_macro", after=["old"]))] == [0.35]
    without = earlier(search(tmp_path, metric="lrap", after=["old"]))
    assert (without.trials, sum(without.left_out.values())) == ([], 1)


def test_points_are_those_that_together_do_best_in_every_study(tmp_path: Path) -> None:
    """One is best in a, one in b, and one second in both: it comes first, then the two."""
    rates = ((6e-4, "all"), (7e-3, "rgb"), (2e-3, "all"))
    best_a, best_b, good = ({"learning_rate": rate, "bands": bands} for rate, bands in rates)
    poor = [({"model": "resnet18", "learning_rate": 1e-3 + step * 1e-4}, 0.1, "complete") for step in range(8)]
    for name, best, worst in (("a", best_a, best_b), ("b", best_b, best_a)):
        best_two = [(best, 0.9, "complete"), (good, 0.8, "complete")]
        study_with(search(tmp_path, name), *best_two, (worst, 0.0, "complete"), *poor)
    found = earlier(search(tmp_path, after=["a", "b"])).points
    assert found[0] == POINT | good
    assert [{name: each[name] for name in best_a} for each in found[1:]] in ([best_a, best_b], [best_b, best_a])


def test_points_are_tried_after_the_models_and_once(tmp_path: Path) -> None:
    study_with(search(tmp_path, "old"), ({}, 0.7, "complete"), ({"learning_rate": 4e-3}, 0.8, "complete"))
    settings = search(tmp_path, priors=False, after=["old"])
    study = optuna.create_study(direction="maximize")
    study.add_trials(earlier_trials(settings))
    asked = []
    for _ in range(4):
        asked.append(next_point(settings, study.get_trials()))
        study.enqueue_trial(asked[-1] or {})
        define(settings.space)(study.ask())
    models = [{"model": name, "bands": "all"} for name in SPACE["model"]]
    assert asked == [*models, POINT | {"learning_rate": 4e-3}, None]
    assert all(each.distributions.items() <= distributions(settings.space).items() for each in study.trials)


def test_studies_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match='no study "odl"'):
        earlier_trials(search(tmp_path, after=["odl"]))
    for names in (["new"], ["a", "a"]):
        with pytest.raises(SettingsError, match="from: each is another study, and named once"):
            search(tmp_path, after=names)
