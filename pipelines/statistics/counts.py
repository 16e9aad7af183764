"""What a group of patches adds up to: labels, pairs of labels, and the digital numbers of each band.

Flows in: the columns of one row group (from `part_file`). Flows out: `Counts` by country. All are whole numbers, so
that countries add up to splits, and splits to the dataset, without a rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.dataset.band_sums import BandSums, sums_of

BIN_WIDTH = 64
BINS = 256
"""Bins of a histogram, in digital numbers from 0 on. Reflectance 1 is 10,000; what reaches BINS × BIN_WIDTH, as
sunlit clouds and snow may, is counted apart."""

_SHIFT = BIN_WIDTH.bit_length() - 1


@dataclass(frozen=True)
class BandCounts:
    """One band's pixels. `bins`: (BINS + 1,) int64, the last those above all bins."""

    sums: BandSums
    lowest: int
    highest: int
    bins: NDArray[np.int64]

    def __add__(self, other: BandCounts) -> BandCounts:
        return BandCounts(
            self.sums + other.sums,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.bins + other.bins,
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


def count_rows(columns: Mapping[str, NDArray[Any]], bands: Iterable[str]) -> Iterator[tuple[str, Counts]]:
    """Each country with what its rows add up to.

    Args:
        columns: `country` (rows,) text, `labels` (rows, classes) uint8, and each band (rows, size, size) uint16.
        bands: those to count.
    """
    countries, codes = np.unique(columns["country"], return_inverse=True)
    for code, country in enumerate(countries):
        here = slice(None) if len(countries) == 1 else np.flatnonzero(codes == code)
        counted = {band: _count_pixels(columns[band][here]) for band in bands}
        yield str(country), _count_labels(columns["labels"][here], counted)


def _count_labels(labels: NDArray[np.uint8], bands: dict[str, BandCounts]) -> Counts:
    wide = labels.astype(np.int64)
    sizes = np.bincount(wide.sum(axis=1), minlength=wide.shape[1] + 1)
    return Counts(len(labels), wide.T @ wide, sizes, bands)


def _count_pixels(pixels: NDArray[np.uint16]) -> BandCounts:
    bins = np.bincount((pixels >> _SHIFT).ravel(), minlength=BINS + 1)
    bins[BINS] = bins[BINS:].sum()
    return BandCounts(sums_of(pixels), int(pixels.min()), int(pixels.max()), bins[: BINS + 1])
