"""What each of the 19 classes is made of on the ground: mixtures of materials, with the texture that gives it away.

Flows in: a patch's classes, its season and a random generator.
Flows out: zones (120, 120) from `terrain`, and abundances (materials, 120, 120) for `spectra.sense`.

Related classes share materials and differ in amount and arrangement: broad-leaved, mixed and coniferous forest in the
share of conifers, arable land and pastures in how many parcels are green, orchards from both by their rows. Mean
colour alone therefore tells them only partly apart; texture tells more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.bands import PATCH_SIZE
from pipelines.synthetic.spectra import INDEX, Array, Season
from pipelines.synthetic.terrain import WATERSIDE, Ground, Mixture, Parcels, contour, lay_out, merge, ramp


def paint(labels: Sequence[str], season: Season, rng: np.random.Generator) -> tuple[NDArray[np.int8], Array]:
    """Lay out the classes of one patch and fill them.

    Returns:
        Zones, int8 (120, 120): position in `labels`; and abundances, float32 (materials, 120, 120), summing to
        about 1 in full light.
    """
    ground = Ground.survey(rng, season)
    zones = lay_out(labels, ground)
    abundance = np.zeros((len(INDEX), PATCH_SIZE, PATCH_SIZE), dtype=np.float32)
    for position, label in enumerate(labels):
        inside = (zones == position).astype(np.float32)
        for name, weight in COVERS[label](ground).items():
            abundance[INDEX[name]] += inside * weight
    road = ground.road() * np.isin(zones, [i for i, label in enumerate(labels) if label not in WATERSIDE])
    abundance *= 1 - road
    abundance[INDEX["asphalt"]] += 0.7 * road
    abundance[INDEX["soil_pale"]] += 0.3 * road
    relief, day = ground.noise(2.4), season.sun * rng.uniform(0.75, 1.25)
    abundance *= day * (1 + rng.uniform(0, 1.2) * (np.roll(relief, 1, 0) - relief)).clip(0.6, 1.4)
    return zones, abundance


def _broadleaved(ground: Ground) -> Mixture:
    return ground.wood(ramp(ground.noise(2), 0.5, 3.5), np.ones_like(ground.fields.along))


def _coniferous(ground: Ground) -> Mixture:
    stands = 0.8 + 0.35 * ground.fields.values(ground.rng)
    return ground.wood(1 - ramp(ground.noise(2), 0.5, 3.5), stands)


def _mixed(ground: Ground) -> Mixture:
    return ground.wood(ramp(ground.noise(1.5), -1.2, 1.2), np.ones_like(ground.fields.along))


def _transitional(ground: Ground) -> Mixture:
    """Clearings, saplings and scrub in blocks, with trees left standing."""
    stage = 0.6 * ground.fields.values(ground.rng) + 0.2 + 0.15 * ground.noise(1.5)
    trees = ramp(ground.noise(0.9) + stage, 0.8, 2.2)
    open_ = 1 - trees
    felled = open_ * ramp(-stage, -0.45, -0.2)
    scrub = open_ - felled
    return merge(
        ground.wood(ramp(ground.noise(1), -1, 1), trees),
        {"shrub": 0.65 * scrub, "litter": 0.5 * felled},
        ground.turf(0.35 * scrub + 0.3 * felled, 0.8 + 0.1 * ground.noise(1)),
        ground.bare(0.2 * felled),
    )


def _arable(ground: Ground) -> Mixture:
    """Large parcels, each sown, stubble or bare, with faint rows."""
    kind, vigour, turn = (ground.fields.values(ground.rng) for _ in range(3))
    rows = 1 + 0.04 * np.sin(ground.fields.along * (1.1 + turn))
    growth = (kind < ground.season.crop) * (0.45 + 0.55 * vigour)
    green = (growth * rows + 0.05 * ground.noise(2)).clip(0, 1)
    stubble = (1 - green) * ramp(turn, 0.3, 0.7) * 0.8
    ripe, young, ley = ground.fields.deal(ground.rng, 0.45, 0.75)
    return merge(
        {"crop": green * ripe, "sprout": green * young, "grass": green * ley, "straw": stubble},
        ground.bare((1 - green - stubble) * rows),
    )


def _pastures(ground: Ground) -> Mixture:
    """Green parcels, grazed unevenly, some behind hedges."""
    hedge = ground.fields.edges() * (0.7 * ground.rng.random()) * (ground.noise(1) > -0.3)
    green = 0.75 + 0.45 * ground.fields.values(ground.rng) + 0.08 * ground.noise(1.2)
    return merge(ground.turf(1 - hedge, green), ground.wood(0.1 * hedge, hedge))


def _permanent(ground: Ground) -> Mixture:
    """Rows of trees or vines: each parcel has its own spacing, and either lines or a grid."""
    spacing, grid, age = (ground.fields.values(ground.rng) for _ in range(3))
    pitch = 1.2 + 1.1 * spacing
    rows = 0.5 + 0.5 * np.sin(ground.fields.along * pitch)
    lines = np.where(grid < 0.5, rows, rows * (0.5 + 0.5 * np.sin(ground.fields.across * pitch)) * 1.4)
    trees = (lines * (0.6 + 0.6 * age)).clip(0, 1)
    tilled = 1 - trees
    grassy = tilled * ramp(age, 0.4, 0.6)
    return merge(
        {"evergreen": 0.8 * trees, "shrub": 0.2 * trees},
        ground.turf(grassy, 0.8 + 0.1 * ground.noise(1)),
        ground.bare(tilled - grassy),
    )


def _complex(ground: Ground) -> Mixture:
    """A quilt of small plots: crops, fallow, meadows, gardens, and a house here and there."""
    kind, vigour = ground.plots.values(ground.rng), ground.plots.values(ground.rng)
    house = ramp(ground.noise(0.2), 2.0, 2.4)
    plot = 1 - house
    sown = plot * (kind < 0.3) * (0.2 + 0.8 * ground.season.crop * (0.6 + 0.6 * vigour)).clip(0, 1)
    tilled = plot * (kind < 0.5) - sown
    garden = plot * (kind >= 0.85)
    meadow = plot - sown - tilled - garden
    return merge(
        {"tiles": 0.7 * house, "concrete": 0.1 * house, "crop": sown, "shrub": garden},
        ground.turf(meadow, 0.6 + 0.4 * vigour),
        ground.bare(tilled.clip(0, 1)),
    )


def _farmed_wild(ground: Ground) -> Mixture:
    """Fields with copses and scrub of ragged outline between them."""
    wild = ramp(ground.noise(1.9), 0.0, 0.5)
    farmed = _arable(ground) if ground.rng.random() < 0.5 else _pastures(ground)
    woods = ground.wood(0.3 * ramp(ground.noise(1.5), -1, 1.5), 0.7 * wild)
    return merge({name: weight * (1 - wild) for name, weight in farmed.items()}, woods, {"shrub": 0.3 * wild})


def _agroforestry(ground: Ground) -> Mixture:
    """Evergreen oaks scattered over grass or fallow."""
    trees = ramp(ground.noise(0.3) + 0.4 * ground.noise(2.5), 0.9, 1.6)
    fallow = 0.35 * (ground.fields.values(ground.rng) < 0.35) * (1 - trees)
    grass = ground.turf(1 - trees - fallow, 0.75 + 0.15 * ground.noise(2))
    return merge({"evergreen": trees}, grass, ground.bare(fallow))


def _grassland(ground: Ground) -> Mixture:
    """Sparse grass in steps along the slope, and rock that crops out between them in ledges and boulders."""
    slope = ground.noise(2.8)
    ledges = ramp(np.sin((5 + 4 * ground.rng.random()) * slope + 0.4 * ground.noise(1)), 0.5, 0.9)
    boulders = ramp(ground.noise(0.5), 1.0, 1.6)
    stone = np.maximum(0.85 * ledges * ramp(ground.noise(1.8), -1.0, 0.0), 0.3 * boulders)
    turf = 1 - stone
    return merge(
        {"rock": 0.8 * stone, "shrub": 0.15 * boulders * turf},
        ground.turf(0.8 * turf, 0.5 + 0.25 * slope.clip(-1, 1)),
        ground.bare(0.2 * turf),
    )


def _moors(ground: Ground) -> Mixture:
    """Heath in sharp patches of different age: old and dark, young and green, lately burnt or grazed bare."""
    age = (0.8 * ground.noise(1.6) + 1.2 * ground.plots.values(ground.rng) - 0.6).astype(np.float32)
    old, young = ramp(age, -0.1, 0.0), 1 - ramp(age, -0.6, -0.5)
    middle = 1 - old - young
    stone = 0.4 * ramp(ground.noise(0.8), 1.8, 2.6)
    return merge(
        {"heath": (0.95 * old + 0.3 * middle) * (1 - stone), "shrub": 0.5 * middle * (1 - stone), "rock": stone},
        ground.turf(0.2 * middle + 0.6 * young, 0.35 + 0.15 * ground.noise(1)),
        ground.bare(0.35 * young),
    )


def _inland_wetland(ground: Ground) -> Mixture:
    """Moss and sedge with strings of dark pools."""
    pools = 0.8 * ramp(ground.noise(1.3), 0.9, 1.6)
    moss = ramp(ground.noise(2), -1.5, 0.5) * (1 - pools)
    sedge = 1 - pools - moss
    return {"humic": pools, "moss": 0.9 * moss, "reed": 0.8 * sedge, "litter": 0.2 * sedge, "heath": 0.1 * moss}


def _coastal_wetland(ground: Ground) -> Mixture:
    """Salt marsh cut by creeks that branch and wind between banks of mud, with pools in the marsh."""
    drainage, branch = ground.noise(2.7), ground.noise(2.1)
    trunk = contour(drainage, 0, 2.5 + 2 * ground.rng.random())
    near = ramp(-np.abs(drainage), -1.8, -0.9)
    creeks = np.maximum(trunk, near * np.maximum(contour(branch, 0.3, 1.4), contour(branch, -0.5, 1.2)))
    pools = ramp(ground.noise(0.9), 1.3, 1.6) * ramp(np.abs(drainage), 0.3, 0.6)
    water = np.maximum(creeks, 0.9 * pools)
    mud = ramp(-np.abs(drainage), -0.35, -0.1) * (1 - water)
    marsh = 1 - water - mud
    green = ramp(ground.noise(1.2), -0.2, 0.2)
    return merge(
        {"turbid": 0.5 * water, "sea": 0.5 * water, "mud": mud, "reed": 0.6 * marsh},
        ground.turf(0.4 * marsh, green),
    )


def _beach(ground: Ground) -> Mixture:
    dunes = 0.5 * ramp(ground.noise(1.5), 0.3, 1.5)
    return {"sand": (1 - dunes) * (0.9 + 0.06 * ground.noise(1)), "straw": 0.9 * dunes, "shrub": 0.3 * dunes}


def _lake(ground: Ground) -> Mixture:
    """Still water, brown from peat or green from silt, the same all over."""
    humic, silt = ground.rng.beta(1.2, 1), 0.6 * ground.rng.beta(0.5, 3)
    calm = 1 + 0.06 * ground.noise(3)
    return {"humic": humic * calm, "lake": (1 - humic) * calm, "turbid": silt * calm}


def _sea(ground: Ground) -> Mixture:
    """Blue water with swell, glint and plumes."""
    waves = np.sin(ground.rng.uniform(1, 2) * ground.plots.along + 1.5 * ground.noise(2))
    swell = 1 + ground.rng.uniform(0, 0.15) * waves + 0.1 * ground.noise(0.8) + 0.08 * ground.noise(3)
    plume = ground.rng.beta(0.5, 5) * ramp(ground.noise(3), -1, 2)
    glint = np.full_like(swell, ground.rng.exponential(0.004))
    return {"sea": swell * ground.rng.uniform(0.6, 1.3), "turbid": plume, "metal": glint * swell}


def _urban(ground: Ground) -> Mixture:
    """Streets, roofs of house size, gardens and trees; denser towards the centre."""
    streets = 0.8 * ground.plots.edges()
    centre = ramp(ground.noise(2.6), -1.5, 1.5)
    roofs = (1 - streets) * ramp(ground.noise(0.1) + centre, -0.2, 0.8)
    garden = 1 - streets - roofs
    tiles = ground.plots.values(ground.rng)
    trees = garden * ramp(ground.noise(0.4), 0.2, 1.2)
    return merge(
        {"asphalt": streets, "tiles": 0.8 * roofs * tiles, "bitumen": 0.5 * roofs * (1 - tiles)},
        {"concrete": 0.2 * roofs * (1 - tiles)},
        ground.wood(0.2 * trees, trees),
        ground.turf(garden - trees, 0.75 + 0.1 * ground.noise(1)),
    )


def _industrial(ground: Ground) -> Mixture:
    """Halls of many pixels with bright or dark flat roofs, on paved yards."""
    halls = Parcels.divide(ground.rng, ground.rng.uniform(5, 10), ground.rng.uniform(8, 16), ground.angle)
    metal, pale, felt, _, planted = halls.deal(ground.rng, 0.14, 0.28, 0.55, 0.8)
    roof, glare = 1 - halls.edges(), ground.rng.uniform(0.7, 1.7)
    green = 0.9 * planted * roof
    return merge(
        {"metal": glare * metal * roof, "concrete": 0.75 * pale * roof, "bitumen": felt * roof},
        {"asphalt": 1 - (metal + pale + felt) * roof - green},
        ground.turf(green, 0.8 + 0.1 * ground.noise(1)),
    )


COVERS: dict[str, Callable[[Ground], Mixture]] = {
    "Agro-forestry areas": _agroforestry,
    "Arable land": _arable,
    "Beaches, dunes, sands": _beach,
    "Broad-leaved forest": _broadleaved,
    "Coastal wetlands": _coastal_wetland,
    "Complex cultivation patterns": _complex,
    "Coniferous forest": _coniferous,
    "Industrial or commercial units": _industrial,
    "Inland waters": _lake,
    "Inland wetlands": _inland_wetland,
    "Land principally occupied by agriculture, with significant areas of natural vegetation": _farmed_wild,
    "Marine waters": _sea,
    "Mixed forest": _mixed,
    "Moors, heathland and sclerophyllous vegetation": _moors,
    "Natural grassland and sparsely vegetated areas": _grassland,
    "Pastures": _pastures,
    "Permanent crops": _permanent,
    "Transitional woodland, shrub": _transitional,
    "Urban fabric": _urban,
}
