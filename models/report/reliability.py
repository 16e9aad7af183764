"""Whether 80 % means 80 of 100: how often a class is there, where the model says so with what probability.

Flows in: probabilities and labels (rows, classes). Flows out: bins, the expected calibration error, and a figure.

Bins and error as in Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017: fifteen of
equal width, over all decisions of all classes, weighted by how many fall in each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from models.measure.checks import Probabilities
from pipelines.drawing.canvas import BLUE, COLOURS, THOUSANDS, blank, tidy

BINS = 15


@dataclass(frozen=True)
class Bins:
    """Of each bin, (bins,): decisions in it, their mean probability, and what share of them is true (NaN if empty)."""

    counts: NDArray[np.int64]
    said: NDArray[np.float64]
    true: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of what is said from what is true, over decisions."""
        there = self.counts > 0
        gaps = np.abs(self.said - self.true)[there]
        return float((gaps * self.counts[there]).sum() / self.counts.sum())


def reliability(probabilities: Probabilities, labels: NDArray[np.uint8], bins: int = BINS) -> Bins:
    """Sort all decisions into bins of equal width; a bin has its lower edge, the last has 1.0 too."""
    said, true = probabilities.ravel().astype(np.float64), labels.ravel()
    place = np.minimum(np.searchsorted(np.linspace(0, 1, bins + 1), said, side="right") - 1, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=values, minlength=bins) for values in (said, true)]
    means = [np.divide(each, counts, out=np.full(bins, np.nan), where=counts > 0) for each in sums]
    return Bins(counts, *means)


def draw_reliability(found: Bins, error: float | None, of: str) -> Figure:
    """Above, what is true against what is said, with 95 % intervals; below, how many decisions lie where."""
    figure = blank(6.5, 6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    shown = "" if error is None else f"; expected calibration error {error:.3f}"
    figure.suptitle(f"How often a class is there, by the probability given to it\n({of}{shown})", fontsize=12)
    _draw_bins(upper, found)
    edges = np.linspace(0, 1, len(found.counts) + 1)
    lower.stairs(found.counts, edges, fill=True, color=BLUE, baseline=0.5)
    lower.set_yscale("log")
    lower.set_ylim(0.5, max(10, 2 * found.counts.max()))
    lower.yaxis.set_major_formatter(THOUSANDS)
    lower.set(xlabel="probability that the model gives", ylabel="decisions")
    lower.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    tidy(lower)
    return figure


def _draw_bins(axes: Axes, found: Bins) -> None:
    axes.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1, label="as often as it says")
    there = found.counts > 0
    said, true = found.said[there], found.true[there]
    below, above = _wilson(true, found.counts[there])
    axes.vlines(said, true, said, color=COLOURS[1], linewidth=5, alpha=0.6, label="gap")
    spread = np.stack([true - below, above - true]).clip(min=0)
    axes.errorbar(said, true, spread, fmt="o-", color=BLUE, ms=5, capsize=2, linewidth=1.2, label="model (95 %)")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), ylabel="share of the decisions where the class is there")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.3)
    tidy(axes)
    axes.legend(loc="upper left", frameon=False)


def _wilson(
    shares: NDArray[np.float64], counts: NDArray[np.int64], z: float = 1.96
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % interval of a share of `counts` (Wilson 1927), which holds for few and for shares of 0 and 1."""
    middle = (shares + z * z / (2 * counts)) / (1 + z * z / counts)
    half = z / (1 + z * z / counts) * np.sqrt(shares * (1 - shares) / counts + z * z / (4 * counts**2))
    return middle - half, middle + half
