"""Pictures of a dataset's statistics: one a question.

Flows in: `DatasetStatistics`. Flows out: matplotlib figures by name. Amounts go from light to dark in one hue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from pipelines.bands import SENTINEL2
from pipelines.drawing.canvas import (
    ANNOTATED,
    BLUE,
    COLOURS,
    MARKERS,
    MATRIX_INCHES,
    THOUSANDS,
    bars,
    blank,
    legend,
    offsets,
    room_for,
    tidy,
    wrap,
)
from pipelines.statistics.measure import BandStatistics, DatasetStatistics

RARE = 0.001
"""Share of a band's pixels that histograms may leave beyond their right edge, and say so."""


def draw_figures(statistics: DatasetStatistics) -> dict[str, Figure]:
    """Every figure that these statistics can fill: those of pixels only where pixels were read."""
    return {name: draw(statistics) for name, draw in DRAWERS.items() if statistics.band_names or draw not in _OF_PIXELS}


def draw_label_counts(statistics: DatasetStatistics) -> Figure:
    """Patches of each class in each split, the most frequent class first."""
    counts = {split: group.label_counts for split, group in statistics.splits.items()}
    return bars(counts, _largest_first(statistics.whole.label_counts), "Patches of each class")


def draw_countries(statistics: DatasetStatistics) -> Figure:
    """Patches of each country in each split, the largest first."""
    counts: dict[str, dict[str, int]] = {}
    totals: Counter[str] = Counter()
    for split, found in statistics.countries.items():
        counts[split] = {country: group.patches for country, group in found.items()}
        totals.update(counts[split])
    return bars(counts, _largest_first(totals), "Patches of each country")


def draw_labels_per_patch(statistics: DatasetStatistics) -> Figure:
    """Share of each split's patches that have so many labels."""
    figure = blank(7, 4)
    axes = figure.subplots()
    numbers = np.array([number for number, patches in statistics.whole.labels_per_patch.items() if patches])
    width = 0.84 / len(statistics.splits)
    places = offsets(len(statistics.splits), width)
    for (split, group), place, colour in zip(statistics.splits.items(), places, cycle(COLOURS)):
        shares = [group.labels_per_patch.get(number, 0) / group.patches for number in numbers.tolist()]
        axes.bar(numbers + place, shares, width, color=colour, label=split)
    axes.set_xlim(numbers.min() - 0.8, numbers.max() + 0.8)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=20, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(title="Labels of a patch", xlabel="labels", ylabel="share of the split's patches")
    axes.grid(axis="y", alpha=0.3)
    tidy(axes)
    legend(figure, axes)
    return figure


def draw_co_occurrence(statistics: DatasetStatistics) -> Figure:
    """Of the patches that have the row's class, the share that have the column's as well; of all splits."""
    names = statistics.label_names
    shares, own = _conditional(statistics)
    rows = [f"{name} ({count:,})" for name, count in zip(names, own, strict=True)]
    annotated = len(names) <= ANNOTATED
    side = min(len(names) * max(0.42 if annotated else 0, room_for(rows)), MATRIX_INCHES)
    figure = blank(5 + side, 4 + side)
    axes = figure.subplots()
    axes.set_facecolor("#dddddd")  # where there is no share: the diagonal, and classes that no patch has
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), [wrap(name) for name in names], rotation=90, fontsize=9)
    axes.set_yticks(range(len(names)), [wrap(row) for row in rows], fontsize=9)
    axes.set_title("Of the patches that have the row's class (how many),\nhow many in 100 have the column's as well")
    axes.set_xlabel("empty: never together; grey: the class itself, or no patch has the class")
    for row, column in np.argwhere(shares > 0).tolist() if annotated else ():
        share = shares[row, column]
        colour = "white" if share > 0.6 else "black"
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(image, ax=axes, format=PercentFormatter(1), shrink=0.6)
    return figure


def draw_histograms(statistics: DatasetStatistics) -> Figure:
    """Each band's numbers, of all splits; over one range where all have the same bins, so that they can be compared.

    A bar's height is the square root of its share: water and shadow fill the lowest bins, and would flatten the rest.
    """
    bands = statistics.whole.bands
    alike = len({(each.low, each.width) for each in bands.values()}) == 1
    shown = {band: _bins_of_most(each) for band, each in bands.items()}
    shown = dict.fromkeys(bands, max(shown.values())) if alike else shown
    columns = min(4, len(bands))
    rows = -(-len(bands) // columns)
    figure = blank(max(2.6 * columns, 6), 1.2 + 1.6 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for number, (panel, (band, each)) in enumerate(zip(panels, bands.items(), strict=False)):
        edges = each.edges[: shown[band] + 1]
        panel.stairs(np.sqrt(each.histogram[: shown[band]]), edges, fill=True, color=BLUE)
        panel.axvline(each.mean, color="black", linewidth=1, linestyle="--")
        panel.set(xlim=(edges[0], edges[-1]), yticks=[])
        panel.set_title(f"{band} {SENTINEL2[band].meaning}" if band in SENTINEL2 else band, fontsize=9)
        panel.xaxis.set_major_locator(MaxNLocator(nbins=4, prune="upper"))
        if each.width >= 1:
            panel.xaxis.set_major_formatter(THOUSANDS)
        panel.tick_params(labelsize=8, labelbottom=not alike or number + columns >= len(bands))
        tidy(panel)
    for panel in panels[len(bands) :]:
        panel.remove()
    beyond = max(1 - sum(each.histogram[: shown[band]]) / each.pixels for band, each in bands.items())
    rest = f"at most {100 * beyond:.2g} % of a band's pixels lie" if beyond else "no pixels lie"
    limit = f" {edges[-1]:,.0f}" if alike and edges[-1] >= 1 else " the edges"
    figure.suptitle("Pixels of each band (dashed: mean; height: square root of the share)", fontsize=12)
    figure.supxlabel(f"number as stored; {rest} beyond{limit}", fontsize=9)
    return figure


def draw_spectrum(statistics: DatasetStatistics) -> Figure:
    """Mean and standard deviation of each band in each split."""
    bands = sorted(statistics.band_names, key=_wavelength)
    figure = blank(max(6, 2 + 0.75 * len(bands)), 4.5)
    axes = figure.subplots()
    places = offsets(len(statistics.splits), 0.2)
    for (split, group), place, colour, marker in zip(statistics.splits.items(), places, cycle(COLOURS), cycle(MARKERS)):
        there = [number for number, band in enumerate(bands) if band in group.bands]
        each = [group.bands[bands[number]] for number in there]
        means, deviations = [band.mean for band in each], [band.std for band in each]
        axes.errorbar(
            np.array(there) + place, means, deviations, fmt=marker, color=colour, capsize=2, ms=5, label=split
        )
    axes.set_xticks(range(len(bands)), [_with_wavelength(band) for band in bands], fontsize=9)
    if max(abs(each.mean) for each in statistics.whole.bands.values()) >= 10:
        axes.yaxis.set_major_formatter(THOUSANDS)
    axes.set(title="Mean ± standard deviation of each band", ylabel="number as stored")
    axes.grid(axis="y", alpha=0.3)
    tidy(axes)
    legend(figure, axes)
    return figure


_OF_PIXELS = (draw_histograms, draw_spectrum)

DRAWERS: dict[str, Callable[[DatasetStatistics], Figure]] = {
    "label_counts": draw_label_counts,
    "labels_per_patch": draw_labels_per_patch,
    "co_occurrence": draw_co_occurrence,
    "countries": draw_countries,
    "histograms": draw_histograms,
    "spectrum": draw_spectrum,
}
"""A figure's name to what draws it."""


def _largest_first(counts: Mapping[str, int]) -> list[str]:
    return sorted(counts, key=lambda name: -counts[name])


def _conditional(statistics: DatasetStatistics) -> tuple[NDArray[np.float64], list[int]]:
    """Shares (classes, classes), NaN on the diagonal and in rows of classes that no patch has; and patches a class."""
    pairs = np.array([list(row.values()) for row in statistics.whole.co_occurrence.values()], np.float64)
    own = list(statistics.whole.label_counts.values())
    shares = np.full_like(pairs, np.nan)
    np.divide(pairs, np.array(own)[:, None], out=shares, where=np.array(own)[:, None] > 0)
    np.fill_diagonal(shares, np.nan)
    return shares, own


def _bins_of_most(band: BandStatistics) -> int:
    """How many bins from 0 on hold all of a band's pixels but a few."""
    enough = np.cumsum(band.histogram) >= (1 - RARE) * band.pixels
    return int(enough.argmax()) + 1 if enough.any() else len(band.histogram)


def _wavelength(band: str) -> float:
    return SENTINEL2[band].centre if band in SENTINEL2 else np.inf


def _with_wavelength(band: str) -> str:
    return f"{band}\n{SENTINEL2[band].centre:.0f} nm" if band in SENTINEL2 else band
