"""A search's progress in the terminal: a live table where there is one, a line an event where there is not.

Flows in: Tune's events, and the study as it is written. Flows out: text on the given console.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from tune.schedule.record import Record
from tune.schedule.rungs import Standing, finalists
from tune.trials.job import NUMBER

_SHOWN = 12
_ORDER = ("running", "paused", "complete", "pruned", "failed")


class ProgressTable(Callback):  # type: ignore[misc]  # ray ships no types
    """Shows how trials stand: those that run first, then the best.

    Args:
        record: the study that is written.
        total: patches of a whole trial.
        console: where to.
    """

    def __init__(self, record: Record, total: int, console: Console) -> None:
        self.record, self.total, self.console = record, total, console
        self.started = time.monotonic()
        self.live = Live(console=console, refresh_per_second=2) if console.is_terminal else None

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks, and never reads them again."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins or goes on."""
        self._say(trial.config[NUMBER])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported."""
        if "failed" not in result:
            self._say(trial.config[NUMBER])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial rests or is over."""
        if self.record.state(trial.config[NUMBER]) != "running":
            self._say(trial.config[NUMBER])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's worker has ended, and Tune does not start it again."""
        self._say(trial.config[NUMBER])

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """The table stays in the terminal as it is."""
        if self.live:
            self.live.stop()

    def _say(self, number: int) -> None:
        if self.live:
            if not self.live.is_started:
                self.live.start()
            self.live.update(self._table())
            return
        metric = self.record.settings.metric
        each = next(each for each in self.record.standings() if each.number == number)
        best = f"  {metric} {each.best():.3f}" if each.values else ""
        reason = self.record.reason(number)
        drawn = "" if each.values else "  " + "  ".join(_short(self.record.parameters(number)))
        elapsed = time.monotonic() - self.started
        self.console.print(
            f"  {elapsed:5.0f} s  trial {number:>3}  {each.state:<8}  {each.patches:>9,}/{self.total:,} patches{best}"
            f"{'  ' + reason if reason else ''}{drawn}".rstrip(),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def _table(self) -> Table:
        standings = self.record.standings()
        names = list(dict.fromkeys(name for each in standings for name in self.record.parameters(each.number)))
        table = Table("trial", "state", "patches", self.record.settings.metric, "seconds", *names)
        table.title, table.title_justify = self._title(standings), "left"
        for each in sorted(standings, key=lambda each: (_ORDER.index(_shown(each)), -each.best()))[:_SHOWN]:
            best = f"{each.best():.3f}" if each.values else "–"
            drawn = self.record.parameters(each.number)
            cells = (escape(_text(drawn[name])) if name in drawn else "" for name in names)
            share = f"{each.patches / self.total:.0%}"
            table.add_row(str(each.number), _shown(each), share, best, f"{_cost(each):.0f}", *cells)
        return table

    def _title(self, standings: list[Standing]) -> str:
        """Trials by state, the best so far, seconds of all, and how long it may yet take."""
        settings = self.record.settings
        counts = {state: sum(_shown(each) == state for each in standings) for state in _ORDER}
        found = [f"{settings.name}: {len(standings)} of {settings.trials} trials"]
        found += [f"{count} {state}" for state, count in counts.items() if count]
        found += [f"best {each.best():.3f}" for each in finalists(standings, 1)]
        found.append(f"{sum(map(_cost, standings)):.0f} s of training")
        if settings.time_budget:
            left = max(0.0, settings.time_budget - (time.monotonic() - self.started))
            found.append(f"{left:.0f} s left at most")
        return ", ".join(found)


def _shown(standing: Standing) -> str:
    return "running" if standing.state == "interrupted" else standing.state


def _cost(standing: Standing) -> float:
    return max(standing.seconds.values(), default=0.0)


def _short(parameters: dict[str, Any]) -> list[str]:
    return [
        f"{name} {_text(value)}" if isinstance(value, float) else _text(value) for name, value in parameters.items()
    ]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2g}"
    return Path(str(value)).name or "none"
