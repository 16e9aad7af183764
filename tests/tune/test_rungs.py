"""Rungs, promotion by cost, the ceiling, finalists: pure functions of what trials came to, whoever runs them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune.schedule.rungs import Standing, State, agree, ceiling, finalists, levels, noise, promotable

RUNGS = levels(10, 3, 270)


def stand(number: int, *values: float, cost: float = 1.0, state: State = "paused") -> Standing:
    """Of a trial with a value on each rung so far; each patch costs the same."""
    steps = RUNGS[: len(values)]
    return Standing(number, dict(zip(steps, values, strict=True)), {step: cost * step for step in steps}, state)


few = settings(max_examples=60)  # each is a whole search

states: st.SearchStrategy[State] = st.sampled_from(["running", "paused", "interrupted", "complete", "failed", "pruned"])
curves = st.lists(st.floats(0, 1), max_size=len(RUNGS))


@st.composite
def searches(draw: st.DrawFn) -> list[Standing]:
    """Up to twelve trials, anywhere, in any state, of any cost; values may be equal."""
    rows = draw(st.lists(st.tuples(curves, st.floats(0.1, 30), states), max_size=12))
    return [stand(number, *values, cost=cost, state=state) for number, (values, cost, state) in enumerate(rows)]


def test_rungs_grow_by_the_reduction_and_end_with_the_trial() -> None:
    assert levels(10, 3, 270) == (10, 30, 90, 270)
    assert levels(326, 3, 8820) == (326, 978, 2934, 8820)
    assert levels(10, 3, 260) == (10, 30, 90, 260)
    assert levels(10, 3, 100) == (10, 30, 100)  # 90 is as good as the end
    assert levels(10, 3, 10) == levels(100, 3, 10) == (10,)


@given(st.integers(1, 1000), st.integers(2, 20), st.integers(1, 10**7))
def test_rungs_rise_and_the_last_is_the_end(grace: int, reduction: int, total: int) -> None:
    found = levels(grace, reduction, total)
    assert found[-1] == total and list(found) == sorted(set(found))
    assert all(above == reduction * below for below, above in pairwise(found[:-1]))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 9, 10, 30])
def test_of_equal_costs_the_best_third_goes_on(count: int) -> None:
    there = [stand(number, number / 100) for number in range(count)]
    gone = []
    while (found := promotable(there, RUNGS, 3, 3)) is not None:
        gone.append(found.number)
        there[found.number] = stand(found.number, *found.values.values(), 0.0, state="running")
    assert gone == list(range(count))[::-1][: count // 3]


def test_clocks_that_differ_a_little_do_not_keep_the_best_of_three() -> None:
    there = [stand(0, 0.9, cost=1.05), stand(1, 0.5, cost=0.99), stand(2, 0.4, cost=1.01)]
    assert promotable(there, RUNGS, 3, 3) is there[0]


def test_dear_net_counts_for_more() -> None:
    """What costs more than a third of the rung is not promoted on its account; three like it pay for one."""
    cheap = [stand(number, 0.1, cost=1) for number in range(5)]
    dear = stand(9, 0.9, cost=10)
    assert promotable([*cheap, dear], RUNGS, 3, 3) is None
    assert promotable([*cheap, dear, stand(10, 0.2, cost=10), stand(11, 0.2, cost=10)], RUNGS, 3, 3) is dear


def test_cheap_net_goes_on_where_it_is_among_the_best_of_the_seconds() -> None:
    there = [stand(0, 0.9, cost=1), stand(1, 0.8, cost=1), stand(2, 0.1, cost=10)]
    assert promotable(there, RUNGS, 3, 3) is there[0]
    there[0] = stand(0, 0.9, 0.9, cost=1)
    assert promotable(there, RUNGS, 3, 3) is there[1], "the two of them cost less than a third"


def test_failed_trials_count_neither_for_nor_against() -> None:
    there = [stand(number, 0.1 * number) for number in range(3)]
    failed = [stand(number, 1.0, 1.0, state="failed") for number in range(3, 9)]
    assert promotable(there + failed, RUNGS, 3, 3) is there[2]
    assert promotable(there[:2] + failed, RUNGS, 3, 3) is None
    assert ceiling(failed, RUNGS) == 1
    assert finalists(failed, 3) == []


def test_highest_rung_comes_first() -> None:
    high = [stand(number, 0.2, 0.3 + number / 10) for number in range(3)]
    low = [stand(number, 0.9) for number in range(3, 12)]
    assert promotable(low + high, RUNGS, 3, 3) is high[2]
    assert promotable(low + high, RUNGS, 3, 1) in low


def test_who_is_at_the_top_is_never_promoted() -> None:
    there = [stand(number, 0.1, 0.2, 0.3, 0.4) for number in range(9)]
    assert promotable(there, RUNGS, 3, 3) is None
    assert promotable([stand(number, 0.1, 0.2) for number in range(9)], RUNGS, 3, 1) is None


@few
@given(searches(), st.integers(2, 5), st.integers(0, 5))
def test_whoever_is_promoted_is_paused_below_the_top_and_no_better_one_waits(
    there: list[Standing], reduction: int, top: int
) -> None:
    found = promotable(there, RUNGS, reduction, top)
    if found is None:
        return
    assert found.state == "paused" and 0 < found.patches < RUNGS[min(top, len(RUNGS) - 1)]
    rung = max(level for level in RUNGS if level <= found.patches)
    waiting = [each for each in there if each.state == "paused" and each.patches == rung]
    assert found.best(rung) == max(each.best(rung) for each in waiting)


@few
@given(searches(), st.data())
def test_order_of_arrival_does_not_matter(there: list[Standing], data: st.DataObject) -> None:
    other = data.draw(st.permutations(there))
    assert verdicts(there) == verdicts(other) == verdicts(there)


def verdicts(there: Sequence[Standing]) -> tuple[object, ...]:
    """All that is decided about some trials."""
    top = ceiling(there, RUNGS)
    return promotable(there, RUNGS, 3, top), promotable(there, RUNGS, 3, 9), top, finalists(there, 3)


@few
@given(searches())
def test_promotions_come_to_an_end(there: list[Standing]) -> None:
    """With no new trials, every promotion is one of at most so many steps up."""
    for _ in range(len(there) * len(RUNGS)):
        found = promotable(there, RUNGS, 3, 3)
        if found is None:
            return
        place = there.index(found)
        there[place] = stand(found.number, *found.values.values(), 0.5)
    assert promotable(there, RUNGS, 3, 3) is None


def test_ceiling_is_low_while_orders_agree_and_rises_where_they_do_not() -> None:
    assert ceiling([], RUNGS) == 1
    steady = [stand(0, 0.1, 0.2, 0.3), stand(1, 0.2, 0.3, 0.4), stand(2, 0.3, 0.4, 0.5)]
    assert ceiling(steady, RUNGS) == 1
    crossed = [stand(0, 0.1, 0.9), stand(1, 0.2, 0.3), stand(2, 0.3, 0.4)]
    assert ceiling(crossed, RUNGS) == 2
    again = [stand(0, 0.1, 0.5, 0.6), stand(1, 0.2, 0.3, 0.8), stand(2, 0.3, 0.4, 0.7)]
    assert ceiling(again, RUNGS) == 3
    assert ceiling(crossed, RUNGS[:2]) == 1, "there is no rung above"


def test_places_that_noise_exchanges_do_not_raise_the_ceiling() -> None:
    """Two curves that cross and cross back tell how far apart others have to be for their order to mean something."""
    steps = range(1, 31)
    wobble = {step: 0.5 + (0.03 if step % 2 else -0.03) for step in steps}
    flat = dict.fromkeys(steps, 0.5)
    close = {step: (0.48 if step < 20 else 0.53) for step in steps}
    far = {step: (0.30 if step < 20 else 0.70) for step in steps}
    seconds = {step: float(step) for step in steps}
    noisy = [Standing(0, wobble, seconds, "paused"), Standing(1, flat, seconds, "paused")]
    assert noise(noisy, 30) == pytest.approx(0.03)
    assert agree([*noisy, Standing(2, close, seconds, "paused")], 10, 30)
    assert not agree([*noisy, Standing(2, far, seconds, "paused")], 10, 30)


@few
@given(searches(), st.integers(1, 5))
def test_finalists_are_the_best_that_did_not_fail(there: list[Standing], count: int) -> None:
    found = finalists(there, count)
    usable = [each for each in there if each.values and each.state != "failed"]
    assert len(found) == min(count, len(usable))
    assert [each.best() for each in found] == sorted((each.best() for each in usable), reverse=True)[:count]


def test_value_on_a_rung_is_the_best_up_to_its_first_report() -> None:
    trial = Standing(0, {8: 0.5, 12: 0.4, 40: 0.9}, {8: 1.0, 12: 2.0, 40: 5.0}, "paused")
    assert (trial.best(10), trial.best(8), trial.best(), trial.cost(10)) == (0.5, 0.5, 0.9, 2.0)
    assert Standing(0, {}, {}, "running").best() < 0


def standing(number: int, value: float, *costs: float, broken: float = 0.0) -> Standing:
    return Standing(number, {10: value}, {10: 1.0}, "paused", broken, costs)


def test_with_costs_the_finalists_are_those_that_no_other_beats() -> None:
    dear, cheap, beaten, unknown = (
        standing(0, 0.9, 50),
        standing(1, 0.5, 10),
        standing(2, 0.8, 60),
        standing(3, 0.7),
    )
    found = finalists([beaten, cheap, unknown, dear], 4)
    assert [each.number for each in found] == [0, 1, 2, 3], "what is not measured is taken for dear"
    over = standing(4, 1.0, 1, broken=0.1), standing(5, 1.0, 1, broken=0.2)
    assert [each.number for each in finalists([*over, beaten, dear], 4)] == [0, 2, 4, 5]


def test_a_net_that_costs_more_than_it_may_is_not_promoted_before_one_that_does_not() -> None:
    there = [standing(number, 0.9 - number / 10, broken=float(number < 2)) for number in range(4)]
    found = promotable(there, (10, 30), 3, 1)
    assert found is not None
    assert found.number == 2
