"""The command line as a person meets it: how verbs are grouped, what they print, and how those that serve end.

Flows in: plain values. Flows out: a few readable lines and a table, or one JSON object, on standard output; progress
and errors on standard error.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

console = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output")]
"""What every verb that reports takes."""

_WORDS, _TITLE = 20, 14
"""Characters of a table's line that a text gets at least, where it is so long, and that a title gets."""


class Verbs(typer.core.TyperGroup):
    """A group of verbs whose help says in full what each does; it would be cut to what fits beside the name."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Click's hook for the list of verbs: a line for each, with all of its help."""
        rows = [(name, self.commands[name].help or "") for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def group(says: str, cls: type[Verbs] = Verbs) -> typer.Typer:
    """A group of verbs whose help begins with `says`; in plain lines, as Rich's tables cut names off at 80 columns."""
    return typer.Typer(
        help=says,
        cls=cls,
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
    )


def tell(line: str) -> None:
    """What goes on, beside the result."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def complain(message: str) -> None:
    """One error message on standard error."""
    console.print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)


def report(values: dict[str, Any], as_json: bool, table: str = "", *more: str) -> None:
    """One JSON object, or a few readable lines and tables, on standard output.

    Args:
        values: what is said, by name.
        as_json: all of it as JSON.
        table: name of the value that is drawn as a table, a list of rows; none if empty.
        more: names of others, drawn in this order before it, under their names; those without rows are left out.
    """
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False))
        return
    for key, value in values.items():
        if key not in (table, *more):
            shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            shown = ", ".join(map(str, shown)) if isinstance(shown, list) else shown
            typer.echo(f"{key}: {shown if shown != '' else 'none'}")
    for name in more:
        if values[name]:
            typer.echo(f"\n{name}:")
            _print_table(values[name])
    if table:
        _print_table(values[table])


def _print_table(rows: list[dict[str, Any]]) -> None:
    flat = [{**row, **row.get("parameters", {})} for row in rows]
    columns = [key for key in dict.fromkeys(key for row in flat for key in row) if key != "parameters"]
    wide = Console()
    # A file or a pipe has no width that rows would have to fit.
    wide.width = wide.width if wide.is_terminal else 200
    cells = {column: [_cell(row.get(column)) for row in flat] for column in columns}
    needs = {column: _need(column, [row.get(column) for row in flat], shown) for column, shown in cells.items()}
    for group in _side_by_side(needs, wide.width) if needs else ():
        drawn = Table()
        for column in group:
            # What is in brackets is a name like any other, no style of Rich's.
            drawn.add_column(escape(column), overflow="fold", min_width=needs[column])
        for row in zip(*(cells[column] for column in group), strict=True):
            drawn.add_row(*map(escape, row))
        wide.print(drawn)


def _need(title: str, values: list[Any], shown: list[str]) -> int:
    """Characters that a column needs: numbers stay whole, and a text is folded."""
    longest = max(map(len, shown), default=0)
    text = any(isinstance(value, str | list) for value in values)
    return max(min(longest, _WORDS) if text else longest, min(len(title), _TITLE))


def _side_by_side(needs: dict[str, int], room: int) -> Iterator[list[str]]:
    """Columns in as many tables as it takes for none to be cut; the first one, which names the rows, is in all."""
    first, *others = needs
    group, used = [first], 4 + needs[first]
    for column in others:
        taken = needs[column] + 3  # a border, and a space on either side
        if used + taken > room and len(group) > 1:
            yield group
            group, used = [first], 4 + needs[first]
        group.append(column)
        used += taken
    yield group


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def progress_bar(unit: str, label: str = "") -> Iterator[Callable[[int, int], None]]:
    """A bar for the length of a block; yields what is to be called with how many are done, and of how many (or 0).

    Of "bytes", size and rate are shown; `label` says what is done to them.
    """
    counts = (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}"), BarColumn(), *counts, TimeRemainingColumn())
    progress = Progress(*columns, console=console)
    task = progress.add_task(label or unit, total=None)

    def tell(done: int, total: int) -> None:
        progress.update(task, completed=done, total=total or None)
        progress.start()

    try:
        yield tell
    finally:
        # Not begun before there is something to tell: what is refused at once gets no bar, and no blank line of one.
        if progress.live.is_started:
            progress.stop()


def wait_for_end() -> None:
    """Until Ctrl-C, or SIGTERM as service managers send it, whatever handled these before: so ends what serves."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
