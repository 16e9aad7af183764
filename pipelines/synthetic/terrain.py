"""The lie of synthetic land: which class lies where in a patch, and the soil, turf and trees that its classes share.

Flows in: a patch's classes, its season and a random generator.
Flows out: the patch's `Ground` (parcels, soil, season), and zones (120, 120), the class of each 10 m pixel.

Borders follow what makes them: fields end at parcel boundaries, woods fray, shores are smooth, beaches lie between
land and sea, rivers wind. As in CORINE, a class is only named where it covers a visible share of the patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.bands import PATCH_SIZE
from pipelines.synthetic.spectra import Array, Season

Weight = NDArray[np.floating[Any]]
Mixture = dict[str, Weight]
"""Weight per pixel, (120, 120), of each named material."""

LEAST_SHARE = 0.09
"""Every class of a patch is given at least about this share of it, or less where more than six have to fit."""

_MARGIN = 24  # noise made by FFT is periodic; made wider and cropped, opposite edges of a patch do not match


@lru_cache(maxsize=64)
def _amplitude(slope: float) -> NDArray[np.float32]:
    size = PATCH_SIZE + _MARGIN
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    radius[0, 0] = np.inf
    amplitude: NDArray[np.float32] = (radius**-slope).astype(np.float32)
    return amplitude


def noise(rng: np.random.Generator, slope: float) -> Array:
    """Fractal noise (120, 120), mean 0, deviation 1: slope 0 is white, 1 mottled, 2 ragged, 3 smooth."""
    amplitude = _amplitude(slope)
    phase = rng.random((2, *amplitude.shape), dtype=np.float32) - np.float32(0.5)
    field = np.fft.irfft2(amplitude * (phase[0] + 1j * phase[1]))[:PATCH_SIZE, :PATCH_SIZE]
    field -= field.mean()
    even: Array = (field / np.sqrt(np.mean(field * field))).astype(np.float32)
    return even


def ramp(values: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, straight between."""
    share: Array = ((values - low) / (high - low)).clip(0, 1)
    return share


def merge(*mixtures: Mixture) -> Mixture:
    """Sum of mixtures, material by material."""
    total: Mixture = {}
    for mixture in mixtures:
        for name, weight in mixture.items():
            total[name] = total[name] + weight if name in total else weight
    return total


def contour(field: Array, level: float, width: float) -> Array:
    """1 along the line where a field passes a level, for `width` pixels to either side; 0 beyond."""
    steep = np.hypot(*np.gradient(field)) + 1e-6
    return ramp(-np.abs(field - level) / steep, -width, -width / 4)


@dataclass(frozen=True)
class Parcels:
    """Land divided into crooked rectangles: `ids` (120, 120), and coordinates along and across, in pixels."""

    ids: NDArray[np.intp]
    along: Array
    across: Array

    @classmethod
    def divide(cls, rng: np.random.Generator, width: float, length: float, angle: float) -> Parcels:
        """Rows of parcels, each row with its own width and offset."""
        y, x = np.mgrid[:PATCH_SIZE, :PATCH_SIZE].astype(np.float32)
        bend = min(width, length) / 6
        along = (np.cos(angle) * x + np.sin(angle) * y + bend * noise(rng, 3)).astype(np.float32)
        across = (np.cos(angle) * y - np.sin(angle) * x + bend * noise(rng, 3)).astype(np.float32)
        row = np.floor(across / length).astype(np.intp)
        row -= row.min()
        widths, offsets = width * rng.uniform(0.4, 1.8, row.max() + 1), rng.random(row.max() + 1)
        column = np.floor(along / widths[row] + offsets[row]).astype(np.intp)
        column -= column.min()
        return cls(row * (column.max() + 1) + column, along, across)

    def values(self, rng: np.random.Generator) -> Array:
        """One uniform random number per parcel, spread over its pixels (120, 120)."""
        spread: Array = rng.random(self.ids.max() + 1, dtype=np.float32)[self.ids]
        return spread

    def deal(self, rng: np.random.Generator, *bounds: float) -> list[Array]:
        """Parcels dealt out at random: for each share between 0, the bounds and 1, 1 on its parcels and else 0."""
        part = np.searchsorted(bounds, self.values(rng))
        return [(part == i).astype(np.float32) for i in range(len(bounds) + 1)]

    def flatten(self, field: Array) -> Array:
        """Mean of a field (120, 120) over each parcel, spread over its pixels."""
        flat = self.ids.ravel()
        means = (np.bincount(flat, field.ravel()) / np.maximum(np.bincount(flat), 1)).astype(np.float32)
        spread: Array = means[self.ids]
        return spread

    def edges(self) -> Array:
        """1 where the next pixel belongs to another parcel, else 0."""
        ids = self.ids
        edges: Array = ((ids != np.roll(ids, 1, 0)) | (ids != np.roll(ids, 1, 1))).astype(np.float32)
        return edges


@dataclass(frozen=True)
class Ground:
    """What the classes of one patch share: its season, its soil (0 dark to 1 pale) and its parcels."""

    rng: np.random.Generator
    season: Season
    soil: float
    angle: float
    fields: Parcels
    plots: Parcels

    @classmethod
    def survey(cls, rng: np.random.Generator, season: Season) -> Ground:
        """Draw a patch's soil and parcels: fields 9 to 22 pixels wide, and plots 3.5 to 7."""
        size, angle = np.exp(rng.uniform(np.log(9), np.log(22))), rng.uniform(0, np.pi)
        fields = Parcels.divide(rng, size, size * rng.uniform(1.2, 2.6), angle)
        plots = Parcels.divide(rng, rng.uniform(3.5, 7), rng.uniform(6, 12), angle + rng.normal(0, 0.3))
        return cls(rng, season, rng.random(), angle, fields, plots)

    def noise(self, slope: float) -> Array:
        """Fractal noise (120, 120) from this patch's generator; see `noise`."""
        return noise(self.rng, slope)

    def road(self) -> Array:
        """Share of each pixel under a winding road or track, (120, 120); none in one patch of four."""
        paved = self.rng.uniform(0.3, 0.8) if self.rng.random() < 0.75 else 0.0
        return np.float32(paved) * contour(self.noise(3.2), self.rng.normal(0, 0.6), 1.1)

    def bare(self, weight: Weight) -> Mixture:
        """The patch's own soil, wetter here and there."""
        wet = 0.5 * ramp(self.noise(2), -1, 2)
        pale = self.soil**1.5
        return {
            "soil_dark": weight * (wet + 0.35 * (1 - self.soil)) * 0.8,
            "soil_pale": weight * (1 - wet) * pale,
            "soil_brown": weight * (1 - wet) * (1 - pale) * (0.6 + 0.4 * self.soil),
        }

    def wood(self, conifer: Weight, weight: Weight) -> Mixture:
        """Trees with crowns and the shade between them; bare boughs over litter in winter."""
        rough = 0.09 + 0.07 * conifer
        crowns = (weight * (0.92 + rough * self.noise(0.7) + 0.06 * self.noise(1.6))).clip(0.0, 1.4)
        leaf = (1 - conifer) * crowns
        return {
            "conifer": conifer * crowns,
            "broadleaf": leaf * self.season.leaf * 0.92,
            "litter": leaf * (1 - self.season.leaf * 0.92),
        }

    def turf(self, weight: Weight, green: Weight) -> Mixture:
        """Grass, `green` in part and dry for the rest."""
        lush = (green * self.season.grass).clip(0, 0.9)
        return {"grass": weight * lush, "straw": weight * (1 - lush)}


# Who takes its share first, and along which field: the sea and what borders on it follow one shore.
WATERSIDE = {
    "Marine waters": "shore",
    "Beaches, dunes, sands": "shore",
    "Coastal wetlands": "shore",
    "Inland waters": "basin",
    "Inland wetlands": "basin",
}
_FARMED = (
    "Arable land",
    "Complex cultivation patterns",
    "Land principally occupied by agriculture, with significant areas of natural vegetation",
    "Pastures",
    "Permanent crops",
)
_BUILT = ("Industrial or commercial units", "Urban fabric")


def lay_out(labels: Sequence[str], ground: Ground) -> NDArray[np.int8]:
    """Zones, int8 (120, 120): each pixel's position in `labels`."""
    rng, count = ground.rng, len(labels)
    least = min(LEAST_SHARE, 0.6 / count)
    shares = least + (1 - count * least) * rng.dirichlet(np.full(count, 2.0))
    land = [i for i, label in enumerate(labels) if label not in WATERSIDE]
    zones = np.full((PATCH_SIZE, PATCH_SIZE), -1, dtype=np.int8)
    fields = {"shore": noise(rng, float(rng.choice([2.2, 2.6, 3.0, 3.4]))), "basin": _basin(rng)}
    watery = [i for place in WATERSIDE for i, label in enumerate(labels) if label == place]
    for i in watery:
        free = zones < 0
        if i == watery[-1] and not land:
            zones[free] = i
            break
        field = fields[WATERSIDE[labels[i]]]
        level = np.quantile(field[free], min(1.0, shares[i] * free.size / free.sum()))
        zones[free & (field <= level)] = i
    if land:
        scores = np.stack([_pull(labels[i], ground) for i in land])
        shared = np.asarray(land, dtype=np.int8)[_balance(scores, shares[land] / shares[land].sum(), zones < 0)]
        zones = np.where(zones < 0, shared, zones)
    return zones


def _basin(rng: np.random.Generator) -> Array:
    """Low ground: lakes, or the two banks of a river."""
    field = noise(rng, float(rng.choice([2.4, 2.8, 3.2])))
    return np.abs(field - rng.normal(0, 0.5)).astype(np.float32) if rng.random() < 0.4 else field


def _pull(label: str, ground: Ground) -> Array:
    """How strongly each pixel asks for a class: the field's shape becomes the zone's."""
    if label in _FARMED:
        return ground.fields.flatten(ground.noise(2.2))
    if label in _BUILT:
        return 1.4 * ground.plots.flatten(ground.noise(3))
    return ground.noise(2.6) + 0.25 * ground.noise(1)


def _balance(scores: Array, shares: NDArray[np.float64], free: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Winner at each pixel, with classes favoured until their areas within `free` come near to `shares`."""
    sparse = scores[:, ::2, ::2][:, free[::2, ::2]]
    favour = np.zeros((len(shares), 1), dtype=np.float32)
    for step in np.linspace(0.6, 0.1, 24):
        areas = np.bincount((sparse + favour).argmax(0), minlength=len(shares)) / max(1, sparse.shape[1])
        favour[:, 0] += step * np.log((shares + 0.02) / (areas + 0.02))
    winners: NDArray[np.intp] = (scores + favour[:, :, None]).argmax(0)
    return winners
