"""A net as the few stages that a person draws: what works on one grid, together.

Flows in: a `Summary`. Flows out: `Stage`s in the order in which they run.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.nets.layers import Row, Summary

CONTAINER = "Sequential"


@dataclass(frozen=True)
class Stage:
    """Modules that follow each other on one grid.

    Args:
        names: paths of the modules, as a range where there are more than two.
        content: their kinds, with how many of each.
        output: shape of what the last gives for one patch.
        parameters, multiply_adds: of all of them.
    """

    names: str
    content: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


def stages(summary: Summary) -> list[Stage]:
    """Modules directly in the net (or in a container of it that spans several grids), joined where the grid is one."""
    steps = [step for row in summary.down_to(1) for step in _steps(summary, row)]
    return [_join(summary, list(rows)) for _, rows in itertools.groupby(steps, key=lambda row: _grid(row.output))]


def shape(output: Sequence[int]) -> str:
    """A shape as people write it: channels × height × width, or tokens × channels."""
    return " × ".join(map(str, output))


def _steps(summary: Summary, row: Row) -> list[Row]:
    inner = _inside(summary, row)
    spans = len({_grid(each.output) for each in inner}) > 1 and all(len(each.output) > 1 for each in inner)
    return inner if row.kind == CONTAINER and spans else [row]


def _inside(summary: Summary, row: Row) -> list[Row]:
    return [each for each in summary.rows if each.depth == row.depth + 1 and each.name.startswith(f"{row.name}.")]


def _grid(output: tuple[int, ...]) -> tuple[int, ...]:
    """What stays the same within a stage: the sides of maps, channels first or last; the number of tokens."""
    wide = [side for side in output if side > 1]
    if len(output) == 3 and len(wide) > 1:
        return output[:2] if output[0] == output[1] and output[2] != output[1] else output[1:]
    return output[:1] if len(wide) == 2 else ()


def _join(summary: Summary, rows: list[Row]) -> Stage:
    first, last = rows[0].name, rows[-1].name
    names = first if len(rows) == 1 else f"{first}, {last}" if len(rows) == 2 else f"{first} … {last}"
    kinds = itertools.chain.from_iterable(_kinds(summary, row) for row in rows)
    return Stage(
        names=names,
        content=_counted(kinds),
        output=rows[-1].output,
        parameters=sum(row.parameters for row in rows),
        multiply_adds=sum(row.multiply_adds for row in rows),
    )


def _kinds(summary: Summary, row: Row) -> Iterable[str]:
    """The kind of a module, or of the blocks in it."""
    inner = _inside(summary, row)
    if row.kind == CONTAINER:
        return [kind for each in inner for kind in _kinds(summary, each)]
    blocks = [each for each in inner if each.kind == CONTAINER and each.name.endswith(".blocks")]
    if not blocks:
        return [row.kind]
    first = [each for each in inner if each not in blocks and each.parameters]
    return [kind for each in (*first, *blocks) for kind in _kinds(summary, each)]


def _counted(kinds: Iterable[str]) -> str:
    counts = Counter(kinds)
    return ", ".join(kind if count == 1 else f"{count} × {kind}" for kind, count in counts.items())
