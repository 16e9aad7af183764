"""Schedulers and samplers of searches, replayed over curves of real trials.

    python -m benchmarks.search [--trials N] [--seeds 100] [--save]

Flows in: `results/search-curves.parquet` (`benchmarks.curves`). Each search draws so many of the table's trials, none
twice, and runs them on some workers in simulated time (`benchmarks.replay`). In random order a seed's trials are the
same for every scheduler. Regret is the table's best validation metric less that of what a search chose, in
points of macro average precision; device seconds are those of all workers that were at work.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import optuna
import pandas as pd
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.contenders import ASHA, INFORMED, SIMPLE, Bench, Make
from benchmarks.curves import FILE
from benchmarks.replay import Outcome, outcome, replay
from benchmarks.rounds import Save, show

WORKERS = (1, 2, 4)
USUAL = 2  # workers of what is shown once
SHARES = (0.25, 0.5, 0.75, 1)  # of the table's trials, in searches of other sizes
RESAMPLES = 400

NOTE = """± is half of a 95 % interval over {seeds} seeds, of searches of one table. "its share of ASHA's s":
after which share of the seconds of that table's ASHA its mean regret is ASHA's final one. "at equal cost": points by
which it is better than one epoch and the best three, when it has spent what that spends."""

Found = dict[str, list[Outcome]]
"""Outcomes by contender, one a seed."""


def main(
    trials: Annotated[int, typer.Option(help="of a search; 0: two thirds of the table's")] = 0,
    seeds: Annotated[int, typer.Option()] = 100,
    curves: Annotated[Path, typer.Option(help="table of trials")] = FILE,
    save: Save = False,
) -> None:
    """Print what each scheduler chooses, and what it spends."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    frame = pd.read_parquet(curves)
    bench = Bench(frame)
    trials = trials or round(2 / 3 * len(bench.epochs))
    parts: list[Table | str] = [_nets(frame, bench)]
    for workers in WORKERS:
        found = run(bench.contenders(), trials, workers, seeds)
        parts += [f"{trials} trials in random order, {workers} workers", _table(bench, found, ASHA)]
        if workers == USUAL:
            parts += ["regret by device seconds", _curve(bench, found)]
            informed = run(bench.with_tpe(), trials, workers, seeds)
            parts += [
                f"{trials} trials as TPE has them, {workers} workers",
                _table(bench, {SIMPLE: found[SIMPLE]} | informed, INFORMED),
            ]
    parts += [f"searches of other sizes, {USUAL} workers", _sizes(bench, seeds)]
    show("search-replay", save, *parts, *(NOTE.format(seeds=seeds).splitlines()))


def run(contenders: dict[str, Make], trials: int, workers: int, seeds: int) -> Found:
    """A search of each contender for each seed."""
    return {
        name: [outcome(replay(make(trials, seed), workers)) for seed in range(seeds)]
        for name, make in contenders.items()
    }


def reached(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> tuple[float, float, float]:
    """Share of the other's seconds after which our mean regret is its final one: with a 95 % interval over seeds.

    Infinite where it never is.
    """
    grid = np.linspace(0, max(each.spent for each in [*ours, *theirs]), 1000)
    values = np.array([each.along(grid) for each in ours])
    finals, spent = np.array([each.value for each in theirs]), np.array([each.spent for each in theirs])
    generator = np.random.default_rng(0)
    rows = [np.arange(len(ours)), *generator.integers(0, len(ours), (RESAMPLES, len(ours)))]
    shares = [_share(grid, values[some].mean(0), finals[some].mean(), spent[some].mean()) for some in rows]
    low, high = np.quantile(shares[1:], [0.025, 0.975], method="nearest")
    return shares[0], float(low), float(high)


def _share(grid: NDArray[np.float64], values: NDArray[np.float64], target: float, spent: float) -> float:
    there = np.flatnonzero(values >= target - 1e-12)
    return float(grid[there[0]] / spent) if len(there) else float("inf")


def mean(values: Iterable[float], digits: int = 2) -> str:
    """With the half of its 95 % interval over seeds."""
    values = list(values)
    return f"{statistics.fmean(values):.{digits}f} ± {1.96 * statistics.stdev(values) / len(values) ** 0.5:.{digits}f}"


def _table(bench: Bench, found: Found, peer: str) -> Table:
    """A row a contender; `peer` is the ASHA that it is held against."""
    result = Table("", "device s", "clock s", "regret", "test AP, %", "its share of ASHA's s", "at equal cost")
    for name, outcomes in found.items():
        share, low, high = reached(outcomes, found[peer])
        gains = [
            100 * (each.at(other.spent) - other.value) for each, other in zip(outcomes, found[SIMPLE], strict=True)
        ]
        result.add_row(
            name,
            mean((each.spent for each in outcomes), 0),
            mean((each.clock for each in outcomes), 0),
            mean(100 * (bench.best - each.value) for each in outcomes),
            mean(100 * each.test for each in outcomes),
            f"{share:.2f} ({low:.2f}–{high:.2f})".replace("inf", "never"),
            mean(gains),
        )
    return result


def _curve(bench: Bench, found: Found) -> Table:
    """Mean regret after so many device seconds."""
    ends = [statistics.fmean(each.spent for each in outcomes) for outcomes in found.values()]
    marks = [round(statistics.median(ends) * share, -1) for share in (0.25, 0.5, 0.75, 1, 1.5, 2, 4)]
    result = Table("", *(f"{mark:.0f} s" for mark in marks))
    for name, outcomes in found.items():
        result.add_row(name, *(mean(100 * (bench.best - each.at(mark)) for each in outcomes) for mark in marks))
    return result


def _sizes(bench: Bench, seeds: int) -> Table:
    """Seconds and regret of searches of other sizes: what more trials buy, with each contender."""
    sizes = [round(share * len(bench.epochs)) for share in SHARES]
    result = Table("", *(f"{size} trials" for size in sizes))
    contenders = {name: make for name, make in bench.contenders().items() if "Optuna" not in name}
    by_size = [run(contenders, size, USUAL, seeds) for size in sizes]
    for name in by_size[0]:
        cells = []
        for found in by_size:
            spent = statistics.fmean(each.spent for each in found[name])
            cells.append(f"{spent:.0f} s: {mean(100 * (bench.best - each.value) for each in found[name])}")
        result.add_row(name, *cells)
    return result


def _nets(frame: pd.DataFrame, bench: Bench) -> Table:
    """What the table of trials has."""
    result = Table("trained to the end once", "trials", "s/epoch", "best AP, %", "median", "worst", "of the best, test")
    for model in sorted(frame["model"].unique()):
        curves = [each for each in bench.epochs if each.parameters["model"] == model]
        order = sorted((each.best for each in curves), key=lambda each: -each.value)
        pace = statistics.median(each.reports[-1].seconds * bench.epoch / each.reports[-1].patches for each in curves)
        shown = (order[0].value, order[len(order) // 2].value, order[-1].value, order[0].test)
        result.add_row(model, str(len(curves)), f"{pace:.1f}", *(f"{100 * each:.1f}" for each in shown))
    return result


if __name__ == "__main__":
    typer.run(main)
