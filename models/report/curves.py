"""ROC and precision-recall curves: one panel a class, and one for all together.

Flows in: sweeps of the classes, of all decisions together, and metrics for the areas. Flows out: figures. A class's
own curve is dark before the others' in grey; a dot marks where its threshold lies.

micro: all decisions as if of one class. macro: mean over classes of the share found at the same share of false alarms
(ROC), or of precision at the same recall; the areas below are `auroc_macro` and `ap_macro`. Metrics have no
`auroc_micro`: the area below micro's ROC is taken from the curve itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from models.measure.operating_points import Sweep, Values
from models.report.panels import named, panels, say, thin
from pipelines.drawing.canvas import BLUE, COLOURS

GRID: Values = np.linspace(0, 1, 501)
"""Where macro curves are computed."""

_ORANGE, _GREY = COLOURS[5], "#c8c8c8"

Curve: TypeAlias = tuple[Values, Values]


@dataclass(frozen=True)
class Kind:
    """One kind of curve: how it is computed, what its area is called in metrics and here, and what stands around it.

    Args:
        curve: None where a class has none.
        macro: mean of curves.
        steps: a point holds from the one before it on.
    """

    curve: Callable[[Sweep], Curve | None]
    macro: Callable[[Sequence[Curve]], Curve]
    key: str
    area: str
    heading: str
    across: str
    up: str
    chance: str
    steps: bool


def roc(found: Sweep) -> Curve | None:
    """Share of the negatives and of the positives that are predicted, from (0, 0) on; None if one kind is lacking."""
    if not found.positives or not found.negatives:
        return None
    return np.concatenate([[0.0], found.false_alarms]), np.concatenate([[0.0], found.recall])


def precision_recall(found: Sweep) -> Curve | None:
    """Recall and precision from the highest score down; None without positives."""
    if not found.positives:
        return None
    return np.concatenate([[0.0], found.recall]), np.concatenate([found.precision[:1], found.precision])


def macro_roc(curves: Sequence[Curve]) -> Curve:
    """Mean share found at each share of false alarms."""
    return GRID, np.mean([np.interp(GRID, *curve) for curve in curves], axis=0)


def macro_precision_recall(curves: Sequence[Curve]) -> Curve:
    """Mean precision at each recall: that of the first threshold which reaches it, as average precision has it."""
    reached = [precision[np.searchsorted(recall, GRID[1:], side="left")] for recall, precision in curves]
    mean = np.mean(reached, axis=0)
    return GRID, np.concatenate([mean[:1], mean])


ROC = Kind(
    roc,
    macro_roc,
    "auroc",
    "AUC",
    heading="ROC: what each threshold finds, and at what price",
    across="false alarms: share of the patches without the class that are given it",
    up="recall: share of those with it that are given it",
    chance="by chance",
    steps=False,
)

PRECISION_RECALL = Kind(
    precision_recall,
    macro_precision_recall,
    "ap",
    "AP",
    heading="Precision and recall at each threshold",
    across="recall: share of the patches with the class that are given it",
    up="precision: share of those given it that have it",
    chance="by chance: the class's frequency",
    steps=True,
)


def draw_curves(
    kind: Kind, classes: Mapping[str, Sweep], together: Sweep, limits: Values, metrics: Mapping[str, Any], of: str
) -> Figure:
    """A panel for all together, and one for each class.

    Args:
        classes: name to sweep.
        limits: (classes,) thresholds in use.
        metrics: for the areas; those it lacks are not written.
    """
    areas = _areas(kind, metrics)
    if kind is ROC and (whole := roc(together)):
        areas["micro"] = f"{kind.area} micro {np.trapezoid(whole[1], whole[0]):.3f}"
    details = [named("All classes", _joined(areas.get("micro", ""), areas.get("macro", "")))]
    for name, found in classes.items():
        details.append(named(name, _joined(areas.get(name, ""), f"{found.positives:,} of {found.rows:,}")))
    heading = f"{kind.heading} ({of})"
    figure, axes = panels(details, heading, across=kind.across, up=kind.up, key=_key(kind))
    curves = {name: curve for name, found in classes.items() if (curve := kind.curve(found))}
    _draw_together(kind, axes[0], together, list(curves.values()))
    shown = {name: _drawn(kind, curve) for name, curve in curves.items()}
    for panel, (name, found), limit in zip(axes[1:], classes.items(), limits.tolist(), strict=True):
        if name not in curves:
            say(panel, "every patch has this class" if found.positives else "no patch has this class")
            continue
        others = [np.stack(curve, axis=1) for other, curve in shown.items() if other != name]
        panel.add_collection(LineCollection(others, colors=_GREY, linewidths=0.5, zorder=1))
        _draw_chance(kind, panel, found)
        panel.plot(*shown[name], color=BLUE, linewidth=1.6)
        _draw_threshold(kind, panel, found, curves[name], limit)
    return figure


def _draw_together(kind: Kind, panel: Axes, together: Sweep, curves: Sequence[Curve]) -> None:
    whole = kind.curve(together)
    if whole is None or not curves:
        say(panel, "there is nothing to tell apart")
        return
    _draw_chance(kind, panel, together)
    panel.plot(*_drawn(kind, whole), color=BLUE, linewidth=1.6)
    panel.plot(*_drawn(kind, kind.macro(curves)), color=_ORANGE, linewidth=1.6, linestyle="--")


def _draw_chance(kind: Kind, panel: Axes, found: Sweep) -> None:
    level = found.positives / found.rows
    panel.plot([0, 1], [level, level] if kind.steps else [0, 1], color="black", linewidth=0.8, linestyle=":")


def _draw_threshold(kind: Kind, panel: Axes, found: Sweep, curve: Curve, limit: float) -> None:
    """The curve's first point is that of nothing predicted, for which there is no precision."""
    place = int(np.searchsorted(-found.scores, -limit, side="right"))
    if place or not kind.steps:
        panel.plot(*(values[place] for values in curve), "o", color="black", markersize=4, zorder=4)


def _drawn(kind: Kind, curve: Curve) -> Curve:
    """As it is drawn: with fewer points, and in steps."""
    across, up = thin(*curve)
    return (np.repeat(across, 2)[:-1], np.repeat(up, 2)[1:]) if kind.steps else (across, up)


def _key(kind: Kind) -> list[Artist]:
    return [
        Line2D([], [], color=BLUE, linewidth=1.6, label="the class; micro"),
        Line2D([], [], color=_ORANGE, linewidth=1.6, linestyle="--", label="macro"),
        Line2D([], [], color=_GREY, linewidth=1, label="other classes"),
        Line2D([], [], color="black", linewidth=0.8, linestyle=":", label=kind.chance),
        Line2D([], [], color="black", linestyle="", marker="o", markersize=4, label="at its threshold"),
    ]


def _areas(kind: Kind, metrics: Mapping[str, Any]) -> dict[str, str]:
    """What is written above panels, as far as the metrics know it."""
    found = {name: metrics.get(f"{kind.key}_{name}") for name in ("micro", "macro")}
    texts = {name: f"{kind.area} {name} {value:.3f}" for name, value in found.items() if value is not None}
    for name, values in metrics.get("per_class", {}).items():
        if values.get(kind.key) is not None:
            texts[name] = f"{kind.area} {values[kind.key]:.3f}"
    return texts


def _joined(*facts: str) -> str:
    return " · ".join(filter(None, facts))
