"""A search of several objectives with constraints, without Ray: what the study holds, who goes on, who wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tune.drawing.history import earlier
from tune.drawing.samplers import sampler
from tune.objectives import directions
from tune.outcome.show import described
from tune.schedule.next_job import Rules
from tune.schedule.record import Record
from tune.schedule.scheduler import PauseAndPromote
from tune.schedule.searcher import StudySearcher
from tune.settings import SearchSettings
from tune.space import define
from tune.study import COSTS, Study, open_storage, open_study
from tune.trials.job import NUMBER, PARAMETERS, REPORTED
from ui.trials import view

RUNGS = (10, 30, 90)
MODELS = ["landnet-s", "landnet", "landnet-l", "resnet18", "resnet34", "resnet50"]
"""Each better than the one before, and slower."""


def search(folder: Path, name: str = "several", **more: Any) -> SearchSettings:
    """A search in which no model is best in both."""
    plain = {"name": name, "data": str(folder), "experiments": folder, "trials": 24, "sampler": "nsga2"}
    plain |= {"objectives": ["ap_macro", "latency"], "constraints": ["latency <= 5 ms", "size <= 1 MB"]}
    plain |= {"space": {"model": MODELS, "bands": "all", "batch_size": 16}}
    return SearchSettings.parse(plain | more)


def begun(settings: SearchSettings) -> None:
    """The study as `tune.search` creates it."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    (settings.folder / "search.yaml").write_text(settings.dump_yaml(), encoding="utf-8")
    storage = open_storage(settings, settings.folder)
    wanted = directions([settings.metric, *settings.costs])
    optuna.create_study(storage=storage, study_name=settings.name, directions=wanted)


def reopened(settings: SearchSettings) -> StudySearcher:
    """As another process has it."""
    storage = open_storage(settings, settings.folder)
    known = len(optuna.load_study(study_name=settings.name, storage=storage).trials)
    record = Record(settings, storage, sampler(settings, known))
    owed = settings.trials - sum(each.state != "failed" for each in record.standings())
    return StudySearcher(record, Rules(RUNGS, finalists=4, early_end=False), owed)


def report(parameters: dict[str, Any], patches: int, *, costs: bool = True) -> dict[str, Any]:
    """As Tune hands it on: a quality by model, and within a model by rate; a latency from 1 to 6 ms."""
    place = MODELS.index(parameters["model"])
    value = place / 10 + 10 * parameters["learning_rate"] - 0.1 / patches
    curve = {"ap_macro": value, "f1_macro": value / 2, "epoch": 1, "patches": patches, "seconds": patches / 10}
    told = {"ap_macro": value, "patches": patches, "best": value, "rung": True, "final": patches == RUNGS[-1]}
    measured = {"costs/latency": 1.0 + place, "costs/size": 4e5} if costs else {}
    return told | {f"curve/{name}": each for name, each in curve.items()} | measured


def play(searcher: StudySearcher, jobs: int = 10**6) -> Study:
    """Run jobs as Tune runs them, to the last or until so many; the fifth trial diverges after its first rung."""
    scheduler = PauseAndPromote(searcher)
    for job in map(str, range(jobs)):
        told = searcher.suggest(job)
        if not isinstance(told, dict):
            searcher.record.close()
            break

        class Run:
            trial_id, config = job, told

        for patches in RUNGS:
            if patches > told[REPORTED]:
                result = report(told[PARAMETERS], patches, costs=bool(searcher.record.settings.measured))
                if told[NUMBER] == 5:
                    searcher.on_trial_result(job, result)
                    result = {"ap_macro": 0.0, "failed": "it diverged"}
                    break
                if scheduler.on_trial_result(None, Run, result) == "STOP":
                    break
        searcher.on_trial_complete(job, result)
    return open_study(searcher.record.settings.experiments, searcher.record.settings.name)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that evolution has drawn all of, over."""
    settings = search(tmp_path_factory.mktemp("experiments"), priors=False)
    begun(settings)
    return play(reopened(settings))


@pytest.mark.parametrize("name", ["nsga2", "tpe", "random", "gp"])
def test_a_study_of_two_objectives_holds_what_optuna_expects(tmp_path: Path, name: str) -> None:
    settings = search(tmp_path, sampler=name, trials=8)
    begun(settings)
    play(reopened(settings), jobs=6)
    study = play(reopened(settings))  # killed between, and gone on with
    held = optuna.load_study(study_name="several", storage=open_storage(settings, settings.folder))
    assert len(study.trials) == 9, "where a search goes on, another is drawn for the one that failed"
    states = {each.state for each in held.trials}
    assert states == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    for each in held.trials:
        assert set(each.intermediate_values) <= {*RUNGS}, "quality by step, whatever else is an objective"
        assert each.constraints == {
            "latency": pytest.approx(each.user_attrs[COSTS]["latency"] / 5 - 1),
            "size": pytest.approx(-0.6),
        }
        if each.state == TrialState.COMPLETE:
            assert each.values == [max(each.intermediate_values.values()), each.user_attrs[COSTS]["latency"]]
        else:
            assert each.values is None
    assert sorted(each.number for each in held.best_trials) == sorted(row.number for row in study.ranked())
    assert study.best is not None
    assert study.best.value == max(row.value or 0 for row in study.ranked())
    assert study.best.costs["latency"] <= 5


def test_evolution_breeds_from_trials_that_rest(played: Study) -> None:
    """Few trials run to their end: were these alone parents, all would be drawn at random."""
    settings = played.settings
    trials = optuna.load_study(study_name="several", storage=open_storage(settings, settings.folder)).trials
    generations = [value for each in trials for key, value in each.system_attrs.items() if "generation" in key]
    assert max(generations) >= 3
    complete = sum(each.state == TrialState.COMPLETE for each in trials)
    assert complete < settings.trials / 2


def test_a_set_of_trials_goes_to_the_end_and_nobody_who_breaks_a_bound_before_them(tmp_path: Path) -> None:
    settings = search(tmp_path, sampler="random", trials=16)
    begun(settings)
    study = play(reopened(settings))
    complete = [row for row in study.trials if row.state == "complete"]
    assert len(study.ranked()) >= 4, "quality alone would finish those of one or two models"
    assert all(row.costs["latency"] <= 5 for row in complete)
    assert max(row.value or 0 for row in study.trials) > (study.best.value or 1 if study.best else 1)


def test_without_a_trial_within_the_constraints_the_nearest_is_said(tmp_path: Path) -> None:
    settings = search(tmp_path, constraints=["latency <= 0.1 ms", "size <= 1 MB"], trials=6)
    begun(settings)
    study = play(reopened(settings))
    assert study.best is not None
    nearest = min(row.costs["latency"] for row in study.trials if row.state == "complete")
    assert study.best.costs["latency"] == nearest
    found = described(tmp_path, "several")
    assert found["constraints"] == (
        f"no trial keeps to latency <= 0.1 ms, size <= 1 MB; trial {study.best.number} comes nearest, "
        f"with latency {nearest:.3g} ms, size 400 kB"
    )
    assert found["pareto"] == []


def test_one_objective_with_a_constraint_has_the_best_that_keeps_to_it(tmp_path: Path) -> None:
    one: dict[str, Any] = {"objectives": [], "sampler": "tpe", "trials": 12}
    settings = search(tmp_path, constraints=["latency <= 3 ms", "f1_macro >= 0.01"], **one)
    begun(settings)
    study = play(reopened(settings))
    held = optuna.load_study(study_name="several", storage=open_storage(settings, settings.folder))
    assert study.best is not None
    assert study.best.costs["latency"] <= 3
    assert held.best_trial.number == study.best.number, "by Optuna's own count, too"
    assert held.trials[0].constraints.keys() == {"latency", "f1_macro"}
    found = described(tmp_path, "several")
    assert found["pareto"] == []
    assert found["constraints"].endswith("complete trials keep to latency <= 3 ms, f1_macro >= 0.01")


def test_it_is_shown_in_the_terminal_and_on_the_page(played: Study) -> None:
    folder = played.settings.experiments
    found = described(folder, "several")
    rows = found["pareto"]
    assert [row["trial"] for row in rows] == [row.number for row in played.ranked()]
    assert rows == sorted(rows, key=lambda row: -row["ap_macro"])
    assert [row["latency_ms"] for row in rows] == sorted((row["latency_ms"] for row in rows), reverse=True)
    assert [row["wins"] for row in rows] == ["yes", *[""] * (len(rows) - 1)]
    assert found["best"] == rows[0]["trial"]
    assert all("latency_ms" in row for row in found["trials"])
    shown = view(folder, "several", None, "best")
    assert f"by trial {found['best']}" in shown.summary
    assert "★ best" in shown.table


def test_a_trial_whose_net_was_not_measured_does_not_count_as_complete(tmp_path: Path) -> None:
    settings = search(tmp_path, trials=1)
    begun(settings)
    searcher = reopened(settings)
    told = searcher.suggest("a")
    assert isinstance(told, dict)
    searcher.on_trial_complete("a", report(told[PARAMETERS], 90, costs=False))
    (row,) = open_study(tmp_path, "several").trials
    assert (row.state, row.reason) == ("failed", "it was not measured what its net costs")


@pytest.mark.parametrize("several", [True, False])
def test_a_study_of_one_and_of_several_objectives_takes_one_of_several_over(played: Study, *, several: bool) -> None:
    one = {} if several else {"objectives": [], "constraints": [], "sampler": "tpe"}
    folder, name = played.settings.experiments, "new" if several else "one"
    settings = search(folder, name, data=played.settings.data, trials=6, **one, **{"from": ["several"]})
    begun(settings)
    found = earlier(settings)
    assert found.points
    assert len(found.trials) == 23, "all but the one that failed"
    optuna.load_study(study_name=name, storage=open_storage(settings, settings.folder)).add_trials(found.trials)
    study = play(reopened(settings))
    assert [row.number for row in study.trials] == [*range(23, 29)]
    assert study.best is not None
    assert study.row(study.best.number) is study.best
    if several:
        return
    into = search(folder, "into", data=played.settings.data, **{"from": [name]})
    left = earlier(into)
    assert (left.trials, bool(left.points)) == ([], True)
    assert {*left.left_out} == {"whose nets were not measured for today's objectives and constraints"}


def test_the_first_measurement_of_a_net_counts_for_all_its_trials(tmp_path: Path) -> None:
    settings = search(tmp_path, space={"model": "landnet", "bands": ["all", "rgb"], "batch_size": 16})
    begun(settings)
    record = reopened(settings).record
    points = [{"bands": "all"}, {"bands": "rgb"}, {"bands": "all"}]
    numbers = [record.draw(define(settings.space), point) for point in points]
    for number, latency in zip(numbers, (3.0, 2.0, 2.5), strict=True):
        record.measured(number, {"latency": latency, "size": 1.0})
    again = reopened(settings).record
    again.measured(again.draw(define(settings.space), points[1]), {"latency": 9.0, "size": 1.0})
    assert [row.costs["latency"] for row in open_study(tmp_path, "several").trials] == [3, 2, 3, 2]
