"""Whole-number sums of a band's pixels, from which its mean and deviation are made.

Flows in: uint16 pixels. Flows out: `BandSums`, which add up. They are exact, so it does not matter who sums what when:
a resumed ingest ends in the same manifest to the last digit, and `data stats` finds the manifest's numbers again.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pipelines.settings import Settings

_BLOCK = 8  # patches whose numbers stay in a core's cache while they are summed


class BandSums(Settings):
    """How many pixels, the sum of their digital numbers, and the sum of the squares of these."""

    pixels: int
    total: int
    squares: int

    def __add__(self, other: BandSums) -> BandSums:
        return BandSums(
            pixels=self.pixels + other.pixels,
            total=self.total + other.total,
            squares=self.squares + other.squares,
        )

    @property
    def mean(self) -> float:
        """In digital numbers. Of no pixels there is none: ZeroDivisionError."""
        return self.total / self.pixels

    @property
    def std(self) -> float:
        """The population's standard deviation, in digital numbers."""
        return math.sqrt(max(self.pixels * self.squares - self.total * self.total, 0)) / self.pixels


NOTHING = BandSums(pixels=0, total=0, squares=0)


def sums_of(array: NDArray[np.uint16]) -> BandSums:
    """Sums over all pixels of an array of shape (rows, size, size)."""
    total = squares = 0
    for start in range(0, len(array), _BLOCK):
        numbers = array[start : start + _BLOCK].astype(np.uint32)
        total += int(numbers.sum(dtype=np.uint64))
        numbers *= numbers  # 65,535² is less than 2³²
        squares += int(numbers.sum(dtype=np.uint64))
    return BandSums(pixels=array.size, total=total, squares=squares)
