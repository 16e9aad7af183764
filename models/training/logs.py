"""A training run's logs: text for people, a table for the report, event files for TensorBoard.

Flows in: lines, and a row an epoch. Flows out: `train.log`, `epochs.jsonl` and TensorBoard's event files in a folder. A
resumed run adds to the text; its table and its events have every epoch once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tensorboardX import SummaryWriter

from models.metric_keys import METRICS
from models.report.epoch_table import TABLE, write_epochs
from models.training.run_folder import LOGS, now

TEXT = "train.log"

_PLAIN = ("train_loss", "validation_loss", "learning_rate", "seconds")


class Log:
    """The logs of one run while it trains; to be closed.

    Args:
        folder: of the run.
        rows: of the epochs that are over already.
        tell: gets each line too.
    """

    def __init__(self, folder: Path, rows: list[dict[str, Any]], tell: Callable[[str], None]) -> None:
        self._table = folder / TABLE
        self._tell = tell
        self._table.parent.mkdir(parents=True, exist_ok=True)
        self._text = open(folder / LOGS / TEXT, "a", encoding="utf-8", buffering=1)  # noqa: SIM115  closed below
        # What an interrupted run wrote of later epochs counts no more, and of its last one some may never have been
        # written: tensorboardX has a thread for it, which `flush` does not wait for.
        self._events = SummaryWriter(str(folder / LOGS), purge_step=max(1, len(rows)))
        if rows:
            self.epoch(rows)

    def note(self, line: str) -> None:
        """One line of text, with its time, in the file alone."""
        self._text.write(f"{now()} {line}\n")

    def say(self, line: str) -> None:
        """The same as `note`, and told."""
        self.note(line)
        self._tell(line)

    def epoch(self, rows: list[dict[str, Any]]) -> None:
        """The table so far, of which the last row is new.

        Raises:
            StorageError: see `write_epochs`.
        """
        write_epochs(self._table, rows)
        row = rows[-1]
        for name in (*_PLAIN, *METRICS):
            if row.get(name) is not None:
                group = "training" if name in _PLAIN else "validation"
                self._events.add_scalar(f"{group}/{name}", row[name], row["epoch"])
        self._events.flush()

    def settings(self, text: str) -> None:
        """The settings as YAML, as text among the events."""
        self._events.add_text("settings", "".join(f"    {line}\n" for line in text.splitlines()))

    def close(self) -> None:
        """Write what is still to be written of the events, and close the files."""
        self._events.close()
        self._text.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
