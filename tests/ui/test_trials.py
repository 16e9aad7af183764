"""What the Trials page shows of a study."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines.errors import StudyError
from tests.ui.stand_in import make_study
from tune.study import open_study
from ui import chart, trials


def test_every_trial_is_in_the_table_and_the_best_one_marked(experiments: Path) -> None:
    seen = trials.view(experiments, "first", None, "best")
    best = open_study(experiments, "first").best
    assert best is not None
    rows = re.findall(r"<tr.*?</tr>", seen.table)[1:]
    assert len(rows) == 7
    assert [i for i, row in enumerate(rows) if "★" in row] == [0]
    assert f'<th scope="row">{best.number} ' in rows[0] and f"{best.value:.4f}" in rows[0]
    for state in ("running", "complete", "pruned", "failed"):
        assert state in seen.table


def test_reasons_are_escaped(experiments: Path) -> None:
    table = trials.view(experiments, "first", None, "best").table
    assert "loss is &lt;NaN&gt; at epoch 3" in table


def test_newest_first_is_by_number(experiments: Path) -> None:
    table = trials.view(experiments, "first", None, "newest").table
    assert [int(n) for n in re.findall(r'<th scope="row">(\d+)', table)] == [6, 5, 4, 3, 2, 1, 0]


def test_one_line_a_trial_of_the_chosen_metric(experiments: Path) -> None:
    seen = trials.view(experiments, "first", "validation_loss", "best")
    assert seen.metric == "validation_loss"
    assert seen.metrics[:3] == ("ap_macro", "validation_loss", "train_loss") and "f1_macro" in seen.metrics
    assert seen.chart.count('class="ls-hit"') == 7
    assert "epoch" not in seen.metrics


def test_unknown_metric_falls_back_to_the_studys_own(experiments: Path) -> None:
    assert trials.view(experiments, "first", "<script>", "best").metric == "ap_macro"


def test_running_study_is_looked_at_again_and_a_finished_one_not(experiments: Path, tmp_path: Path) -> None:
    make_study(tmp_path, "done", "cc")
    assert trials.view(experiments, "first", None, "best").running
    assert not trials.view(tmp_path, "done", None, "best").running


def test_no_study_names_the_command(tmp_path: Path) -> None:
    assert trials.studies(tmp_path) == []
    assert "landsweep search run search.yaml" in trials.view(tmp_path, None, None, "best").summary


def test_study_without_trials_is_no_error(tmp_path: Path) -> None:
    make_study(tmp_path, "fresh", "")
    seen = trials.view(tmp_path, "fresh", None, "best")
    assert "No trial has started" in seen.table and "No epoch is finished" in seen.chart


def test_unknown_study_hides_where_studies_are(experiments: Path) -> None:
    seen = trials.view(experiments, "../../etc", None, "best")
    assert "no study" in seen.summary.lower()
    assert str(experiments) not in seen.summary


def test_damaged_study_is_one_message_without_a_path(tmp_path: Path) -> None:
    make_study(tmp_path, "first", "c")
    (tmp_path / "first" / "search.yaml").write_text("name: [", encoding="utf-8")
    seen = trials.view(tmp_path, "first", None, "best")
    assert seen.summary.count('role="alert"') == 1 and str(tmp_path) not in seen.summary


def test_a_damaged_database_is_the_studys_own_and_no_wrong_address(tmp_path: Path) -> None:
    make_study(tmp_path, "first", "c")
    (tmp_path / "first" / "study.db").write_bytes(b"junk" * 100)
    with pytest.raises(StudyError, match="first: study's state is damaged"):
        open_study(tmp_path, "first")


@pytest.mark.parametrize(
    "low, high", [(0.0, 1.0), (0.31, 0.76), (5.0, 5.0), (0.0, 0.0), (1e-6, 3e-6), (-2.0, 900.0), (0.85, 0.85 + 1e-16)]
)
def test_ticks_span_the_values_and_are_few(low: float, high: float) -> None:
    marks = chart.ticks(low, high)
    assert marks[0] <= low + 1e-12 and marks[-1] >= high - 1e-12
    assert 2 <= len(marks) <= 8
    assert len(set(marks)) == len(marks)


def test_single_epoch_draws_a_dot() -> None:
    html = chart.draw([chart.Line("trial 0", "running", [(1.0, 0.5)])], "ap_macro")
    assert "ls-dots" in html and "nan" not in html


def test_names_in_the_chart_are_escaped() -> None:
    html = chart.draw([chart.Line("<b>", "complete", [(1.0, 0.5), (2.0, 0.6)])], "<script>")
    assert "<script>" not in html and "<b>, complete" not in html
