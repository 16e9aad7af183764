"""What land looks like to Sentinel-2: spectra of pure materials, the seasons, and the sensor.

Flows in: abundances, how much of each material every 10 m pixel holds, and the air above. Flows out: one uint16 array
per band at its native resolution, reflectance × 10,000, as in a Level-2A product.

Where the spectra of `MATERIALS` come from; a published spectrum is averaged over each band's width (ESA, S2A), and
what we scaled or mixed is said beside the row
- PROSAIL: the model PROSPECT-D + 4SAIL (Féret et al. 2017, Verhoef et al. 2007) as in the package `prosail` 2.0.5, run
  for sun at 40° and a view straight down. A row's numbers are its arguments: leaf structure N, chlorophyll Cab and
  carotenoids Car (µg/cm²), brown pigment, water and dry matter (g/cm²); leaf area index, mean leaf angle (°); soil
  brightness rsoil. Hot spot 0.05, dry share of the soil psoil 0.25. These arguments are ours, within usual ranges.
- SOIL: the dry and the wet soil of the same package, rsoil × (psoil × dry + (1 - psoil) × wet). `mud` lies under a
  film of water as in MARMIT (Bablet et al. 2018), exp(-2 × kw × 0.03 cm), kw being PROSPECT's.
- 6S: tables of the radiative-transfer code 6S (Vermote et al. 1997), read in OTB's and robintw/6S's copies; SAND's B11
  and B12 to about 1 %.
- SLUM: spectral library of impervious urban materials (Kotthaus et al. 2014, doi 10.5281/zenodo.4263842), by sample;
  narrow bands at their centre, B02, B08 and B12 from five to eight points. What a sample is, we have at second hand.
- WATER: 0.135 bb / (a + bb) + floor, after Morel & Prieur (1977); a is PROSPECT's kw plus a443 exp(-s (λ - 443)), bb
  that of sea water (Morel 1974) plus b550 × 550 / λ. A row's numbers: a443 (1/m), s (1/nm), b550 (1/m), and a floor
  × 10,000 for what the surface reflects. Form and pure water are published, the row's four numbers are ours.
- RAMI: scene HET15 of RAMI-5 (JRC), as given for MSI and OLCI; B07, B08, B8A and B09 are interpolated by us.
- EYE: level chosen by eye against BigEarthNet patches; not published.
Scenes made of these are plausible, not measured: good enough to test and to demonstrate with, and for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.bands import ALL_BANDS, PATCH_SIZE, SENTINEL2

Array = NDArray[np.float32]
Counts = NDArray[np.uint16]

# fmt: off
# Reflectance × 10,000 in the order of ALL_BANDS, B01 to B09, B11, B12; then where it comes from.
MATERIALS: dict[str, tuple[int, ...]] = {
    # Plants, by PROSAIL: N Cab Car Cbrown Cw Cm LAI angle rsoil
    "broadleaf": (148, 210, 534, 146, 721, 2898, 3634, 3648, 3651, 3574, 1737, 614),  # 1.5 42 9 0 .013 .009 3.2 56 .6
    "conifer": (139, 158, 274, 168, 408, 1075, 1312, 1402, 1450, 1490, 830, 351),  # 1.3 42 10 .4 .021 .02 1.9 71 .5
    "evergreen": (190, 226, 431, 223, 625, 1602, 1922, 2034, 2096, 2161, 1416, 589),  # 1.8 45 11 .4 .012 .02 1.5 58 .6
    "shrub": (172, 235, 521, 213, 751, 1885, 2233, 2354, 2418, 2477, 1601, 685),  # 1.7 33 8 .3 .011 .012 1.8 60 .6
    "heath": (235, 258, 383, 321, 622, 1050, 1261, 1426, 1521, 1658, 1440, 781),  # 1.5 25 8 1.2 .009 .015 1 63 .6
    "litter": (265, 338, 531, 666, 1027, 1306, 1550, 1785, 1921, 2108, 1914, 1035),  # 1.8 3 3 1.5 .003 .012 1 50 .5
    "grass": (134, 206, 564, 144, 764, 3047, 3858, 3879, 3884, 3773, 1688, 636),  # 1.5 36 8 0 .015 .005 3.5 62 .8
    "crop": (144, 196, 506, 137, 696, 3333, 4516, 4532, 4530, 4359, 1801, 657),  # 1.5 45 10 0 .016 .0045 4 57 .8
    "sprout": (252, 319, 645, 324, 862, 2146, 2458, 2515, 2546, 2589, 1895, 1025),  # 1.5 35 8 0 .014 .004 1.2 57 .8
    "straw": (364, 465, 766, 848, 1289, 1597, 1820, 2031, 2152, 2349, 2547, 1753),  # 1.9 3 3 .8 .001 .005 1.2 65 .9
    "reed": (158, 212, 380, 263, 683, 1161, 1428, 1654, 1786, 1953, 1496, 729),  # 1.9 16 5 1.2 .008 .01 1.8 68 .5
    "moss": (192, 235, 454, 294, 902, 1599, 1999, 2334, 2522, 2570, 718, 241),  # 1.3 14 6 1.2 .06 .006 1.6 45 .5
    # Soils and stone
    "soil_pale": (1298, 1353, 1535, 1859, 1982, 2112, 2237, 2375, 2458, 2647, 3160, 2987),  # SOIL: .75 .75
    "soil_brown": (618, 682, 842, 1192, 1401, 1584, 1710, 1829, 1893, 2028, 2528, 2509),  # 6S: SAND × 0.65
    "soil_dark": (335, 334, 379, 486, 533, 601, 664, 747, 797, 933, 1488, 1151),  # SOIL: .8 .08
    "mud": (569, 586, 664, 817, 877, 949, 1017, 1098, 1146, 1252, 1126, 445),  # SOIL: .6 .35 under water
    "sand": (1474, 1569, 1833, 2347, 2599, 2832, 3018, 3207, 3315, 3545, 4236, 4150),  # half 6S: SAND, half SOIL: .9 1
    "rock": (1240, 1434, 1906, 2112, 2144, 2196, 2248, 2215, 2180, 2178, 2841, 2295),  # SLUM: S001, sandstone × 0.5
    # Roads and roofs
    "asphalt": (1101, 1176, 1267, 1344, 1363, 1379, 1391, 1400, 1405, 1417, 1479, 1490),  # SLUM: A008, tarmac
    "concrete": (3099, 3387, 3756, 3900, 3901, 3919, 3949, 3940, 3925, 3919, 3937, 3567),  # SLUM: C004
    "tiles": (767, 866, 1143, 1718, 1900, 2047, 2144, 2194, 2222, 2364, 3302, 3759),  # SLUM: R010, roof tile
    "metal": (2684, 2778, 2873, 2793, 2724, 2654, 2556, 2421, 2335, 2102, 2788, 2031),  # SLUM: Z006, metal sheet
    "bitumen": (653, 661, 675, 712, 729, 744, 751, 743, 737, 733, 631, 586),  # SLUM: A007, felt
    # Water
    "turbid": (676, 747, 821, 638, 530, 435, 333, 248, 196, 102, 0, 0),  # 6S: LAKEW
    "lake": (203, 224, 246, 191, 159, 130, 100, 74, 59, 31, 0, 0),  # 6S: LAKEW × 0.3
    "humic": (39, 46, 63, 88, 79, 46, 44, 41, 37, 31, 30, 30),  # WATER: 8 .014 .04 30
    "sea": (192, 186, 103, 33, 27, 22, 22, 21, 21, 20, 20, 20),  # WATER: .04 .014 .004 20
    # Weather
    "snow": (8830, 8980, 9070, 9100, 9030, 9010, 8800, 8600, 8480, 7900, 450, 530),  # RAMI: HET15
    "cloud": (5500, 5300, 5200, 5200, 5350, 5500, 5600, 5700, 5700, 6000, 4200, 3200),  # EYE
}
# fmt: on

INDEX: dict[str, int] = {name: row for row, name in enumerate(MATERIALS)}

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


def sense(abundance: Array, air: Array, rng: np.random.Generator) -> dict[str, Counts]:
    """Render abundances of shape (materials, 120, 120) into the twelve bands of one patch.

    Materials are lighter or darker, and redder or bluer, from patch to patch; neighbouring pixels leak into each
    other; the light of the air, (bands, 120, 120), is added and hides as much of the ground; coarser bands are block
    means of the same scene; noise grows with the signal.

    Returns:
        By band name, uint16 of shape (size, size): reflectance × 10,000, at least 1.
    """
    present = abundance.any(axis=(1, 2))
    scene = _blur(np.einsum("mb,mij->bij", _spectra_of_the_day(rng)[present], abundance[present]))
    scene = (scene * (1 - air / 10_000) + air).astype(np.float32)
    bands = {}
    for row, name in enumerate(ALL_BANDS):
        size = SENTINEL2[name].size
        signal = block_mean(scene[row], PATCH_SIZE // size)
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
    """Spectra (materials, bands) as they vary between places: in brightness by 17 %, in slope by 8 %."""
    spectra = np.array(list(MATERIALS.values()), dtype=np.float32)
    brightness, slope = rng.normal(0, (0.17, 0.08), (len(spectra), 2)).T.astype(np.float32)
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
