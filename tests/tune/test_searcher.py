"""The bridge: every trial ends in the study with its true state and value, whatever Tune saw last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tune.searcher import StudySearcher
from tune.settings import SearchSettings
from tune.study import TrialRow, open_storage, open_study


@pytest.fixture
def settings(tmp_path: Path) -> SearchSettings:
    settings = SearchSettings(name="bridge", data=tmp_path, experiments=tmp_path, epochs=3, trials=4)
    settings.folder.mkdir()
    (settings.folder / "search.yaml").write_text(settings.dump_yaml(), encoding="utf-8")
    return settings


@pytest.fixture
def searcher(settings: SearchSettings) -> StudySearcher:
    return StudySearcher(settings, open_storage(settings, settings.folder), known=0)


def epoch(number: int, value: float, **more: Any) -> dict[str, Any]:
    """One report as Tune hands it on: nested keys joined by slashes."""
    return {"ap_macro": value, "epoch": number, "best": value, "curve/epoch": number, "curve/ap_macro": value, **more}


def rows(settings: SearchSettings) -> list[TrialRow]:
    return open_study(settings.experiments, settings.name).trials


def test_complete_trial_has_its_best_value_not_its_last(searcher: StudySearcher, settings: SearchSettings) -> None:
    searcher.suggest("t")
    searcher.on_trial_result("t", epoch(1, 0.7))
    searcher.on_trial_result("t", epoch(2, 0.6))
    searcher.on_trial_complete("t", epoch(3, 0.5, best=0.7, final=True))
    assert (rows(settings)[0].state, rows(settings)[0].value, rows(settings)[0].epochs) == ("complete", 0.7, 3)
    assert [curve["ap_macro"] for curve in rows(settings)[0].curves] == [0.7, 0.6, 0.5]


def test_trial_stopped_by_the_scheduler_is_pruned_with_its_last_epoch(
    searcher: StudySearcher, settings: SearchSettings
) -> None:
    searcher.suggest("t")
    searcher.on_trial_complete("t", epoch(1, 0.4, final=False))
    row = rows(settings)[0]
    assert (row.state, row.value, row.epochs, len(row.curves)) == ("pruned", 0.4, 1, 1)


def test_failures_are_failed_with_their_reason(searcher: StudySearcher, settings: SearchSettings) -> None:
    for name in ("diverged", "killed"):
        searcher.suggest(name)
    searcher.on_trial_result("diverged", epoch(1, 0.4))
    searcher.on_trial_complete("diverged", {"ap_macro": 0.0, "failed": "loss is nan in epoch 2, step 5"})
    searcher.on_trial_complete("killed", None, error=True)
    assert [row.state for row in rows(settings)] == ["failed", "failed"]
    assert rows(settings)[0].reason == "loss is nan in epoch 2, step 5"
    assert open_study(settings.experiments, settings.name).best is None


def test_epoch_repeated_after_a_restart_counts_once(searcher: StudySearcher, settings: SearchSettings) -> None:
    searcher.suggest("t")
    for number, value in ((1, 0.3), (2, 0.4), (2, 0.4), (3, 0.5)):
        searcher.on_trial_result("t", epoch(number, value))
    assert [curve["epoch"] for curve in rows(settings)[0].curves] == [1, 2, 3]


def test_second_completion_changes_nothing(searcher: StudySearcher, settings: SearchSettings) -> None:
    searcher.suggest("t")
    searcher.on_trial_complete("t", epoch(3, 0.5, final=True))
    searcher.on_trial_complete("t", epoch(3, 0.9, final=True))
    assert rows(settings)[0].value == 0.5


def test_reopened_study_draws_anew(searcher: StudySearcher, settings: SearchSettings) -> None:
    first = [searcher.suggest(f"a{i}") for i in range(4)]
    again = StudySearcher(settings, open_storage(settings, settings.folder), known=4)
    second = [again.suggest(f"b{i}") for i in range(4)]
    assert not any(draw in first for draw in second)


def test_best_is_the_highest_complete_trial(searcher: StudySearcher, settings: SearchSettings) -> None:
    for name, value, final in (("a", 0.5, True), ("b", 0.6, True), ("c", 0.9, False)):
        searcher.suggest(name)
        searcher.on_trial_complete(name, epoch(3, value, final=final))
    best = open_study(settings.experiments, settings.name).best
    assert best is not None
    assert best.number == 1
