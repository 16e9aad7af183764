"""What land looks like to Sentinel-2: spectra of pure materials, the seasons, and the sensor.

Flows in: abundances, how much of each material every 10 m pixel holds. Flows out: one uint16 array per band at its
native resolution, reflectance × 10,000, as in a Level-2A product.

Where the spectra of `MATERIALS` come from
- `snow`: soil row of scene HET15 of RAMI-5 (JRC, https://rami-benchmark.jrc.ec.europa.eu), given there for MSI's and
  OLCI's bands; B07, B08, B8A and B09 are interpolated by us.
- `soil_pale` and `soil_dark` keep near the dry and wet soils that come with PROSAIL (jgomezdans/prosail,
  soil_reflectance.txt) where we read those, 443 to 705 nm: the dry one lowered by a quarter in the red and more in
  the blue, the wet one as it is in the blue and steeper. Their infrared is ours.
- All others are ours: the shapes that the ECOSTRESS library (Meerdink et al. 2019) and USGS library 7 (Kokaly et al.
  2017) show for such materials, not digitised from them, at levels chosen so that scenes agree with band means of
  public BigEarthNet patches in which the material dominates (pastures, spruce, lakes, sea, ploughed land, towns).
They are plausible, not measured: good enough to test and to demonstrate with, and for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.bands import ALL_BANDS, PATCH_SIZE, SENTINEL2

Array = NDArray[np.float32]
Counts = NDArray[np.uint16]

# fmt: off
# Reflectance × 10,000 in the order of ALL_BANDS:
#                 B01   B02   B03   B04   B05   B06   B07   B08   B8A   B09   B11   B12
MATERIALS: dict[str, tuple[int, ...]] = {
    "broadleaf": (250, 270, 540, 280, 820, 2850, 3550, 3700, 3850, 3850, 1750, 760),
    "conifer": (170, 190, 340, 220, 490, 1400, 1680, 1780, 1870, 1830, 880, 410),
    "evergreen": (210, 250, 440, 340, 700, 1750, 2100, 2230, 2350, 2320, 1450, 750),
    "shrub": (230, 290, 520, 430, 870, 1900, 2250, 2400, 2500, 2500, 1750, 950),
    "heath": (260, 330, 430, 560, 780, 1130, 1270, 1400, 1500, 1520, 1500, 860),
    "litter": (270, 360, 500, 650, 880, 1180, 1380, 1530, 1630, 1650, 2050, 1350),
    "grass": (340, 360, 760, 400, 1330, 3500, 4300, 4500, 4650, 4600, 2200, 1100),
    "crop": (330, 350, 670, 380, 1150, 3350, 4250, 4400, 4550, 4500, 1900, 900),
    "straw": (480, 640, 980, 1280, 1620, 1920, 2130, 2320, 2470, 2480, 3400, 2300),
    "soil_pale": (1100, 1340, 1830, 2320, 2480, 2590, 2680, 2760, 2810, 2890, 3370, 3200),
    "soil_brown": (420, 560, 860, 1220, 1460, 1640, 1780, 1910, 2020, 2080, 2800, 2250),
    "soil_dark": (260, 290, 380, 490, 570, 640, 700, 770, 830, 860, 1250, 980),
    "sand": (1400, 1800, 2350, 2750, 2950, 3100, 3200, 3300, 3350, 3350, 4000, 3600),
    "rock": (900, 1060, 1260, 1450, 1550, 1630, 1700, 1750, 1790, 1800, 2150, 1950),
    "asphalt": (700, 770, 870, 950, 1000, 1040, 1080, 1120, 1150, 1180, 1400, 1350),
    "concrete": (1450, 1700, 2000, 2200, 2300, 2350, 2400, 2450, 2480, 2500, 2800, 2650),
    "tiles": (520, 620, 930, 1700, 1900, 2000, 2100, 2200, 2300, 2350, 3150, 2850),
    "metal": (3200, 3600, 3900, 4000, 4050, 4050, 4050, 4000, 4000, 4000, 3800, 3400),
    "bitumen": (400, 430, 470, 510, 540, 570, 600, 640, 670, 690, 900, 850),
    "lake": (150, 190, 230, 120, 100, 60, 55, 50, 45, 25, 20, 14),
    "humic": (60, 90, 110, 120, 110, 70, 60, 55, 50, 25, 16, 12),
    "turbid": (420, 540, 850, 800, 760, 430, 400, 320, 290, 200, 60, 40),
    "sea": (170, 190, 150, 75, 60, 42, 42, 38, 36, 18, 18, 15),
    "mud": (560, 680, 850, 960, 1020, 1060, 1090, 1110, 1120, 1080, 620, 400),
    "reed": (270, 350, 570, 640, 1000, 1700, 1980, 2130, 2230, 2230, 2050, 1180),
    "moss": (270, 350, 590, 640, 1010, 1430, 1640, 1790, 1860, 1830, 1050, 470),
    "snow": (8830, 8980, 9070, 9100, 9030, 9010, 8800, 8600, 8480, 7900, 450, 530),
    "cloud": (5500, 5300, 5200, 5200, 5350, 5500, 5600, 5700, 5700, 6000, 4200, 3200),
}
# fmt: on

INDEX: dict[str, int] = {name: row for row, name in enumerate(MATERIALS)}

# Share of haze that each band sees, blue first: falls with wavelength as aerosol scattering does.
_HAZE = np.array([1.3, 1.0, 0.75, 0.55, 0.48, 0.42, 0.38, 0.34, 0.32, 0.26, 0.08, 0.04], dtype=np.float32)
# Over the year, January first: broadleaved trees in leaf, arable land under green crops, grass green.
_LEAF = (0.05, 0.05, 0.1, 0.4, 0.9, 1.0, 1.0, 0.95, 0.85, 0.6, 0.2, 0.05)
_CROP = (0.35, 0.35, 0.45, 0.6, 0.85, 0.75, 0.45, 0.35, 0.3, 0.35, 0.35, 0.35)
_GRASS = (0.55, 0.55, 0.6, 0.8, 0.95, 0.95, 0.85, 0.75, 0.7, 0.7, 0.65, 0.55)
_SUN = (0.72, 0.8, 0.9, 0.97, 1.0, 1.0, 1.0, 0.98, 0.95, 0.88, 0.78, 0.7)


@dataclass(frozen=True)
class Season:
    """State of the vegetation, each 0 to 1, and `sun`, how much of full light low sun leaves on the ground."""

    leaf: float
    crop: float
    grass: float
    sun: float


def season_of(month: int, country: str) -> Season:
    """Season of a month (1 to 12); grass and crops burn in southern summers."""
    i = month - 1
    south = {"Portugal": 0.25, "Serbia": 0.7, "Kosovo": 0.7}.get(country, 1.0) if 6 <= month <= 10 else 1.0
    return Season(leaf=_LEAF[i], crop=_CROP[i] * south, grass=_GRASS[i] * south, sun=_SUN[i])


def sense(abundance: Array, rng: np.random.Generator) -> dict[str, Counts]:
    """Render abundances of shape (materials, 120, 120) into the twelve bands of one patch.

    Materials are lighter or darker, and redder or bluer, from patch to patch; neighbouring pixels leak into each
    other; haze is added; coarser bands are block means of the same scene; noise grows with the signal.

    Returns:
        By band name, uint16 of shape (size, size): reflectance × 10,000, at least 1.
    """
    present = abundance.any(axis=(1, 2))
    scene = _blur(np.einsum("mb,mij->bij", _spectra_of_the_day(rng)[present], abundance[present]))
    haze = np.float32(rng.normal(40, 45)) * _HAZE
    bands = {}
    for row, name in enumerate(ALL_BANDS):
        size = SENTINEL2[name].size
        signal = block_mean(scene[row], PATCH_SIZE // size) + haze[row]
        sigma = (5 + 0.006 * signal.clip(0)) * (size / PATCH_SIZE) ** 0.5
        counts = signal + sigma * rng.standard_normal((size, size), dtype=np.float32)
        bands[name] = counts.clip(1, 20_000).astype(np.uint16)
    return bands


def block_mean(image: Array, factor: int) -> Array:
    """Mean of each factor × factor block of a square (size, size) image: (size / factor, size / factor)."""
    size = image.shape[0] // factor
    mean: Array = image.reshape(size, factor, size, factor).mean(axis=(1, 3))
    return mean


def _spectra_of_the_day(rng: np.random.Generator) -> Array:
    """Spectra (materials, bands) as they vary between places: in brightness by 8 %, in slope by 5 %."""
    spectra = np.array(list(MATERIALS.values()), dtype=np.float32)
    brightness, slope = rng.normal(0, (0.08, 0.05), (len(spectra), 2)).T.astype(np.float32)
    ramp = np.linspace(-1, 1, len(ALL_BANDS), dtype=np.float32)
    varied: Array = spectra * np.exp(brightness[:, None] + slope[:, None] * ramp)
    return varied


def _blur(scene: Array, leak: float = 0.2) -> Array:
    """Point spread: each pixel of (bands, rows, columns) gives `leak` of itself to its neighbours along each axis."""
    for axis in (1, 2):
        width = [(0, 0), (0, 0), (0, 0)]
        width[axis] = (1, 1)
        wide = np.pad(scene, width, mode="edge")
        before, after = (wide[:, :-2], wide[:, 2:]) if axis == 1 else (wide[:, :, :-2], wide[:, :, 2:])
        scene = (1 - leak) * scene + leak / 2 * (before + after)
    return scene
