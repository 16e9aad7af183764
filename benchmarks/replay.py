"""Searches over trials that were trained before: a machine that is none, whose hours pass in milliseconds.

Flows in: curves of trials (`benchmarks.curves`), a scheduler (`benchmarks.schedulers`), workers. Flows out: every
report in the order in which it would have come, and what had been spent by then.

A worker runs one job at a time: a trial from where it stands until the scheduler wants no more of it, or to its end.
Seconds are those that were recorded; a trial that goes on after a pause takes `RESTART` more.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

RESTART = 0.3  # seconds of a CPU to build a net again and load where it stood
PARAMETERS = ("model", "learning_rate", "weight_decay", "batch_size", "drop_path")


@dataclass(frozen=True)
class Report:
    """One evaluation on validation: patches and seconds so far, the metric there and on test (NaN inside an epoch)."""

    patches: int
    value: float
    test: float
    seconds: float


@dataclass(frozen=True)
class Curve:
    """A trial as it went, or would have gone, to its end; `failed` if its last report was its last for no good."""

    number: int
    parameters: Mapping[str, Any]
    reports: tuple[Report, ...]
    failed: bool = False

    @property
    def best(self) -> Report:
        """What would be kept of it: its best whole epoch."""
        return max((each for each in self.reports if not math.isnan(each.test)), key=lambda each: each.value)


def read_curves(frame: pd.DataFrame, grace: int | None = None) -> list[Curve]:
    """All trials of a table, with a report an epoch.

    Args:
        grace: patches after which a report is made too, if that is inside an epoch; it takes its time.
    """
    rows = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    numbers = sorted({int(row["number"]) for row in rows})
    return [_curve(number, [row for row in rows if row["number"] == number], grace) for number in numbers]


def _curve(number: int, rows: list[dict[str, Any]], grace: int | None) -> Curve:
    late = [row for row in rows if grace and row["patches"] >= grace]
    asked = late[0] if late and math.isnan(late[0]["test"]) else None
    reports = [
        Report(
            int(row["patches"]),
            float(row["value"]),
            float(row["test"]),
            float(row["seconds"]) + (float(asked["check"]) if asked and row["patches"] >= asked["patches"] else 0.0),
        )
        for row in rows
        if row is asked or not math.isnan(row["test"])
    ]
    return Curve(number, {key: rows[0][key] for key in PARAMETERS}, tuple(reports), bool(rows[0]["reason"]))


class Scheduler(Protocol):
    """Who decides what is run."""

    def next(self) -> Curve | None:
        """The trial that a free worker runs; None if there is nothing to do until another one reports."""

    def report(self, curve: Curve, place: int) -> bool:
        """Whether a trial goes on after a report, by its place; never asked again of one that does not, or is over."""


@dataclass(frozen=True)
class Event:
    """A report: when, what all workers had spent by then, and whose it is."""

    now: float
    spent: float
    curve: Curve
    report: Report


def replay(scheduler: Scheduler, workers: int) -> list[Event]:
    """Run a search to its end."""
    events, places = list[Event](), dict[int, int]()
    jobs = list[tuple[float, int, Curve, float]]()
    now, spent, free, count = 0.0, 0.0, workers, 0
    while True:
        while free and (curve := scheduler.next()) is not None:
            free, count = free - 1, count + 1
            seconds = _seconds(curve, places.get(curve.number, 0), fresh=True)
            heapq.heappush(jobs, (now + seconds, count, curve, seconds))
        if not jobs:
            return events
        now, _, curve, seconds = heapq.heappop(jobs)
        spent += seconds
        place = places.get(curve.number, 0)
        places[curve.number] = place + 1
        events.append(Event(now, spent, curve, curve.reports[place]))
        if scheduler.report(curve, place) and place + 1 < len(curve.reports):
            count, seconds = count + 1, _seconds(curve, place + 1, fresh=False)
            heapq.heappush(jobs, (now + seconds, count, curve, seconds))
        else:
            free += 1


def _seconds(curve: Curve, place: int, *, fresh: bool) -> float:
    """From one report to the next."""
    before = curve.reports[place - 1].seconds if place else 0.0
    return curve.reports[place].seconds - before + (RESTART if fresh and place else 0.0)


@dataclass(frozen=True)
class Outcome:
    """What a search came to: spent seconds of workers, seconds by the clock, the choice's metric, and how it got there.

    `steps` are the seconds spent and the best value by then, wherever it rose.
    """

    spent: float
    clock: float
    value: float
    test: float
    steps: tuple[tuple[float, float], ...]

    def at(self, spent: float) -> float:
        """Best value by the time that so much was spent; 0 before there is any."""
        return float(self.along(np.array([spent]))[0])

    def along(self, spent: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same, of many."""
        when, values = zip(*self.steps, strict=True)
        return np.array([0.0, *values])[np.searchsorted(when, spent, side="right")]


def outcome(events: Sequence[Event]) -> Outcome:
    """The best whole epoch of all is chosen, whatever the scheduler: each one's checkpoint would be kept."""
    best, steps = events[0].report, list[tuple[float, float]]()
    for event in events:
        if not math.isnan(event.report.test) and (not steps or event.report.value > best.value):
            best = event.report
            steps.append((event.spent, best.value))
    return Outcome(events[-1].spent, events[-1].now, best.value, best.test, tuple(steps))
