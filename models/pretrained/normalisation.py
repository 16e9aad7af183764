"""What a net's numbers were divided by before it saw them, by band, in one form for all who publish it.

Flows in: a publisher's scale, means and deviations. Flows out: for any set of bands a mean and a deviation each, in
stored numbers, as `ReflectanceNet` subtracts and divides by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.pixels.meaning import REFLECTANCE, Encoding


@dataclass(frozen=True)
class Normalisation:
    """A net saw (digital number / scale − mean) / std.

    Args:
        scale: one for all bands. Alone it is that of any band, also of one that the publisher did not have.
        mean, std: by band, in numbers that the scale has divided; what is in neither has 0 and 1.
    """

    scale: float = 1.0
    mean: Mapping[str, float] = field(default_factory=dict)
    std: Mapping[str, float] = field(default_factory=dict)

    def of(self, band: str) -> tuple[float, float] | None:
        """Mean and deviation in digital numbers; None of a band that it says nothing of."""
        if (self.mean or self.std) and band not in self.mean and band not in self.std:
            return None
        return self.mean.get(band, 0.0) * self.scale, self.std.get(band, 1.0) * self.scale

    def over(
        self, bands: Sequence[str], mean: Sequence[float], std: Sequence[float], numbers: Sequence[Encoding]
    ) -> tuple[list[float], list[float], list[str]]:
        """This for the bands it says something of, the given for the rest.

        Args:
            bands: by Sentinel-2's names where they have one.
            mean, std: stored numbers, one a band.
            numbers: what these mean, one a band.

        Returns:
            Means, deviations, and the bands that have the given ones.
        """
        own = [_stored(self.of(band), each) for band, each in zip(bands, numbers, strict=True)]
        pairs = [each or given for each, given in zip(own, zip(mean, std, strict=True), strict=True)]
        rest = [band for band, each in zip(bands, own, strict=True) if each is None]
        return [each[0] for each in pairs], [each[1] for each in pairs], rest

    def __str__(self) -> str:
        if not self.mean and not self.std:
            return f"digital numbers / {self.scale:,.10g}"
        before = "" if self.scale == 1 else f"digital numbers / {self.scale:,.10g}; then "
        if not self.mean:
            return f"{before}each band divided by {', '.join(f'{b} {v:.6g}' for b, v in self.std.items())}"
        return f"{before}mean and deviation of each band, such as {_first(self.mean, self.std)}"


def _stored(pair: tuple[float, float] | None, numbers: Encoding) -> tuple[float, float] | None:
    """Mean and deviation of reflectance × 10,000 as those of stored numbers, where it is known that these are one."""
    if pair is None or numbers.unit != REFLECTANCE.unit or numbers.line == REFLECTANCE.line:
        return pair
    mean, std = (each * REFLECTANCE.scale for each in pair)
    return (mean - numbers.offset) / numbers.scale, std / numbers.scale


def _first(mean: Mapping[str, float], std: Mapping[str, float]) -> str:
    band = next(iter(mean))
    return f"{band} {mean[band]:.6g} ± {std.get(band, 1.0):.6g}"
