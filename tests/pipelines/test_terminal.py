"""Tables on standard output, and what the progress bar leaves on standard error."""

from __future__ import annotations

import re

import pytest

from pipelines.errors import InputError
from pipelines.terminal import complain, progress_bar, report


def test_names_in_brackets_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    report({"classes": [{"label": "Forest [dense]", "[/x]": "Road [/rail]"}]}, False, table="classes")
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("Forest [dense]", "Road [/rail]", "[/x]"))


def test_a_bar_that_showed_nothing_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError), progress_bar("steps"):
        raise InputError("no such folder", where="absent")
    complain("absent: no such folder")
    assert capsys.readouterr().err == "error: absent: no such folder\n"


def test_a_bar_shows_how_many_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("patches", "packing") as tell:
        tell(1, 4)
        tell(3, 4)
    shown = capsys.readouterr().err
    assert shown.startswith("packing ") and "3/4" in shown


def test_bars_may_follow_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    for unit in ("bytes", "patches"):
        with progress_bar(unit) as tell:
            tell(5, 0)
    shown = capsys.readouterr().err
    assert "5/? bytes" in shown and "patches" in shown.splitlines()[1]


@pytest.mark.parametrize("width", [40, 80, 300])
def test_tables_are_never_cut(width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what Rich takes for a terminal
    monkeypatch.setenv("COLUMNS", str(width))
    name = "Land principally occupied by agriculture, with significant areas of natural vegetation"
    titles = ["precision", "recall", "f1", "average_precision", "patches"]
    rows = [{"class": name} | {title: 0.10001 + place for place, title in enumerate(titles)} | {"patches": 12345678}]
    report({"classes": rows}, False, table="classes")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    assert {*titles[:3], titles[4], "0.1", "1.1", "2.1", "3.1", "12345678"} <= set(shown.split())
    assert set(re.split(r"\W+", name)) <= set(re.split(r"\W+", shown))


def test_a_table_without_rows_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    report({"classes": []}, False, table="classes")
    assert capsys.readouterr().out == ""
