"""What another threshold would give: precision, recall and F1 of each class from 0 to 1.

Flows in: sweeps of the classes, of all decisions together, and the thresholds in use. Flows out: a figure. Lines are
drawn through steps of 0.005, the best F1 is that of all scores: it may lie between two steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from models.measure.operating_points import Sweep, Values
from models.report.panels import named, panels, say
from pipelines.drawing.canvas import BLUE, COLOURS

STEPS: Values = np.linspace(0, 1, 201)

_LINES: dict[str, tuple[str, Literal["--", "-.", "-"]]] = {
    "precision": (BLUE, "--"),
    "recall": (COLOURS[1], "-."),
    "F1": ("black", "-"),
}


def rates(found: Sweep, thresholds: Values = STEPS) -> dict[str, Values]:
    """Precision (NaN where nothing is predicted), recall and F1 at thresholds; needs a positive."""
    taken, hits = found.at(thresholds)
    precision = np.full_like(taken, np.nan)
    np.divide(hits, taken, out=precision, where=taken > 0)
    return {
        "precision": precision,
        "recall": hits / found.positives,
        "F1": 2 * hits / (taken + found.positives),
    }


def best_f1(found: Sweep) -> tuple[float, float]:
    """The score from which F1 is highest, of equals the highest score, and that F1; needs a positive."""
    values = rates(found, found.scores)["F1"]
    best = int(values.argmax())
    return float(found.scores[best]), float(values[best])


def draw_thresholds(classes: Mapping[str, Sweep], together: Sweep, limits: Values, of: str) -> Figure:
    """One panel a class, and one for one threshold for all."""
    details = [named("All classes", "one threshold for all")]
    details += [
        named(name, f"threshold {limit:.2f} · {found.positives:,} of {found.rows:,}")
        for (name, found), limit in zip(classes.items(), limits, strict=True)
    ]
    key = [Line2D([], [], color=colour, linestyle=style, label=name) for name, (colour, style) in _LINES.items()]
    key.append(Line2D([], [], color="#777777", linewidth=0.9, label="threshold in use"))
    key.append(Line2D([], [], color="black", linestyle="", marker="D", markersize=4, label="best F1"))
    heading = f"Precision, recall and F1 if the threshold were another ({of})"
    figure, axes = panels(details, heading, across="threshold from which the class is predicted", up="share", key=key)
    _draw_panel(axes[0], together, None)
    for panel, found, limit in zip(axes[1:], classes.values(), limits.tolist(), strict=True):
        _draw_panel(panel, found, limit)
    return figure


def _draw_panel(panel: Axes, found: Sweep, limit: float | None) -> None:
    if not found.positives:
        say(panel, "no patch has this class")
        return
    if limit is not None:
        panel.axvline(limit, color="#777777", linewidth=0.9)
    for name, values in rates(found).items():
        colour, style = _LINES[name]
        panel.plot(STEPS, values, color=colour, linestyle=style, linewidth=1.3)
    panel.plot(*best_f1(found), "D", color="black", markersize=4)
