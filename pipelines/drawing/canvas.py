"""What all pictures share: size, colours, names that fit, and the way to a PNG file.

Flows in: numbers by name. Flows out: matplotlib figures, made without pyplot, which keeps state for the whole process
and is not safe in threads.

Splits have colours of Okabe and Ito ("Color Universal Design", 2008), which stay apart for colour-blind eyes.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.typing import ColorType

from pipelines.drawing.fonts import families_for

DPI = 100

NAME_WIDTH = 40
"""Characters of a name before it goes on in the next line."""

MAX_INCHES = 200
"""No side of a picture is longer, however much there is to show: a PNG of Agg has up to 65,535 pixels a side."""

ANNOTATED = 40
"""Classes up to which a matrix has its numbers written into it."""

MATRIX_INCHES = 60
"""Side of a matrix at most: room for the names of 375 classes, and 100 MB of pixels while it is drawn."""

BLUE = "#0072b2"
COLOURS = (BLUE, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
MARKERS = "osD^vP"

_EDGE = 0.08  # inches between a picture's edge and what is drawn
_LINE = 0.16  # inches that a line of a name takes


def blank(width: float, height: float) -> Figure:
    """An empty figure of so many inches; what is drawn on it is laid out to fit."""
    layout = ConstrainedLayoutEngine(w_pad=_EDGE, h_pad=_EDGE)
    return Figure(figsize=(min(width, MAX_INCHES), min(height, MAX_INCHES)), dpi=DPI, layout=layout)


def png_of(figure: Figure) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    prepare(figure.findobj(Text))
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=DPI, metadata={"Software": None})
    return target.getvalue()


def prepare(texts: Iterable[Text]) -> None:
    """Have texts drawn as they are, whatever their script."""
    texts = list(texts)
    families = families_for("".join(each.get_text() for each in texts))
    for each in texts:
        each.set_parse_math(False)  # a "$" in a class name is no formula
        if families:
            each.set_fontfamily(families)


def wrap(name: str, most: int = NAME_WIDTH) -> str:
    """A name in as few lines of `most` characters as it needs, all about as long; "(unknown)" where it is empty."""
    name = " ".join(name.split()) or "(unknown)"
    fewest = len(textwrap.wrap(name, most))
    widths = range(max(1, len(name) // fewest), most + 1)
    return next("\n".join(lines) for width in widths if len(lines := textwrap.wrap(name, width)) == fewest)


def thousands(value: float, _: int | None = None) -> str:
    """A whole number with commas between its thousands; matplotlib's formatters pass a position too."""
    return f"{value:,.0f}"


THOUSANDS = FuncFormatter(thousands)


def signed(value: float, decimals: int = 0) -> str:
    """With its sign, a true minus where it is below 0; what rounds to 0 has none."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def ink_on(colour: ColorType) -> str:
    """Black or white, whichever contrasts more with a colour, by the relative luminance of WCAG 2.2."""
    shares = np.array(to_rgb(colour))
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > 0.179 else "white"  # where both contrasts are 4.6


def offsets(series: int, width: float) -> list[float]:
    """Where bars of this width lie around a place, so that they are centred on it together."""
    return [width * (number - (series - 1) / 2) for number in range(series)]


def room_for(names: Sequence[str]) -> float:
    """Inches that each of these names needs beside the next, in as many lines as the longest takes."""
    return _LINE * max(wrap(name).count("\n") + 1 for name in names)


def bars(series: Mapping[str, Mapping[str, int]], names: Sequence[str], title: str) -> Figure:
    """Horizontal bars of patches: one a series (such as a split) for each name, the first name on top."""
    figure = blank(9, 1.5 + len(names) * max(0.15 * len(series), room_for(names)))
    axes = figure.subplots()
    places = np.arange(len(names))
    height = 0.84 / len(series)
    for (label, counts), offset, colour in zip(series.items(), offsets(len(series), height), cycle(COLOURS)):
        values = [counts.get(name, 0) for name in names]
        drawn = axes.barh(places + offset, values, height, color=colour, label=label)
        axes.bar_label(drawn, [thousands(value) for value in values], padding=2, fontsize=7)
    axes.set_yticks(places, [wrap(name) for name in names], fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(THOUSANDS)
    axes.set(title=title, xlabel="patches")
    axes.grid(axis="x", alpha=0.3)
    tidy(axes)
    legend(figure, axes)
    return figure


def tidy(axes: Axes) -> None:
    """Nothing drawn that says nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def legend(figure: Figure, axes: Axes) -> None:
    """What the colours mean, below everything, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
