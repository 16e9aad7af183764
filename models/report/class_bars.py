"""How each class fares at the thresholds in use: precision, recall, F1, and how many patches there are to learn from.

Flows in: counts of right and wrong decisions. Flows out: a figure. What cannot be computed is said in its place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from models.report.panels import fold
from pipelines.drawing.canvas import BLUE, COLOURS, THOUSANDS, blank, offsets, room_for, thousands, tidy, wrap

_BARS = {"precision": (BLUE, ""), "recall": (COLOURS[1], "///"), "F1": ("#444444", "")}


def class_rates(counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Precision, recall and F1 of each class, NaN where they are not defined.

    Args:
        counts: (classes, 2, 2), see `confusion.count_decisions`.
    """
    hits, true, predicted = counts[:, 0, 0], counts[:, 0].sum(axis=1), counts[:, :, 0].sum(axis=1)
    parts = {"precision": (hits, predicted), "recall": (hits, true), "F1": (2 * hits, true + predicted)}
    return {
        name: np.divide(part, whole, out=np.full(len(counts), np.nan), where=whole > 0)
        for name, (part, whole) in parts.items()
    }


def draw_class_bars(counts: NDArray[np.int64], names: Sequence[str], of: str) -> Figure:
    """Three bars a class, the most frequent class on top, and beside them its patches.

    Args:
        counts: as `class_rates` takes them.
        of: what the numbers are of, for the heading.
    """
    support = counts[:, 0].sum(axis=1)
    order = np.argsort(-support, kind="stable")
    width = 11.0
    figure = blank(width, 1.7 + len(names) * max(0.46, room_for(names)))
    rates_axes, support_axes = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    _draw_rates(rates_axes, counts[order])
    places = np.arange(len(names))
    drawn = support_axes.barh(places, support[order], 0.6, color="#999999")
    support_axes.bar_label(drawn, [thousands(value) for value in support[order]], padding=2, fontsize=8)
    support_axes.margins(x=0.25)
    support_axes.xaxis.set_major_locator(MaxNLocator(nbins=3, integer=True, steps=[1, 2, 5, 10]))
    support_axes.xaxis.set_major_formatter(THOUSANDS)
    support_axes.set_xlabel("patches that have the class")
    support_axes.tick_params(axis="y", length=0)
    rates_axes.set_yticks(places, [wrap(names[place]) for place in order], fontsize=9)
    rates_axes.set_ylim(len(names) - 0.4, -0.6)
    for axes in (rates_axes, support_axes):
        axes.grid(axis="x", alpha=0.3)
        tidy(axes)
    figure.suptitle(fold(f"Each class at its threshold ({of})", width), fontsize=12)
    handles, labels = rates_axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_rates(axes: Axes, counts: NDArray[np.int64]) -> None:
    places, height = np.arange(len(counts)), 0.27
    missing = {"precision": "never predicted", "recall": "no patch has it", "F1": ""}
    found = class_rates(counts).items()
    for (name, values), offset in zip(found, offsets(len(_BARS), height), strict=True):
        colour, hatch = _BARS[name]
        shown = np.nan_to_num(values)
        drawn = axes.barh(
            places + offset, shown, height, color=colour, hatch=hatch, edgecolor="white", linewidth=0.4, label=name
        )
        texts = [missing[name] if np.isnan(value) else f"{value:.2f}" for value in values]
        for text in axes.bar_label(drawn, texts, padding=2, fontsize=7):
            text.set_in_layout(False)  # it lies inside
    axes.set_xlim(0, 1.12)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("share")
