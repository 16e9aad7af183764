"""The bridge: every trial stands in the study as it truly does, whatever Tune saw last, and jobs go by that alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from tune.drawing.points import next_point
from tune.drawing.samplers import sampler
from tune.schedule.next_job import Rules
from tune.schedule.record import Record
from tune.schedule.scheduler import PauseAndPromote
from tune.schedule.searcher import StudySearcher
from tune.settings import Scheduler, SearchSettings
from tune.space import define
from tune.study import TrialRow, open_storage, open_study
from tune.trials.job import NUMBER, PARAMETERS, TO_END

ALL = Rules(rungs=(90,))
RUNGS = Rules(rungs=(10, 30, 90), reduction=3, finalists=1, early_end=False)


@pytest.fixture
def settings(tmp_path: Path) -> SearchSettings:
    settings = SearchSettings(name="bridge", data=str(tmp_path), experiments=tmp_path, epochs=3, trials=9)
    settings.folder.mkdir()
    (settings.folder / "search.yaml").write_text(settings.dump_yaml(), encoding="utf-8")
    optuna.create_study(storage=open_storage(settings, settings.folder), study_name="bridge", direction="maximize")
    return settings


def reopened(settings: SearchSettings, rules: Rules = ALL, owed: int = 9, **more: Any) -> StudySearcher:
    """A searcher over the study as it is on the disk, as another process would have it."""
    storage = open_storage(settings, settings.folder)
    known = len(optuna.load_study(study_name="bridge", storage=storage).trials)
    return StudySearcher(Record(settings, storage, sampler(settings, known)), rules, owed, **more)


def report(patches: int, value: float, **more: Any) -> dict[str, Any]:
    """A report as Tune hands it on: nested keys joined by slashes."""
    curve = {"curve/epoch": patches / 30, "curve/patches": patches, "curve/seconds": patches / 10}
    return {"ap_macro": value, "patches": patches, "best": value, "curve/ap_macro": value, **curve, **more}


def rows(settings: SearchSettings) -> list[TrialRow]:
    return open_study(settings.experiments, settings.name).trials


def given(searcher: StudySearcher, job: str) -> dict[str, Any]:
    told = searcher.suggest(job)
    assert isinstance(told, dict)
    return told


class Job:
    """What a scheduler sees of a job."""

    def __init__(self, trial_id: str, config: dict[str, Any]) -> None:
        self.trial_id, self.config = trial_id, config


def run(searcher: StudySearcher, job: str, *reports: dict[str, Any]) -> dict[str, Any]:
    """A job as Tune runs it, until its scheduler ends it or its reports do."""
    told = given(searcher, job)
    scheduler = PauseAndPromote(searcher)
    for each in reports:
        if scheduler.on_trial_result(None, Job(job, told), each) == TrialScheduler.STOP:
            searcher.on_trial_complete(job, each)
            return told
        searcher.on_trial_result(job, each)
    searcher.on_trial_complete(job, reports[-1])
    return told


def test_complete_trial_has_its_best_value_not_its_last(settings: SearchSettings) -> None:
    searcher = reopened(settings)
    run(searcher, "t", report(30, 0.7), report(60, 0.6), report(90, 0.5, best=0.7, final=True))
    (row,) = rows(settings)
    assert (row.state, row.value, row.patches, row.epochs, row.seconds) == ("complete", 0.7, 90, 3, 9.0)
    assert [curve["ap_macro"] for curve in row.curves] == [0.7, 0.6, 0.5]


def test_trial_stopped_by_a_scheduler_of_rays_is_pruned_with_its_last_report(settings: SearchSettings) -> None:
    searcher = reopened(settings)
    given(searcher, "t")
    searcher.on_trial_complete("t", report(30, 0.4, final=False))
    (row,) = rows(settings)
    assert (row.state, row.value, row.epochs, len(row.curves)) == ("pruned", 0.4, 1, 1)


def test_failures_are_failed_with_their_reason(settings: SearchSettings) -> None:
    searcher = reopened(settings)
    for name in ("diverged", "killed"):
        given(searcher, name)
    searcher.on_trial_result("diverged", report(30, 0.4))
    searcher.on_trial_complete("diverged", {"ap_macro": 0.0, "failed": "loss is nan in epoch 2, step 5"})
    searcher.on_trial_complete("killed", None, error=True)
    assert [(row.state, row.reason) for row in rows(settings)] == [
        ("failed", "loss is nan in epoch 2, step 5"),
        ("failed", "the worker ended without a word"),
    ]
    assert open_study(settings.experiments, settings.name).best is None


def test_report_repeated_after_a_restart_counts_once(settings: SearchSettings) -> None:
    searcher = reopened(settings)
    given(searcher, "t")
    for patches, value in ((10, 0.3), (20, 0.4), (20, 0.4), (30, 0.5), (20, 0.4), (30, 0.5)):
        searcher.on_trial_result("t", report(patches, value))
    assert [curve["patches"] for curve in rows(settings)[0].curves] == [10, 20, 30]


def test_second_completion_changes_nothing(settings: SearchSettings) -> None:
    searcher = reopened(settings)
    given(searcher, "t")
    searcher.on_trial_complete("t", report(90, 0.5, final=True))
    searcher.on_trial_complete("t", report(90, 0.9, final=True))
    assert rows(settings)[0].value == 0.5


def test_a_trial_rests_at_a_rung_and_the_best_goes_on_as_another_job(settings: SearchSettings) -> None:
    searcher = reopened(settings, RUNGS)
    for number, value in enumerate((0.5, 0.6)):
        told = run(searcher, f"job {number}", report(10, value, rung=True))
        assert (told[NUMBER], told[TO_END]) == (number, False)
    assert [(row.state, row.reason) for row in rows(settings)] == [("paused", "")] * 2
    run(searcher, "job 2", report(10, 0.4, rung=True))
    told = given(searcher, "job 3")
    assert (told[NUMBER], told[PARAMETERS]) == (1, rows(settings)[1].parameters)
    assert [row.state for row in rows(settings)] == ["paused", "running", "paused"]


def test_a_trial_that_would_go_on_next_is_not_stopped_first(settings: SearchSettings) -> None:
    searcher = reopened(settings, RUNGS)
    for number, value in enumerate((0.5, 0.4)):
        run(searcher, f"job {number}", report(10, value, rung=True))
    run(searcher, "job 2", report(10, 0.9, rung=True), report(30, 0.8, rung=True))
    assert [row.patches for row in rows(settings)] == [10, 10, 30]


def test_a_search_that_was_killed_goes_on_with_what_ran_and_what_rested(settings: SearchSettings) -> None:
    """Nothing of the first process is left but the study; the rungs are what they were, and nothing is drawn twice."""
    searcher = reopened(settings, RUNGS, owed=4)
    for number, value in enumerate((0.5, 0.6, 0.4)):
        run(searcher, f"job {number}", report(10, value, rung=True))
    given(searcher, "runs")  # the second, promoted
    searcher.on_trial_result("runs", report(20, 0.7))
    again = reopened(settings, RUNGS, owed=1)
    told = run(again, "goes on", report(30, 0.8, rung=True))
    assert told[NUMBER] == 1
    assert [(row.state, row.patches) for row in rows(settings)] == [("paused", 10), ("paused", 30), ("paused", 10)]
    assert given(again, "new")[NUMBER] == 3
    again.on_trial_complete("new", report(10, 0.1, failed="it diverged"))
    told = run(again, "finalist", report(90, 0.9, rung=True, final=True))
    assert (told[NUMBER], told[TO_END]) == (1, True)
    assert again.suggest("none") == Searcher.FINISHED
    again.record.close()
    assert [row.state for row in rows(settings)] == ["pruned", "complete", "pruned", "failed"]


def test_where_all_jobs_are_ended_their_trials_are_left_to_go_on(settings: SearchSettings) -> None:
    searcher = reopened(settings, RUNGS, stopping=lambda: True)
    given(searcher, "t")
    searcher.on_trial_complete("t", report(20, 0.4, rung=True))
    assert rows(settings)[0].state == "running"
    assert given(reopened(settings, RUNGS), "again")[NUMBER] == 0


def test_no_job_is_handed_out_while_another_may_bring_one_about(settings: SearchSettings) -> None:
    searcher = reopened(settings, RUNGS, owed=1)
    given(searcher, "t")
    assert searcher.suggest("later") is None
    searcher.on_trial_complete("t", {"failed": "it diverged"})
    assert searcher.suggest("later") == Searcher.FINISHED


def test_resting_trials_beyond_the_most_are_pruned_the_worst_first(settings: SearchSettings) -> None:
    settings = settings.model_copy(update={"scheduler": Scheduler(paused=2)})
    searcher = reopened(settings, RUNGS)
    for number, value in enumerate((0.5, 0.2, 0.4)):
        run(searcher, f"job {number}", report(10, value, rung=True))
    assert [row.state for row in rows(settings)] == ["paused", "pruned", "paused"]


def test_reopened_study_draws_anew(settings: SearchSettings) -> None:
    first = [given(reopened(settings), f"a{i}")[PARAMETERS] for i in range(4)]
    assert len({str(draw) for draw in first}) == 1, "an interrupted trial goes on as it was drawn"
    searcher = reopened(settings)
    second = [given(searcher, f"b{i}")[PARAMETERS] for i in range(4)]
    assert len({str(draw) for draw in [first[0], *second[1:]]}) == 4


def test_the_sampler_sees_a_resting_trial_as_pruned_where_it_rests(settings: SearchSettings) -> None:
    searcher = reopened(settings, RUNGS)
    run(searcher, "t", report(10, 0.5, rung=True))
    (seen,) = searcher.record.study.get_trials(states=(optuna.trial.TrialState.PRUNED,))
    assert (seen.number, seen.intermediate_values) == (0, {10: 0.5})
    stored = optuna.load_study(study_name="bridge", storage=searcher.record.storage).trials[0]
    assert stored.state == optuna.trial.TrialState.RUNNING


def test_with_one_worker_draws_states_and_values_are_plain_optunas(settings: SearchSettings) -> None:
    """The same seed, the same space, a value that depends on what was drawn: trial for trial the same study."""

    def value(parameters: dict[str, Any]) -> float:
        return float(parameters["learning_rate"] * 100 + parameters["batch_size"] / 1000)

    searcher = reopened(settings)
    for number in range(9):
        told = given(searcher, str(number))
        searcher.on_trial_complete(str(number), report(90, value(told[PARAMETERS]), final=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # group, since 2020
        plain = optuna.create_study(direction="maximize", sampler=sampler(settings, 0))
    for _ in range(9):
        if point := next_point(settings, plain.get_trials(deepcopy=False)):
            plain.enqueue_trial(point)
        trial = plain.ask()
        define(settings.space)(trial)
        plain.tell(trial, value(trial.params))
    ours = optuna.load_study(study_name="bridge", storage=searcher.record.storage)
    assert [(each.state, each.value, each.params) for each in ours.trials] == [
        (each.state, each.value, each.params) for each in plain.trials
    ]


def test_best_is_the_highest_complete_trial(settings: SearchSettings) -> None:
    searcher = reopened(settings)
    for name, value, final in (("a", 0.5, True), ("b", 0.6, True), ("c", 0.9, False)):
        given(searcher, name)
        searcher.on_trial_complete(name, report(90, value, final=final))
    best = open_study(settings.experiments, settings.name).best
    assert best is not None
    assert best.number == 1
