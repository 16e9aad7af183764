"""What a group of patches adds up to: labels, pairs of labels, and the digital numbers of each band.

Flows in: the columns of one row group (from `part_file`). Flows out: `Counts` by country. All are whole numbers (but
the sums of fractions), so that countries add up to splits, and splits to the dataset, without a rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.dataset.band_sums import BandSums, sums_of
from pipelines.dataset.manifest import BandColumn, Statistics

BINS = 256
"""Bins of a histogram; what lies below and above them is counted apart."""

_DEVIATIONS = 16
"""A histogram of numbers that have no range of their own spans so many standard deviations, around the mean."""


@dataclass(frozen=True)
class Bins:
    """Where a band's histogram lies: its first edge, and how wide each of its `BINS` bins is, in stored numbers."""

    low: float = 0
    width: float = 64

    @property
    def shift(self) -> int | None:
        """Bits that a whole number loses to become the number of its bin, where that is all there is to do."""
        whole = self.low == 0 and self.width >= 1 and float(self.width).is_integer()
        width = int(self.width) if whole else 0
        return width.bit_length() - 1 if whole and width & (width - 1) == 0 else None


def bins_of(column: BandColumn, statistics: Statistics) -> Bins:
    """The histogram of a band: reflectance × 10,000 in steps of 64 from 0 on, so that sunlit clouds and snow may lie
    above it; 8 bits one by one; what may be negative or a fraction around its mean."""
    if column.numbers.dtype in ("uint16", "uint8"):
        return Bins() if column.numbers.dtype == "uint16" else Bins(width=1)
    step = 10.0 ** np.floor(np.log10(max(_DEVIATIONS * statistics.std / BINS, 1e-30)))
    width = float(step * np.ceil(max(_DEVIATIONS * statistics.std, BINS * 1e-30) / BINS / step))
    low = width * float(np.floor((statistics.mean - BINS // 2 * width) / width))
    return Bins(low, width)


@dataclass(frozen=True)
class BandCounts:
    """One band's pixels that were measured. `bins`: (BINS + 2,) int64, first those below, last those above all bins.

    Of no pixels, `lowest` is infinite, and `highest` minus infinite.
    """

    sums: BandSums
    lowest: float
    highest: float
    bins: NDArray[np.int64]
    where: Bins

    def __add__(self, other: BandCounts) -> BandCounts:
        return BandCounts(
            self.sums + other.sums,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.bins + other.bins,
            self.where,
        )


@dataclass(frozen=True)
class Counts:
    """A group of patches.

    `pairs`: (classes, classes) int64, patches that have both; on the diagonal, patches that have the class.
    `sizes`: (classes + 1,) int64, patches by how many labels they have.
    `bands`: empty where pixels were not read.
    """

    patches: int
    pairs: NDArray[np.int64]
    sizes: NDArray[np.int64]
    bands: dict[str, BandCounts]

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.patches + other.patches,
            self.pairs + other.pairs,
            self.sizes + other.sizes,
            {band: counts + other.bands[band] for band, counts in self.bands.items()},
        )


def count_rows(columns: Mapping[str, NDArray[Any]], bands: Mapping[str, Bins]) -> Iterator[tuple[str, Counts]]:
    """Each country with what its rows add up to.

    Args:
        columns: `country` (rows,) text, `labels` (rows, classes) uint8, and each band (rows, size, size), NaN where
            there is no data.
        bands: those to count, and where their histograms lie.
    """
    countries, codes = np.unique(columns["country"], return_inverse=True)
    for code, country in enumerate(countries):
        here = slice(None) if len(countries) == 1 else np.flatnonzero(codes == code)
        counted = {band: _count_pixels(columns[band][here], bins) for band, bins in bands.items()}
        yield str(country), _count_labels(columns["labels"][here], counted)


def _count_labels(labels: NDArray[np.uint8], bands: dict[str, BandCounts]) -> Counts:
    wide = labels.astype(np.int64)
    sizes = np.bincount(wide.sum(axis=1), minlength=wide.shape[1] + 1)
    return Counts(len(labels), wide.T @ wide, sizes, bands)


def _count_pixels(pixels: NDArray[Any], where: Bins) -> BandCounts:
    sums = sums_of(pixels)
    if pixels.dtype.kind == "f":
        pixels = pixels[~np.isnan(pixels)]
    if not pixels.size:
        return BandCounts(sums, np.inf, -np.inf, np.zeros(BINS + 2, np.int64), where)
    if pixels.dtype.kind == "u" and where.shift is not None:
        places = pixels >> where.shift if where.shift else pixels
        counted = np.bincount(places.ravel(), minlength=BINS + 1)
        bins = np.concatenate([[0], counted[:BINS], [counted[BINS:].sum()]])
    else:
        edges = where.low + where.width * np.arange(BINS + 1)
        places = np.searchsorted(edges, pixels.ravel(), side="right")
        bins = np.bincount(places, minlength=BINS + 2)
    return BandCounts(sums, float(pixels.min()), float(pixels.max()), bins, where)
