"""Replayed searches: the clock adds up, and others' schedulers decide as they do themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers.async_hyperband import _Bracket
from ray.tune.schedulers.trial_scheduler import TrialScheduler

from benchmarks.contenders import SIMPLE, Bench
from benchmarks.curves import NETS, draw
from benchmarks.replay import RESTART, Curve, Report, outcome, read_curves, replay
from benchmarks.samplers import Sampler
from benchmarks.schedulers import Promote, RayAsha, ToTheEnd
from benchmarks.search import mean, reached

EPOCHS, EPOCH = 9, 10


class _Trial:
    """What Ray's bracket knows of a trial."""

    def __init__(self, number: int) -> None:
        self.trial_id = number


@pytest.fixture
def frame() -> pd.DataFrame:
    """Twelve trials of two models, one twice as dear; the sixth cannot go on after its fourth epoch."""
    generator = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for number in range(12):
        pace, top = 1 + number % 2, generator.uniform(0.5, 0.9)
        for third in range(1, 3 * EPOCHS + 1):
            if (third % 3 and third > 3) or (number == 5 and third > 12):
                continue
            inside = bool(third % 3)
            rows.append(
                {
                    "number": number,
                    "model": ("a", "b")[number % 2],
                    "learning_rate": float(generator.uniform(2e-4, 1e-2)) if third == 1 else rows[-1]["learning_rate"],
                    "weight_decay": 0.01,
                    "batch_size": 32,
                    "drop_path": 0.1,
                    "reason": "loss is nan" if number == 5 else "",
                    "patches": round(third * EPOCH / 3),
                    "value": top * (1 - math.exp(-third / 5)),
                    "seconds": third * pace / 3,
                    "check": 0.1 if inside else math.nan,
                    "test": math.nan if inside else top * (1 - math.exp(-third / 5)) - 0.05,
                }
            )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("workers", [1, 3])
def test_seconds_add_up(frame: pd.DataFrame, workers: int) -> None:
    curves = read_curves(frame)
    found = outcome(replay(ToTheEnd(Sampler(curves, 12, 0)), workers))
    whole = sum(curve.reports[-1].seconds for curve in curves)
    assert found.spent == pytest.approx(whole)
    assert whole / workers <= found.clock <= whole / workers + 18
    assert found.value == max(curve.best.value for curve in curves)
    assert found.at(0) == 0 and found.at(whole) == found.value


def test_report_inside_an_epoch_is_there_where_it_is_asked_for_and_costs_what_it_took(frame: pd.DataFrame) -> None:
    plain, asked = read_curves(frame)[0], read_curves(frame, 6)[0]
    assert [each.patches for each in plain.reports] == [10 * epoch for epoch in range(1, 10)]
    assert [each.patches for each in asked.reports][:2] == [7, 10]
    assert asked.reports[-1].seconds == pytest.approx(plain.reports[-1].seconds + 0.1)
    assert read_curves(frame, 10)[0] == plain


def test_every_contender_draws_so_many_and_chooses_among_them(frame: pd.DataFrame) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    bench = Bench(frame, validation=4)
    whole = sum(curve.reports[-1].seconds for curve in bench.inside)
    for name, make in (bench.contenders() | bench.with_tpe()).items():
        events = replay(make(8, 1), 2)
        numbers = {event.curve.number for event in events}
        assert len(numbers) == 8, name
        assert events == replay(make(8, 1), 2), name
        assert outcome(events).value <= bench.best and outcome(events).spent < whole + 8 * 4 * RESTART, name
        reports = [(event.curve.number, event.report.patches) for event in events]
        assert len(set(reports)) == len(reports), f"{name}: nothing is run twice"


def test_one_epoch_then_three(frame: pd.DataFrame) -> None:
    bench = Bench(frame, validation=4)
    events = replay(bench.contenders()[SIMPLE](12, 0), 1)
    counts = pd.Series([event.curve.number for event in events]).value_counts()
    first = {curve.number: curve.reports[0].value for curve in bench.epochs}
    assert set(counts.index[:3]) == set(sorted(first, key=lambda number: -first[number])[:3])
    assert (counts.iloc[3:] == 1).all()


def test_promote_runs_its_finalists_to_the_end_and_pays_for_pauses(frame: pd.DataFrame) -> None:
    curves = read_curves(frame)
    search = Promote(Sampler(curves, 12, 0), (10, 30, 90))
    events = replay(search, 1)
    last = {number: search.states[number] for number in search.curves}
    ranked = sorted(search.standings(), key=lambda each: (-each.best(), each.number))
    assert [last[each.number] for each in ranked if each.state != "failed"][:3] == ["complete"] * 3
    run = sum(search.curves[number].reports[place - 1].seconds for number, place in search.places.items())
    assert events[-1].spent > run
    assert (events[-1].spent - run) / RESTART == pytest.approx(round((events[-1].spent - run) / RESTART))


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1)), max_size=120))
@settings(deadline=None)
def test_asha_decides_as_rays_own(reports: list[tuple[int, float]]) -> None:
    """Trials report one epoch after another, in any order, until they are stopped."""
    theirs = _Bracket(EPOCH, EPOCHS * EPOCH, 3, 0)
    ours = RayAsha(Sampler([], 0, 0), EPOCH, EPOCHS * EPOCH)
    seen: dict[int, list[Report]] = {}
    over: set[int] = set()
    for number, value in reports:
        rows = seen.setdefault(number, [])
        if number in over or len(rows) == EPOCHS - 1:
            continue
        rows.append(Report(EPOCH * (len(rows) + 1), value, value, 0.0))
        wanted = theirs.on_result(_Trial(number), rows[-1].patches, value)
        goes_on = ours.goes_on(Curve(number, {}, tuple(rows)), len(rows) - 1)
        assert goes_on == (wanted == TrialScheduler.CONTINUE)
        over |= set() if goes_on else {number}


def test_share_of_seconds_until_the_others_regret(frame: pd.DataFrame) -> None:
    curves = read_curves(frame)
    slow = [outcome(replay(ToTheEnd(Sampler(curves, 12, seed)), 1)) for seed in range(20)]
    share, low, high = reached(slow, slow)
    assert 0 < low <= share <= high <= 1
    fast = [type(each)(each.spent / 2, each.clock, each.value, each.test, ((0.0, each.value),)) for each in slow]
    assert reached(fast, slow)[0] == 0
    assert reached(slow, [type(each)(each.spent, 0.0, 2.0, 2.0, ((0.0, 2.0),)) for each in slow])[0] == math.inf
    assert mean([1.0, 1.0, 1.0]) == "1.00 ± 0.00"


def test_trials_are_drawn_once_for_all() -> None:
    trials = draw()
    assert trials == draw()
    assert {each["number"] for each in trials} == set(range(sum(NETS.values())))
