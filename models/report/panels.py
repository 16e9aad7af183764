"""Small multiples: one panel a class, each with its name in full, so that no line has to be told from 18 others.

Flows in: what stands above each panel. Flows out: a figure with its headings, and the panels to draw in. Places are
computed here in inches: for 43 panels matplotlib's own layout takes seconds.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.drawing.canvas import blank, tidy, wrap

CELL = 2.75
"""Inches that a panel takes across, with what stands beside and above it."""

NAME = 34
"""Characters of a name above a panel before it goes on in the next line: in capitals they take 2.3 inches."""

POINTS = 400
"""Points of a curve at most: more than there are pixels across a panel."""

_HEADING, _NOTE, _TITLE = 0.23, 0.16, 0.135  # inches that a line of each takes
_LEFT, _RIGHT, _TICKS, _GAP = 0.45, 0.1, 0.2, 0.12


def columns_for(count: int) -> int:
    """How many panels stand beside each other."""
    return min(count, 4 if count <= 20 else 6)


def grid_places(details: Sequence[str], height: float) -> tuple[NDArray[np.float64], float, float]:
    """Where cells lie: (cells, 2) inches from the grid's top left corner to a cell's, and the grid's width and height.

    Args:
        details: what stands above each panel; a row is as high as its longest needs.
        height: inches of what lies below it.
    """
    columns = columns_for(len(details))
    lines = [detail.count("\n") + 1 for detail in details]
    rows = [max(lines[start : start + columns]) * _TITLE + height for start in range(0, len(lines), columns)]
    tops = np.cumsum([0, *rows])
    places = [(CELL * (number % columns), tops[number // columns]) for number in range(len(details))]
    return np.array(places, np.float64), CELL * columns, float(tops[-1])


def title_room(detail: str) -> float:
    """Inches that the text above a panel takes."""
    return _TITLE * (detail.count("\n") + 1)


def heading_room(text: str, width: float) -> float:
    """Inches that a heading takes in a figure of this width."""
    return _HEADING * (fold(text, width).count("\n") + 1) + 0.15


def fold(text: str, width: float, inches: float = 0.1) -> str:
    """Text in lines that are not longer than a figure is wide, if a character takes so many inches, and about even."""
    most = max(20, int((width - 0.3) / inches))
    return "\n".join(_even(line, most) for line in text.split("\n"))


def _even(line: str, most: int) -> str:
    fewest = len(textwrap.wrap(line, most))
    widths = range(len(line) // fewest, most + 1)
    return next("\n".join(lines) for width in widths if len(lines := textwrap.wrap(line, width)) == fewest)


def panels(
    details: Sequence[str], heading: str, *, across: str, up: str, key: Sequence[Artist] = ()
) -> tuple[Figure, list[Axes]]:
    """A figure of panels over the unit square.

    Args:
        details: what stands above each panel.
        across, up: what the axes mean, said once.
        key: what the lines mean, said once; each has a label.
    """
    body = 1.6
    places, width, depth = grid_places(details, body + _TICKS + 2 * _GAP)
    side, note = fold(up, depth, 0.075), fold(across, width, 0.075)
    margin = 0.1 + _NOTE * (side.count("\n") + 1)
    width = max(width + margin, 5.5)
    top = heading_room(heading, width)
    columns = _key_columns([str(entry.get_label()) for entry in key], width)
    below = _NOTE * (note.count("\n") + 1) + 0.1 + (0.25 * -(-len(key) // columns) if key else 0)
    height = top + depth + below
    figure = blank(width, height)
    figure.set_layout_engine("none")
    figure.text(0.5, 1 - 0.1 / height, fold(heading, width), ha="center", va="top", fontsize=12)
    figure.text(0.5, (below - 0.02) / height, note, ha="center", va="top", fontsize=9)
    figure.text(0.08 / width, (below + depth / 2) / height, side, ha="left", va="center", rotation=90, fontsize=9)
    if key:
        place = (0.5, 0.02 / height)
        figure.legend(handles=list(key), loc="lower center", bbox_to_anchor=place, ncols=columns, frameon=False)
    made = []
    for detail, (left, down) in zip(details, places.tolist(), strict=True):
        bottom = height - top - down - title_room(detail) - _GAP / 2 - body
        box = ((margin + left + _LEFT) / width, bottom / height, (CELL - _LEFT - _RIGHT) / width, body / height)
        made.append(_panel(figure, box, detail))
    return figure, made


def _key_columns(labels: Sequence[str], width: float) -> int:
    """All in one line if they fit, else as many beside each other as the longest allows."""
    rooms = [0.7 + 0.085 * len(label) for label in labels]
    return len(rooms) if sum(rooms) <= width else max(1, int(width / max(rooms)))


def _panel(figure: Figure, box: tuple[float, float, float, float], detail: str) -> Axes:
    axes = figure.add_axes(box)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes.tick_params(labelsize=7, length=2, pad=2)
    axes.grid(alpha=0.3)
    axes.set_title(detail, fontsize=8, pad=3, linespacing=1.1)
    tidy(axes)
    return axes


def say(axes: Axes, text: str) -> None:
    """Write into a panel why nothing is drawn there."""
    axes.text(0.5, 0.5, textwrap.fill(text, 26), ha="center", va="center", fontsize=9, color="#444444")


def named(name: str, *facts: str) -> str:
    """A class name in its lines, and facts below it."""
    return "\n".join([wrap(name, NAME), *filter(None, facts)])


def thin(*curve: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """At most about `POINTS` points of a curve: evenly along its length, with both ends."""
    if len(curve[0]) <= POINTS:
        return curve
    steps = np.sum([np.abs(np.diff(np.nan_to_num(values))) for values in curve], axis=0)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], POINTS)).clip(0, len(along) - 1))
    return tuple(values[kept] for values in curve)
