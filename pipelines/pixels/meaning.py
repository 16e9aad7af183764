"""What the numbers of a band mean: scale, offset, unit, no data, and how they are spread. Plain words, without arrays.

Flows in: what files, users and datasets say. Flows out: an `Encoding` of a dataset's band, or what is `Known` of one
that a model was trained on, as manifests, bundles and the endpoint carry it.

A number n means n × scale + offset in the band's unit, as GDAL, STAC (`raster:bands`) and CF have it. What was not
measured is one number of the encoding (`nodata`), or NaN where it stores fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import Field

from pipelines.settings import Settings

Kind = Literal["uint8", "int16", "uint16", "float32"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The types in which a dataset stores numbers, the narrowest first."""

BYTES: dict[str, int] = {"uint8": 1, "int16": 2, "uint16": 2, "float32": 4}

QUANTILES: dict[str, float] = {"0.1": 0.001, "1": 0.01, "50": 0.5, "99": 0.99, "99.9": 0.999}
"""Name of each quantile that is known, in percent, and its share."""

MOST_NODATA = 0.25
"""Share of a patch that may lack data, as BigEarthNet v2's authors have it (Clasen et al. 2025)."""


@dataclass(frozen=True)
class Line:
    """What numbers are declared to mean: n × scale + offset."""

    scale: float = 1.0
    offset: float = 0.0

    @property
    def formula(self) -> str:
        """What is done to a number to have its meaning: `× 0.0001 − 0.1`."""
        sign = "+" if self.offset > 0 else "−"
        return f"× {self.scale:g}" + (f" {sign} {abs(self.offset):g}" if self.offset else "")

    def of(self, number: float) -> float:
        """What a number means."""
        return number * self.scale + self.offset

    def __str__(self) -> str:
        return f"scale {self.scale:g}" + (f" and offset {self.offset:g}" if self.offset else "")


class Encoding(Settings):
    """How one band's numbers are stored, and what they mean."""

    dtype: Kind = Field(default="uint16", description="type of the stored numbers; float32 has NaN for no data")
    scale: float = Field(default=1.0, description="a number times this, plus the offset, is in the unit")
    offset: float = Field(default=0.0, description="in the unit")
    unit: str = Field(default="", description="such as reflectance or dB; empty where nobody said")
    nodata: float | None = Field(default=None, description="the number that stands for no data, if any does")

    @property
    def line(self) -> Line:
        """What a stored number means."""
        return Line(self.scale, self.offset)

    @property
    def bytes(self) -> int:
        """Of one pixel in memory: what may have holes is read as float32."""
        return BYTES["float32" if self.nodata is not None else self.dtype]


class Known(Encoding):
    """What is known of one band that a model was trained on: how its numbers are meant, and how they are spread."""

    quantiles: dict[str, float] = Field(default={}, description="percent to the number that so many are below")


REFLECTANCE = Encoding(scale=1e-4, unit="reflectance")
"""Sentinel-2's digital numbers before processing baseline 04.00, and BigEarthNet's."""
