"""Best and worst patches as a picture: thumbnails, and beside each what was found, missed and wrongly said.

Flows in: `Extremes`. Flows out: a figure. Right and wrong are told in words, not by colour.
"""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure

from models.measure.extremes import Example, Extremes
from models.report.panels import fold, heading_room
from pipelines.drawing.canvas import blank

_THUMB, _TEXT, _LINE, _GAP = 1.5, 3.6, 0.145, 0.15  # inches
_CHARACTERS = 50  # of a line beside a thumbnail
_LONGEST_ID = 52  # BigEarthNet's ids have 50 at most


def draw_gallery(shown: Extremes, of: str) -> Figure:
    """The best patches in the left column, the worst in the right one."""
    columns = [[(each, _lines(each)) for each in kind] for kind in (shown.best, shown.worst)]
    depth = max(sum(_room(lines) for _, lines in column) for column in columns)
    width = 2 * (_THUMB + _TEXT) + 4 * _GAP
    heading = f"Patches that the model is most right and most wrong about ({of})"
    note = f"pictures: {shown.colour}, each stretched for itself; after a class, the probability given to it"
    top, below = heading_room(heading, width) + 0.25, 0.3
    height = top + depth + below
    figure = blank(width, height)
    figure.set_layout_engine("none")
    figure.text(0.5, 1 - 0.1 / height, fold(heading, width), ha="center", va="top", fontsize=12)
    figure.text(0.5, 0.08 / height, fold(note, width, 0.075), ha="center", va="bottom", fontsize=9)
    titles = ("Best: lowest loss", "Worst: highest loss")
    for column, title, left in zip(columns, titles, (_GAP, width / 2 + _GAP), strict=True):
        figure.text(left / width, 1 - (top - 0.05) / height, title, ha="left", va="bottom", fontsize=10, weight="bold")
        down = top
        for example, lines in column:
            _draw(figure, example, lines, left, down)
            down += _room(lines)
    return figure


def _room(lines: list[str]) -> float:
    """Inches that an example takes downwards."""
    return max(_THUMB, _LINE * len(lines)) + _GAP


def _draw(figure: Figure, example: Example, lines: list[str], left: float, down: float) -> None:
    width, height = figure.get_size_inches()
    box = (left / width, 1 - (down + _THUMB) / height, _THUMB / width, _THUMB / height)
    axes = figure.add_axes(box)
    axes.imshow(example.picture, interpolation="nearest")
    axes.axis("off")
    place = ((left + _THUMB + 0.1) / width, 1 - (down - 0.02) / height)
    figure.text(*place, "\n".join(lines), ha="left", va="top", fontsize=8, linespacing=1.2)


def _lines(example: Example) -> list[str]:
    """At most `_CHARACTERS` long."""
    lines = [*_folded(example.patch_id, _LONGEST_ID), f"loss {example.loss:.3g}"]
    for word, classes in (("found", example.found), ("missed", example.missed), ("wrongly said", example.wrong)):
        for name, probability in classes.items():
            lines += _folded(f"{word}: {name} {probability:.2f}", _CHARACTERS)
    return lines if example.found or example.missed or example.wrong else [*lines, "no class there, and none said"]


def _folded(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="    ")
