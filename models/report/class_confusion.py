"""Right and wrong decisions of each class, four numbers a class: the confusion matrices that need no definition.

Flows in: counts (classes, 2, 2). Flows out: a figure, drawn in one set of axes: 43 take seconds to lay out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from models.report.panels import fold, grid_places, heading_room, named, title_room
from pipelines.drawing.canvas import blank, thousands

_LEFT, _HEAD, _WIDTH, _HEIGHT = 0.6, 0.17, 0.9, 0.42  # inches: room for names of rows and columns, and a cell's size

Colour = tuple[float, ...]


def draw_four_fields(counts: NDArray[np.int64], names: Sequence[str], of: str) -> Figure:
    """Those that have a class above, those that have not below; predicted left, not predicted right."""
    details = [named(name) for name in names]
    places, width, depth = grid_places(details, _HEAD + 2 * _HEIGHT + 0.2)
    width = max(width, 5.5)
    heading = fold(f"Right and wrong decisions of each class ({of})", width)
    note = fold("rows are the truth, columns the prediction; shade and percentage: share of the row", width, 0.075)
    top, below = heading_room(heading, width), 0.16 * (note.count("\n") + 1) + 0.1
    height = top + depth + below
    figure = blank(width, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))  # in inches from the top left
    axes.axis("off")
    axes.text(width / 2, 0.1, heading, ha="center", va="top", fontsize=12)
    axes.text(width / 2, height - below, note, ha="center", va="top", fontsize=9)
    cells: list[tuple[Rectangle, Colour]] = []
    for detail, count, (left, down) in zip(details, counts, places.tolist(), strict=True):
        cells += _draw_class(axes, detail, count, left, top + down + title_room(detail))
    rectangles, colours = zip(*cells, strict=True)
    axes.add_collection(PatchCollection(rectangles, facecolors=colours, edgecolors="white", linewidths=1.5))
    return figure


def _draw_class(
    axes: Axes, detail: str, count: NDArray[np.int64], left: float, down: float
) -> list[tuple[Rectangle, Colour]]:
    """Texts of one class; returns its cells and their colours."""
    axes.text(left + _LEFT + _WIDTH, down, detail, ha="center", va="bottom", fontsize=8, linespacing=1.1)
    cells = []
    for row, word in enumerate(("has it", "has it not")):
        axes.text(left + _LEFT - 0.06, down + _HEAD + (row + 0.5) * _HEIGHT, word, ha="right", va="center", fontsize=7)
        for column, title in enumerate(("predicted", "not predicted")):
            corner = (left + _LEFT + column * _WIDTH, down + _HEAD + row * _HEIGHT)
            if row == 0:
                axes.text(corner[0] + _WIDTH / 2, down + _HEAD / 2, title, ha="center", va="center", fontsize=7)
            text, dark, colour = _cell(int(count[row, column]), int(count[row].sum()))
            middle = (corner[0] + _WIDTH / 2, corner[1] + _HEIGHT / 2)
            axes.text(*middle, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
            cells.append((Rectangle(corner, _WIDTH, _HEIGHT), colour))
    return cells


def _cell(count: int, total: int) -> tuple[str, bool, Colour]:
    """Text of a cell, whether its ground is dark, and the ground's colour."""
    if not total:
        return "no such\npatch", False, to_rgba("#dddddd")
    share = count / total
    return f"{thousands(count)}\n{100 * share:.0f} %", share > 0.6, colormaps["Blues"](share)
