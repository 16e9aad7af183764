"""A search's progress in the terminal: a live table where there is one, a line an event where there is not.

Flows in: Tune's events. Flows out: text on the given console.
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

from tune.settings import SearchSettings

_SHOWN = 12
_OPTIONAL = ("loss", "pretrained")


class ProgressTable(Callback):  # type: ignore[misc]  # ray ships no types
    """Shows the best trials and the running ones."""

    def __init__(self, settings: SearchSettings, console: Console) -> None:
        self.settings, self.console = settings, console
        self.rows: dict[str, dict[str, Any]] = {}
        self.started = time.monotonic()
        self.live = Live(console=console, refresh_per_second=2) if console.is_terminal else None

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; a terminal does not travel."""
        return {"settings": self.settings, "rows": self.rows, "started": self.started}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["settings"], Console())  # type: ignore[misc]
        self.rows = state["rows"]

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins, or goes on after its worker had ended: the latter without a line of its own."""
        self.rows.setdefault(trial.trial_id, {"number": len(self.rows) + 1, "config": trial.config, "epoch": 0})
        self._say(trial, "running", quiet=self.rows[trial.trial_id]["epoch"] > 0)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported an epoch, or what it ended of."""
        row = self.rows[trial.trial_id]
        row |= {key: result[key] for key in ("epoch", "best", "failed", "final") if key in result}
        self._say(trial, "running")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial is over: failed or complete by its own words, else pruned."""
        row = self.rows[trial.trial_id]
        state = "failed" if "failed" in row else "complete" if row.get("final") else "pruned"
        self._say(trial, state)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's worker has ended, and Tune does not start it again."""
        self._say(trial, "failed")

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """The table stays in the terminal as it is."""
        if self.live:
            self.live.stop()

    def _say(self, trial: Any, state: str, quiet: bool = False) -> None:
        row = self.rows[trial.trial_id]
        row["state"] = state
        if self.live:
            if not self.live.is_started:
                self.live.start()
            self.live.update(self._table())
        elif not quiet:
            best = f"  {self.settings.metric} {row['best']:.3f}" if "best" in row else ""
            drawn = "  ".join(_short(row["config"])) if not row["epoch"] else ""
            reason = f"  {row['failed']}" if "failed" in row else ""
            elapsed = time.monotonic() - self.started
            of = f"{row['number']:>3}/{self.settings.trials}"
            self.console.print(
                f"  {elapsed:5.0f} s  trial {of}  {state:<8}  epoch {row['epoch']}/{self.settings.epochs}{best}"
                f"{reason}  {drawn}".rstrip(),
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def _table(self) -> Table:
        done = sum(row["state"] != "running" for row in self.rows.values())
        title = f"{self.settings.name}: {done} of {self.settings.trials} trials"
        columns = ["trial", "state", "epoch", self.settings.metric, "model", "bands", "batch", "rate", "decay"]
        columns += [name for name in _OPTIONAL if name in self.settings.space.choices]
        table = Table(*columns, title=title, title_justify="left")
        order = sorted(self.rows.values(), key=lambda row: (row["state"] != "running", -row.get("best", -1.0)))
        for row in order[:_SHOWN]:
            best = f"{row['best']:.3f}" if "best" in row else "–"
            of = f"{row['epoch']}/{self.settings.epochs}"
            table.add_row(str(row["number"]), row["state"], of, best, *map(escape, _short(row["config"])))
        return table


def _short(config: dict[str, Any]) -> list[str]:
    rates = (f"{config['learning_rate']:.1e}", f"{config['weight_decay']:.1e}")
    more = (Path(config[name]).name or "none" for name in _OPTIONAL if name in config)
    return [str(config["model"]), str(config["bands"]), str(config["batch_size"]), *rates, *more]
