"""Numbers of files to numbers of a dataset, and back to those that nets reckon with: the one place where it is done.

Flows in: the numbers of a file, what it declares of them, and the `Encoding` that they are to have. Flows out: numbers
in that encoding, or a PatchError that says why they cannot have it; nothing is rounded, cut or filled in silence. When
stored numbers are read, what is no data is NaN, and the net puts the band's mean in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import PatchError
from pipelines.pixels.meaning import Encoding, Line

_NEARLY = 1e-3
"""What a number may lie beside a whole one and be that: 1e-4 times and then divided by 1e-4 leaves less."""

_EXACT = 2**24
"""Whole numbers up to this are the same as float32."""


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


def store(encoding: Encoding, measured: Measured) -> NDArray[Any]:
    """The same numbers in an encoding.

    Raises:
        PatchError: they do not fit the type, would have to be rounded, or are no numbers.
    """
    if measured.line is None and measured.holes is None and measured.numbers.dtype == encoding.dtype != "float32":
        return measured.numbers  # as nearly all are
    if measured.numbers.dtype.kind not in "uif":
        raise PatchError(f"pixels are {measured.numbers.dtype}")
    numbers, holes = brought(measured, encoding.line), measured.holes
    if numbers.dtype.kind == "f":
        if np.isinf(numbers).any():
            raise PatchError("pixels are infinite")
        holes = np.isnan(numbers) if holes is None else holes | np.isnan(numbers)
    if holes is None or not holes.any():
        return _fitted(encoding, numbers)
    if encoding.dtype != "float32" and encoding.nodata is None:
        raise PatchError("pixels without data, which the other files do not declare")
    empty = np.nan if encoding.dtype == "float32" else encoding.nodata
    stored = np.full(numbers.shape, empty, encoding.dtype)
    stored[~holes] = _fitted(encoding, numbers[~holes])
    return stored


def _fitted(encoding: Encoding, numbers: NDArray[Any]) -> NDArray[Any]:
    """Numbers that were measured, in the encoding's type."""
    if numbers.dtype == encoding.dtype or not numbers.size:
        return numbers.astype(encoding.dtype, copy=False)
    if encoding.dtype == "float32":
        return _as_fractions(numbers)
    limits = np.iinfo(encoding.dtype)
    if numbers.min() < limits.min - _NEARLY or numbers.max() > limits.max + _NEARLY:
        raise PatchError(f"pixels do not fit {encoding.dtype}")
    whole = np.rint(numbers) if numbers.dtype.kind == "f" else numbers
    if numbers.dtype.kind == "f" and np.abs(whole - numbers).max() > _NEARLY:
        raise PatchError("pixels are fractions, and those of the other files are not")
    return whole.astype(encoding.dtype)


def _as_fractions(numbers: NDArray[Any]) -> NDArray[np.float32]:
    if numbers.dtype.kind in "ui" and max(-int(numbers.min()), int(numbers.max())) > _EXACT:
        raise PatchError("pixels do not fit 24 bits")
    if np.abs(numbers).max() > np.finfo(np.float32).max:
        raise PatchError("pixels do not fit float32")
    return numbers.astype(np.float32)


def holes_of(encoding: Encoding, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where nothing was measured in stored numbers; None where there is no such pixel."""
    if stored.dtype.kind == "f":
        found = np.isnan(stored)
    elif encoding.nodata is None:
        return None
    else:
        found = stored == encoding.nodata
    return found if found.any() else None


def read(encoding: Encoding, stored: NDArray[Any]) -> NDArray[Any]:
    """Stored numbers for those who reckon with them: as they are, or float32 with NaN where there are holes."""
    holes = None if stored.dtype.kind == "f" else holes_of(encoding, stored)
    if holes is None:
        return stored
    numbers = stored.astype(np.float32)
    numbers[holes] = np.nan
    return numbers


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
