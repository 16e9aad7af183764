"""Goals beside quality: what may be asked for, how far it is from being kept to, and who is beaten by nobody."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import SettingsError
from tune.objectives import COSTS, Bound, Goals, bound, broken, directions, measured, said, shares, unbeaten


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"objectives": ["latency"]}, "the first is a metric"),
        ({"objectives": ["latency", "ap_macro"]}, "the first is a metric"),
        ({"objectives": ["ap_macro", "f1_macro"]}, "the first is a metric"),
        ({"objectives": ["ap_macro", "size", "size"]}, "one is given twice"),
        ({"objectives": ["ap_macro", "hamming_loss"]}, "input should be"),
        ({"constraints": ["latency < 20 ms"]}, '"latency < 20 ms" is no constraint'),
        ({"constraints": ["latency >= 20 ms"]}, "bounds latency from its good side"),
        ({"constraints": ["ap_macro <= 0.5"]}, "bounds ap_macro from its good side"),
        ({"constraints": ["latency <= 20"]}, "latency is in ms or s"),
        ({"constraints": ["ap_macro >= 50 ms"]}, "ap_macro is in no unit"),
        ({"constraints": ["hamming_loss <= 0.1"]}, 'constraint on "hamming_loss", which is neither a goal nor'),
        ({"constraints": ["size <= 1 MB", "size <= 1 GB"]}, "a number is bounded twice"),
    ],
)
def test_goals_that_make_no_sense_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Goals.parse(wrong)
    assert said in str(caught.value)


def test_goals_say_what_is_measured() -> None:
    goals = Goals.parse({"objectives": ["ap_macro", "size"], "constraints": ["latency <= 0.02 s", "f1_macro >= 0.5"]})
    assert goals.measured == {"size", "latency"}
    assert goals.costs == ["size"]
    assert goals.bounds[0] == Bound(of="latency", most=True, value=20)
    assert directions([*goals.objectives]) == ["maximize", "minimize"]
    assert Goals().measured == set()


@given(st.sampled_from(sorted(COSTS)), st.integers(1, 10**6), st.data())
def test_bounds_hold_up_to_their_number_in_any_unit(of: str, number: int, data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(sorted(COSTS[of])))
    found = bound(f"{of} <= {number}{unit}")
    assert found.value == number * COSTS[of][unit]
    assert found.violation({of: found.value}) <= 0 < found.violation({of: found.value + 1})
    least = bound("ap_macro >= 0.5")
    assert least.violation({"ap_macro": 0.5}) <= 0 < least.violation({"ap_macro": 0.4})


def test_broken_bounds_count_by_their_share_whatever_they_are_of() -> None:
    goals = Goals.parse({"constraints": ["latency <= 20 ms", "size <= 1 MB", "ap_macro >= 0.5"]})
    found = {"latency": 30.0, "size": 5e5, "ap_macro": 0.4}
    assert shares(goals.bounds, found) == pytest.approx({"latency": 0.5, "size": -0.5, "ap_macro": 0.2})
    assert broken(goals.bounds, found) == pytest.approx(0.7)
    assert broken(goals.bounds, found | {"latency": 20.0, "ap_macro": 0.5}) == 0
    assert broken(goals.bounds, {"latency": 1.0, "size": 1.0}) == math.inf, "not measured is not kept to"
    assert broken([], {}) == 0


def test_constraints_are_held_against_the_report_that_the_bundle_is_of() -> None:
    curves = [{"ap_macro": 0.5, "f1_macro": 0.2}, {"ap_macro": 0.6, "f1_macro": 0.1}, {"ap_macro": math.nan}]
    assert measured(curves, "ap_macro", {"size": 3.0}) == {"ap_macro": 0.6, "f1_macro": 0.1, "size": 3.0}
    assert measured([], "ap_macro") == {}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_the_unbeaten_are_those_that_no_other_is_better_than(points: list[tuple[int, ...]]) -> None:
    def beats(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
        return first != second and all(a >= b for a, b in zip(first, second, strict=True))

    assert unbeaten(points) == [not any(beats(other, each) for other in points) for each in points]


@pytest.mark.parametrize(
    ("of", "value", "text"),
    [
        ("latency", 3.14159, "latency 3.14 ms"),
        ("latency", 0.05, "latency 0.05 ms"),
        ("latency", 2500, "latency 2.5 s"),
        ("parameters", 812, "parameters 812"),
        ("parameters", 104_000, "parameters 104 k"),
        ("size", 415_000, "size 415 kB"),
        ("size", 12, "size 0.012 kB"),
        ("f1_macro", 0.5, "f1_macro 0.500"),
    ],
)
def test_numbers_are_said_in_units_that_fit(of: str, value: float, text: str) -> None:
    assert said(of, value) == text
