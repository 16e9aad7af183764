"""What the numbers of a band mean, and how they are stored: the one place where a file's numbers become a dataset's.

Flows in: the numbers of a file, what it declares of them, and the `Encoding` that they are to have. Flows out: numbers
in that encoding, or a PatchError that says why they cannot have it; nothing is rounded, cut or filled in silence.

A number n means n × scale + offset in the band's unit, as GDAL, STAC (`raster:bands`) and CF have it. What was not
measured is one number of the encoding (`nodata`), or NaN where it stores fractions. When it is read, it is NaN
everywhere, and the net puts the band's mean in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.errors import PatchError
from pipelines.settings import Settings

Kind = Literal["uint8", "int16", "uint16", "float32"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The types in which a dataset stores numbers, the narrowest first."""

_NEARLY = 1e-3
"""What a number may lie beside a whole one and be that: 1e-4 times and then divided by 1e-4 leaves less."""

_EXACT = 2**24
"""Whole numbers up to this are the same as float32."""


@dataclass(frozen=True)
class Line:
    """What numbers are declared to mean: n × scale + offset."""

    scale: float = 1.0
    offset: float = 0.0

    def __str__(self) -> str:
        return f"scale {self.scale:g}" + (f" and offset {self.offset:g}" if self.offset else "")


@dataclass(frozen=True)
class Measured:
    """The pixels of one band as a file has them, any shape.

    Args:
        numbers: of any integer or float type.
        holes: True where nothing was measured, of the same shape; None where there is no such pixel.
        line: what the file declares; None where it declares nothing.
    """

    numbers: NDArray[Any]
    holes: NDArray[np.bool_] | None = None
    line: Line | None = None


class Encoding(Settings):
    """How one band's numbers are stored, and what they mean."""

    dtype: Kind = Field(default="uint16", description="type of the stored numbers; float32 has NaN for no data")
    scale: float = Field(default=1.0, description="a number times this, plus the offset, is in the unit")
    offset: float = Field(default=0.0, description="in the unit")
    unit: str = Field(default="", description="such as reflectance or dB; empty where nobody said")
    nodata: float | None = Field(default=None, description="the whole number that stands for no data, if any does")

    @property
    def line(self) -> Line:
        """What a stored number means."""
        return Line(self.scale, self.offset)

    @property
    def bytes(self) -> int:
        """Of one pixel in memory: what may have holes is read as float32."""
        return 4 if self.nodata is not None else np.dtype(self.dtype).itemsize

    def store(self, measured: Measured) -> NDArray[Any]:
        """The same numbers in this encoding.

        Raises:
            PatchError: they do not fit the type, would have to be rounded, or are no numbers.
        """
        numbers = brought(measured, self.line)
        holes = measured.holes
        if numbers.dtype.kind not in "uif":
            raise PatchError(f"pixels are {numbers.dtype}")
        if numbers.dtype.kind == "f":
            lost = ~np.isfinite(numbers)
            if np.isinf(numbers).any():
                raise PatchError("pixels are infinite")
            holes = lost if holes is None else holes | lost
        there = numbers if holes is None or not holes.any() else numbers[~holes]
        return self._filled(self._fit(there), numbers, holes)

    def _fit(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Numbers that were measured, in this type."""
        if numbers.dtype == self.dtype or not numbers.size:
            return numbers.astype(self.dtype, copy=False)
        if self.dtype == "float32":
            if numbers.dtype.kind in "ui" and max(-int(numbers.min()), int(numbers.max())) > _EXACT:
                raise PatchError("pixels do not fit 24 bits")
            return numbers.astype(np.float32)
        limits = np.iinfo(self.dtype)
        if numbers.min() < limits.min - 0.5 or numbers.max() > limits.max + 0.5:
            raise PatchError(f"pixels do not fit {self.dtype}")
        whole = np.rint(numbers) if numbers.dtype.kind == "f" else numbers
        if numbers.dtype.kind == "f" and np.abs(whole - numbers).max() > _NEARLY:
            raise PatchError("pixels are fractions, and the others' whole numbers")
        return whole.astype(self.dtype)

    def _filled(self, found: NDArray[Any], numbers: NDArray[Any], holes: NDArray[np.bool_] | None) -> NDArray[Any]:
        if holes is None or not holes.any():
            return found.reshape(numbers.shape)
        if self.dtype != "float32" and self.nodata is None:
            raise PatchError("pixels without data, which the other files do not declare")
        stored = np.full(numbers.shape, np.nan if self.dtype == "float32" else self.nodata, self.dtype)
        stored[~holes] = found
        return stored

    def holes(self, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Where nothing was measured; None where there is no such pixel."""
        if stored.dtype.kind == "f":
            found = np.isnan(stored)
        elif self.nodata is None:
            return None
        else:
            found = stored == np.asarray(self.nodata).astype(stored.dtype)
        return found if found.any() else None

    def read(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Stored numbers for those who reckon with them: as they are, or float32 with NaN where there are holes."""
        holes = None if stored.dtype.kind == "f" else self.holes(stored)
        if holes is None:
            return stored
        numbers = stored.astype(np.float32)
        numbers[holes] = np.nan
        return numbers


REFLECTANCE = Encoding(scale=1e-4, unit="reflectance")
"""Sentinel-2's digital numbers before processing baseline 04.00, and BigEarthNet's."""


def brought(measured: Measured, line: Line) -> NDArray[Any]:
    """A file's numbers as those that mean the same by another line; as they are where the file declares nothing."""
    theirs = measured.line or line
    if theirs == line:
        return measured.numbers
    wide = measured.numbers.astype(np.float64)
    same: NDArray[np.float64] = (wide * theirs.scale + (theirs.offset - line.offset)) / line.scale
    whole = np.rint(same)
    return np.where(np.abs(same - whole) < _NEARLY, whole, same) if measured.numbers.dtype.kind in "ui" else same


def share_of(holes: NDArray[np.bool_] | None) -> float:
    """Of some pixels, how many were not measured, from 0 to 1."""
    return 0.0 if holes is None else float(holes.mean())
