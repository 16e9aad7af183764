"""Whether numbers can be what a model was trained on: the patch as a whole, and not band by band.

Flows in: a patch's numbers, brought to the model's encoding, and what is known of those it was trained on. Flows out:
what is odd about them, in words; or a PatchError with what came, what was expected, and the factor that seems to be
missing.

Water, snow and clouds lie far from what is usual, each in other bands; what lies far from it alike in all of them is on
another scale. So a band's median is held against the median of what was trained on, and what all bands have in common
decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import PatchError
from pipelines.pixels.meaning import Known, Line

BASELINE_OFFSET = 1000
"""What processing baseline 04.00 (January 2022) added to Sentinel-2's numbers, so that dark pixels are not cut off
(ESA, Sentinel-2 Products Specification Document, `RADIO_ADD_OFFSET`)."""

SENSELESS = 3.0
BRIGHT = 1.6
"""Reflectance that a band's median cannot have; and that single pixels have where there are sunlit clouds or snow."""

_TOO_DARK, _TOO_BRIGHT = 1 / 8, 3.0
_FAR = 20.0
_ALIKE = math.log(1.9)
_ENOUGH = 6  # bands, of which those of no kind of surface are all bright or dark alike
_BANDS_ALIKE = 0.8  # of the bands, whose factors must lie so close together
_ROUGHLY = 2.7  # what a usual factor may be off by: one patch is darker than the mean, another brighter
_WAYS = {
    "reflectance from 0 to 1": Line(),
    "percent": Line(1e-2),
    "8 bits": Line(1 / 255),
    "reflectance × 10,000": Line(1e-4),
    "surface reflectance of Landsat's Collection 2": Line(2.75e-5, -0.2),
    "reflectance × 100 million": Line(1e-8),
}
"""How people write reflectance, and what has to be done to it."""


@dataclass(frozen=True)
class _Band:
    """One band: the median and least number that came; quantiles of those that were expected; and the median's
    reflectance, where it is one, and that which was expected."""

    median: float
    least: float
    low: float
    middle: float
    bright: float
    high: float
    reflectance: float | None
    usual: float | None

    @property
    def bright_as_the_earth(self) -> bool:
        """Whether clouds or snow may be so: among a few bands of visible light they are bright in all of them."""
        return self.reflectance is not None and self.median > self.middle and self.reflectance < BRIGHT

    @property
    def outside(self) -> bool:
        return not self.low <= self.median <= self.high

    @property
    def far(self) -> bool:
        """By more than all that was expected spans."""
        span = self.high - self.low
        return not self.low - span <= self.median <= self.high + span


def judge(pixels: Mapping[str, NDArray[Any]], known: Mapping[str, Known]) -> list[str]:
    """What is odd about a patch.

    Args:
        pixels: band to numbers in the model's encoding, NaN where there is no data; some pixel is there in each.
        known: of each band.

    Raises:
        PatchError: the model was not trained on anything like it.
    """
    bands = {name: _band(pixels[name], known[name]) for name in pixels if known[name].quantiles}
    factors = _factors(bands)
    if bands and _impossible(bands, factors):
        raise _refusal(bands, factors, {known[name].line for name in bands})
    _check_reflectance(pixels, known)
    if not bands:
        return _bright(pixels, known)
    notes = _bright(pixels, known)
    outside = [name for name, band in bands.items() if band.outside]
    if 2 * len(outside) >= len(bands) and not notes:
        what = "all bands" if len(outside) == len(bands) else ", ".join(outside)
        notes.append(f"{what} lie beyond nearly all that the model was trained on; is the scale right?")
    elif far := [name for name, band in bands.items() if band.far]:
        told = f"{', '.join(far)} {'lie' if len(far) > 1 else 'lies'} far beyond all that the model was trained on"
        notes.append(f"{told}; are the bands named in the right order?")
    if _lifted(bands):
        notes.append(
            f"no pixel of any band is below {BASELINE_OFFSET:,}: is the offset of processing baseline 04.00 still on "
            "the numbers? Declare it, or subtract it"
        )
    return notes


def _band(numbers: NDArray[Any], known: Known) -> _Band:
    there = numbers[~np.isnan(numbers)] if numbers.dtype.kind == "f" else numbers
    low, middle, bright, high = (known.quantiles[name] for name in ("0.1", "50", "99", "99.9"))
    median = float(np.median(there))
    units = [known.line.of(number) for number in (median, middle)] if known.unit == "reflectance" else (None, None)
    return _Band(median, float(there.min()), low, middle, bright, max(high, low + 1e-9), *units)


def _factors(bands: Mapping[str, _Band]) -> NDArray[np.float64] | None:
    """How many times each band's median is what was expected; None where numbers are not of one sign."""
    pairs = [(band.median, band.middle) for band in bands.values()]
    if not all(median > 0 and middle > 0 for median, middle in pairs):
        return None
    return np.array([median / middle for median, middle in pairs])


def _impossible(bands: Mapping[str, _Band], factors: NDArray[np.float64] | None) -> bool:
    natural = all(band.bright_as_the_earth for band in bands.values())
    if all(band.far for band in bands.values()) and not natural:
        return True
    if factors is None:
        foreign = [band.median < 0 <= band.low for band in bands.values()]
        return 2 * sum(foreign) > len(bands)
    if factors.max() < 1 / _FAR or (factors.min() > _FAR and not natural):
        return True
    middle = float(np.median(factors))
    alike = len(bands) >= _ENOUGH and np.quantile(np.abs(np.log(factors / middle)), _BANDS_ALIKE) <= _ALIKE
    bright = 2 * sum(band.median > band.bright for band in bands.values()) >= len(bands)
    return bool(alike) and (middle < _TOO_DARK or (middle > _TOO_BRIGHT and bright))


def _refusal(bands: Mapping[str, _Band], factors: NDArray[np.float64] | None, lines: Set[Line]) -> PatchError:
    """What to raise, with the way in which the numbers seem to be written, else with how far they are off.

    Args:
        lines: what the model's own numbers mean.
    """
    came = float(np.median([band.median for band in bands.values()]))
    expected = float(np.median([band.middle for band in bands.values()]))
    what = f"pixels are around {_number(came)}, and the model was trained on numbers around {_number(expected)}"
    way = min(_WAYS, key=lambda each: _away(bands, _WAYS[each]))
    if len(lines) == 1 and _away(bands, _WAYS[way]) <= math.log(_ROUGHLY):
        (mine,) = lines
        return PatchError(f"{what}: they seem to be {way}", hint=_how_to_mend(_WAYS[way], mine))
    if factors is None:
        return PatchError(what, hint="Send what it was trained on, and declare the scale and offset of its numbers.")
    if not any(line.offset for line in lines):  # with one, no factor is right
        what += f": {_times(1 / float(np.median(factors)))}"
    return PatchError(what, hint="Mend their scale, or declare it in the file.")


def _away(bands: Mapping[str, _Band], way: Line) -> float:
    """Logarithm of how far numbers that are written in a way would be from the reflectance that was expected."""
    pairs = [(way.of(band.median), band.usual or 0.0) for band in bands.values()]
    return float(np.median([abs(math.log(one / other)) if one > 0 < other else math.inf for one, other in pairs]))


def _how_to_mend(theirs: Line, mine: Line) -> str:
    """What to do to numbers of one meaning, for a model whose numbers have another. Scale 1 cannot be declared: it is
    what files have that say nothing."""
    declare = f"eclare {theirs} in the file." if theirs != Line() else ""
    if theirs.offset or mine.offset:
        sign = "-" if mine.offset > 0 else "+"
        return f"D{declare}" if declare else f"Make them (number {sign} {abs(mine.offset):g}) / {mine.scale:g}."
    factor = theirs.scale / mine.scale
    how = f"Multiply them by {_number(factor)}" if factor > 1 else f"Divide them by {_number(1 / factor)}"
    return f"{how}, or d{declare}" if declare else f"{how}."


def _times(factor: float) -> str:
    return f"{_number(factor)} times too small" if factor > 1 else f"{_number(1 / factor)} times too large"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"


def _check_reflectance(pixels: Mapping[str, NDArray[Any]], known: Mapping[str, Known]) -> None:
    """Raise a PatchError where a band is brighter than anything that the sun shines on."""
    for name, numbers in pixels.items():
        if known[name].unit == "reflectance" and known[name].line.of(float(np.nanmedian(numbers))) > SENSELESS:
            raise PatchError(
                "pixels are far above any reflectance",
                where=name,
                hint="Send the numbers that the model was trained on, or declare their scale.",
            )


def _bright(pixels: Mapping[str, NDArray[Any]], known: Mapping[str, Known]) -> list[str]:
    return [
        f"{name} has pixels of {known[name].line.of(top):.1f} reflectance: cloud, snow or an error?"
        for name, numbers in pixels.items()
        if known[name].unit == "reflectance" and known[name].line.of(top := float(np.nanmax(numbers))) > BRIGHT
    ]


def _lifted(bands: Mapping[str, _Band]) -> bool:
    """Whether the numbers seem to have an offset that those trained on had not."""
    usual = [band.low < BASELINE_OFFSET / 2 for band in bands.values()]
    return (
        len(bands) > 2
        and 2 * sum(usual) > len(bands)
        and all(band.least >= BASELINE_OFFSET and band.median < 10 * BASELINE_OFFSET for band in bands.values())
    )
