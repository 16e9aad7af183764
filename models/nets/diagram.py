"""A picture of a net: its stages from top to bottom, with shapes, and how parameters and work are shared among them.

Flows in: a `Summary`. Flows out: a matplotlib figure, and the files PNG and SVG of it.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from models.nets.layers import Summary
from models.nets.stages import Stage, shape, stages
from pipelines.drawing.canvas import BLUE, COLOURS, DPI, png_of
from pipelines.files import write_whole

WIDTH = 10.0
_BOX, _GAP, _EDGE, _HEAD = 5.3, 0.3, 0.25, 1.15  # inches: a box across, between two, around all, and above them
_LINE, _PAD = 0.19, 0.11  # inches that a line takes in a box, and above and below all of them
_BARS, _BAR = ((5.95, "parameters", BLUE), (8.1, "multiply-adds", COLOURS[1])), 1.25
_CHARACTERS, _NAMES = 64, 42
"""Characters of a line, and of the names above it, that fit a box."""


def write_diagram(summary: Summary, folder: Path) -> list[str]:
    """Write NAME.png and NAME.svg into a folder; returns their names.

    Raises:
        StorageError: the disk is full.
    """
    stem = summary.name.replace(":", "-")
    figure = draw_diagram(summary)
    target = io.StringIO()
    # The same net gives the same bytes, and text stays text.
    with rc_context({"svg.hashsalt": stem, "svg.fonttype": "none"}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    files: dict[str, bytes | str] = {f"{stem}.png": png_of(figure), f"{stem}.svg": target.getvalue()}
    for name, content in files.items():
        write_whole(folder / name, content)
    return list(files)


def draw_diagram(summary: Summary) -> Figure:
    """The figure: input, normalisation and padding, one box a stage, logits."""
    boxes = [*_before(summary), *((_text(stage), stage) for stage in stages(summary))]
    heights = [_LINE * len(lines) + 2 * _PAD for lines, _ in boxes]
    height = _HEAD + sum(heights) + _GAP * len(boxes) + 0.3
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
    axes.set_axis_off()
    _heading(axes, summary)
    top = _HEAD
    for (lines, stage), tall in zip(boxes, heights, strict=True):
        _box(axes, top, tall, lines, stage is not None)
        if stage:
            _shares(axes, top + tall / 2, stage, summary)
        top += tall
        arrow = {"arrowstyle": "-|>", "color": "0.35"}
        axes.annotate("", (_EDGE + _BOX / 2, top + _GAP), (_EDGE + _BOX / 2, top), arrowprops=arrow)
        top += _GAP
    axes.text(_EDGE + _BOX / 2, top + 0.05, f"{summary.classes} logits", ha="center", va="top", fontsize=10)
    return figure


def _heading(axes: Axes, summary: Summary) -> None:
    axes.text(_EDGE, 0.32, summary.name, fontsize=15, weight="bold", va="center")
    axes.text(_EDGE, 0.66, summary.what, fontsize=9.5, va="center", color="0.25")
    totals = (summary.parameters, summary.multiply_adds)
    for (left, title, _), total in zip(_BARS, totals, strict=True):
        axes.text(left, 0.32, title, fontsize=9.5, va="center", color="0.25")
        axes.text(left, 0.66, short(total), fontsize=13, va="center", weight="bold")


def _before(summary: Summary) -> list[tuple[list[str], Stage | None]]:
    count = len(summary.bands)
    names = textwrap.wrap(", ".join(summary.bands), _CHARACTERS)
    plain = f"{count} band{'s' if count > 1 else ''}, {summary.size} × {summary.size} px"
    padded = summary.recipe.padded(summary.size)
    done = ["less each band's mean, over its deviation"]
    if padded != summary.size:
        done += [f"padded by reflection: {summary.padding.replace(' by reflection', '')}"]
    return [([plain, *names], None), ([f"normalise\t{shape((count, padded, padded))}", *done], None)]


def _text(stage: Stage) -> list[str]:
    names = stage.names if len(stage.names) <= _NAMES else f"{stage.names[:_NAMES]}…"
    return [f"{names}\t{shape(stage.output)}", *textwrap.wrap(stage.content, _CHARACTERS)]


def _box(axes: Axes, top: float, tall: float, lines: list[str], learned: bool) -> None:
    face, edge = ("#eaf2f8", BLUE) if learned else ("0.95", "0.55")
    style = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch((_EDGE, top), _BOX, tall, boxstyle=style, facecolor=face, edgecolor=edge))
    for number, line in enumerate(lines):
        name, _, output = line.partition("\t")
        place = top + _PAD + _LINE * (number + 0.5)
        look: dict[str, Any] = {"fontsize": 10, "weight": "bold"} if not number else {"fontsize": 8.5, "color": "0.25"}
        axes.text(_EDGE + 0.12, place, name, va="center", **look)
        axes.text(_EDGE + _BOX - 0.12, place, output, va="center", ha="right", **look)


def _shares(axes: Axes, middle: float, stage: Stage, summary: Summary) -> None:
    amounts = ((stage.parameters, summary.parameters), (stage.multiply_adds, summary.multiply_adds))
    for (left, _, colour), (amount, total) in zip(_BARS, amounts, strict=True):
        share = amount / max(1, total)
        axes.barh(middle, _BAR, 0.2, left=left, color="0.93")
        axes.barh(middle, _BAR * share, 0.2, left=left, color=colour)
        shown = f"{share:.0%}" if share >= 0.005 or not amount else "under 1%"
        axes.text(left, middle + 0.22, f"{short(amount)}, {shown}", fontsize=8, va="center", color="0.25")


def short(number: float) -> str:
    """A number of parameters or operations in three figures."""
    rounded = float(f"{number:.3g}")  # first, as 999,600 is 1.00 M
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if rounded >= size:
            return f"{rounded / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{number:.0f}"
