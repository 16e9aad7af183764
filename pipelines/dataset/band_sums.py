"""Sums of a band's pixels, from which its mean and deviation are made.

Flows in: stored numbers, NaN where there is no data. Flows out: `BandSums`, which add up, without what is no data.

Of whole numbers they are exact, so it does not matter who sums what when: a resumed ingest ends in the same manifest to
the last digit, and `data stats` finds the manifest's numbers again. Of fractions they are float64 sums, each part's
always the same; added in another order they differ in the last digits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.settings import Settings

_BLOCK = 8  # patches whose numbers stay in a core's cache while they are summed


class BandSums(Settings):
    """How many pixels, the sum of their numbers, and the sum of the squares of these."""

    pixels: int
    total: int | float
    squares: int | float

    def __add__(self, other: BandSums) -> BandSums:
        return BandSums(
            pixels=self.pixels + other.pixels,
            total=self.total + other.total,
            squares=self.squares + other.squares,
        )

    @property
    def mean(self) -> float:
        """In stored numbers. Of no pixels there is none: ZeroDivisionError."""
        return self.total / self.pixels

    @property
    def std(self) -> float:
        """The population's standard deviation, in stored numbers."""
        return math.sqrt(max(self.pixels * self.squares - self.total * self.total, 0)) / self.pixels


NOTHING = BandSums(pixels=0, total=0, squares=0)


def sums_of(array: NDArray[Any]) -> BandSums:
    """Sums over all pixels of an array of shape (rows, size, size) that are not NaN.

    Args:
        array: of a type that a dataset stores; whole numbers are all taken for data.
    """
    of_block = _of_fractions if array.dtype.kind == "f" else _of_whole
    pixels: int = 0
    total: int | float = 0
    squares: int | float = 0
    for start in range(0, len(array), _BLOCK):
        here = of_block(array[start : start + _BLOCK])
        pixels, total, squares = pixels + here[0], total + here[1], squares + here[2]
    return BandSums(pixels=pixels, total=total, squares=squares)


def _of_whole(block: NDArray[Any]) -> tuple[int, int, int]:
    signed = block.dtype.kind == "i"
    numbers: NDArray[Any] = block.astype(np.int64 if signed else np.uint32)
    total = int(numbers.sum(dtype=np.int64 if signed else np.uint64))
    np.multiply(numbers, numbers, out=numbers)  # 65,535² is less than 2³²
    return block.size, total, int(numbers.sum(dtype=np.uint64))


def _of_fractions(block: NDArray[Any]) -> tuple[int, float, float]:
    numbers = block[~np.isnan(block)].astype(np.float64)
    return numbers.size, float(numbers.sum()), float(np.dot(numbers, numbers))
