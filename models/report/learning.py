"""How a net learnt, epoch by epoch.

Flows in: a table, one row an epoch, and which of them the scored model is of. Flows out: a figure of losses, and of
those measures that the table has.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from models.metric_keys import METRICS
from models.report.epoch_table import Epochs
from pipelines.drawing.canvas import COLOURS, MARKERS, blank, tidy

EPOCH = "epoch"
SHOWN = 6
"""Measures in one panel: as many as there are colours and markers."""

_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
_SPLITS = {"train_": "training ", "validation_": "validation ", "val_": "validation "}
_WORDS = {"ap": "average precision", "f1": "F1", "f2": "F2", "auroc": "area under ROC", "lrap": "label ranking AP"}
_WORDS |= {"ece": "calibration error"}
_MARK = "#777777"


def draw_learning(epochs: Epochs, scored: int | None = None) -> Figure:
    """Losses on the left (`train_loss`, `validation_loss`, …), measures by the project's keys on the right.

    Args:
        epochs: rows with the same keys; `epoch` counts from 1. A value may be None.
        scored: the epoch whose model is scored, and shown in a report's other figures; marked if the table has it.
    """
    columns = shown_columns(epochs)
    figure = blank(max(5.5, 5.2 * len(columns)), 4.4)
    made = figure.subplots(1, len(columns), squeeze=False)[0].tolist()
    for axes, (what, keys) in zip(made, columns.items(), strict=True):
        _draw(axes, epochs, keys)
        if scored is not None and scored in _numbers(epochs):
            _mark(axes, scored)
        axes.set_ylabel(what)
    figure.suptitle("Learning curves", fontsize=12)
    return figure


def shown_columns(epochs: Epochs) -> dict[str, list[str]]:
    """Columns that are drawn, by what they measure: "loss", or metrics from 0 to 1; those with text are not."""
    numbers = [key for key in epochs[0] if all(_is_number_or_none(row.get(key)) for row in epochs)]
    losses = [key for key in numbers if _bare(key) == "loss"]
    metrics = [key for key in numbers if _bare(key) in METRICS and _bare(key) != "coverage"]
    return {what: keys for what, keys in (("loss", losses), ("share", metrics[:SHOWN])) if keys}


def readable(key: str) -> str:
    """A column's key as people say it: `val_f1_macro` is "validation F1 (macro)"."""
    split = next((words for prefix, words in _SPLITS.items() if key.startswith(prefix)), "")
    name, _, kind = _bare(key).rpartition("_")
    if kind not in ("macro", "micro"):
        name, kind = _bare(key), ""
    return split + _WORDS.get(name, name.replace("_", " ")) + (f" ({kind})" if kind else "")


def _bare(key: str) -> str:
    split = next((split for split in _SPLITS if key.startswith(split)), "")
    return key.removeprefix(split)


def _draw(axes: Axes, epochs: Epochs, keys: Sequence[str]) -> None:
    numbers = _numbers(epochs)
    every = max(1, len(epochs) // 12)  # markers, so that lines can still be followed
    for key, colour, marker, style in zip(keys, cycle(COLOURS), cycle(MARKERS), cycle(_STYLES)):
        values = _column(epochs, key)
        label = readable(key)
        axes.plot(
            numbers, values, color=colour, linestyle=style, marker=marker, markevery=every, ms=4.5, lw=1.3, label=label
        )
        if key.endswith("loss") and not key.startswith("train") and np.isfinite(values).any():
            best = int(np.nanargmin(values))
            lowest = f"lowest {label}: epoch {numbers[best]}"
            axes.plot(numbers[best], values[best], "o", ms=10, mfc="none", mec="black", linestyle="", label=lowest)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.3)
    tidy(axes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False, fontsize=9, ncols=2)


def _mark(axes: Axes, epoch: int) -> None:
    """A line at an epoch, and above the panel, on the side where there is room, what it is."""
    axes.axvline(epoch, color=_MARK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
    low, high = axes.get_xlim()
    place, right = (epoch, 1.0), epoch > (low + high) / 2
    axes.annotate(
        f"epoch {epoch}: the model that is scored",
        place,
        (0, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if right else "left",
        fontsize=8,
    )


def _numbers(epochs: Epochs) -> list[int]:
    return [int(row.get(EPOCH, place + 1)) for place, row in enumerate(epochs)]


def _is_number_or_none(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _column(epochs: Epochs, key: str) -> NDArray[np.float64]:
    return np.array([np.nan if row.get(key) is None else float(row[key]) for row in epochs], np.float64)
