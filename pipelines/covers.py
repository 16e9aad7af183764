"""What each of the 19 classes is made of on the ground: mixtures of materials, with the texture that gives it away.

Flows in: a patch's classes, its season and a random generator.
Flows out: zones (120, 120) from `terrain`, and abundances (materials, 120, 120) for `spectra.sense`.

Related classes share materials and differ in amount and arrangement: broad-leaved, mixed and coniferous forest in the
share of conifers, arable land and pastures in how many parcels are green, orchards from both by their rows. Mean
colour alone therefore tells them only partly apart; texture tells more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.bands import PATCH_SIZE
from pipelines.spectra import INDEX, Array, Season
from pipelines.terrain import WATERSIDE, Ground, Parcels, lay_out, noise, ramp

Weight = NDArray[np.floating[Any]]
Mixture = dict[str, Weight]
"""Weight per pixel, (120, 120), of each named material."""


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
    _build_road(abundance, np.isin(zones, [i for i, label in enumerate(labels) if label not in WATERSIDE]), ground)
    relief = ground.noise(2.4)
    light = season.sun * (1 + rng.uniform(0, 1.2) * (np.roll(relief, 1, 0) - relief)).clip(0.6, 1.4)
    abundance *= light
    return zones, abundance


def overcast(abundance: Array, rng: np.random.Generator) -> Array:
    """The same abundances under clouds, and darker in the shadows that these throw."""
    field = noise(rng, 2.3)
    opaque = ramp(field, rng.uniform(-0.8, 0.5), 1.2)
    down, right = rng.integers(12, 45, 2)
    shadow = np.pad(opaque, ((down, 0), (right, 0)), mode="edge")[:PATCH_SIZE, :PATCH_SIZE]
    clouded: Array = abundance * (1 - 0.65 * shadow) * (1 - opaque)
    clouded[INDEX["cloud"]] += opaque * rng.uniform(0.7, 1.2)
    return clouded


def snowed(abundance: Array, rng: np.random.Generator) -> Array:
    """The same abundances under snow, which woods and water hold less of."""
    woody = abundance[[INDEX[name] for name in ("conifer", "broadleaf", "evergreen", "shrub", "litter")]].sum(0)
    water = abundance[[INDEX[name] for name in ("lake", "humic", "sea", "turbid")]].sum(0)
    bared = 1 - (0.9 * woody + 0.95 * water * (rng.random() < 0.6)).clip(0, 1)
    cover = rng.uniform(0.5, 1) * ramp(noise(rng, 2), -1.5, 1.0) * bared
    white: Array = abundance * (1 - cover)
    white[INDEX["snow"]] += rng.uniform(0.4, 0.8) * cover
    return white


def _build_road(abundance: Array, land: NDArray[np.bool_], ground: Ground) -> None:
    """Lay a winding road or track over land, in place, in three patches of four."""
    route = ground.noise(3.2)
    steep = np.hypot(*np.gradient(route)) + 1e-6
    paved = ground.rng.uniform(0.3, 0.8) * land * ramp(-np.abs(route - ground.rng.normal(0, 0.6)) / steep, -1.2, -0.3)
    if ground.rng.random() < 0.75:
        abundance *= 1 - paved
        abundance[INDEX["asphalt"]] += 0.7 * paved
        abundance[INDEX["soil_pale"]] += 0.3 * paved


def _bare(ground: Ground, weight: Weight) -> Mixture:
    """The patch's own soil, wetter here and there."""
    wet = 0.5 * ramp(ground.noise(2), -1, 2)
    pale = 0.5 * ground.soil**2
    return {
        "soil_dark": weight * (wet + 0.35 * (1 - ground.soil)) * 0.8,
        "soil_pale": weight * (1 - wet) * pale,
        "soil_brown": weight * (1 - wet) * (1 - pale) * (0.6 + 0.4 * ground.soil),
    }


def _merge(*mixtures: Mixture) -> Mixture:
    total: Mixture = {}
    for mixture in mixtures:
        for name, weight in mixture.items():
            total[name] = total[name] + weight if name in total else weight
    return total


def _wood(ground: Ground, conifer: Weight, weight: Weight) -> Mixture:
    """Trees with crowns and the shade between them; bare boughs over litter in winter."""
    rough = 0.09 + 0.07 * conifer
    crowns = (weight * (0.92 + rough * ground.noise(0.7) + 0.06 * ground.noise(1.6))).clip(0.0, 1.4)
    leaf = (1 - conifer) * crowns
    return {
        "conifer": conifer * crowns,
        "broadleaf": leaf * ground.season.leaf,
        "litter": leaf * (1 - ground.season.leaf),
    }


def _turf(ground: Ground, weight: Weight, green: Weight) -> Mixture:
    """Grass, `green` in part and dry for the rest."""
    lush = (green * ground.season.grass).clip(0, 1)
    return {"grass": weight * lush, "straw": weight * (1 - lush) * 0.75}


def _broadleaved(ground: Ground) -> Mixture:
    return _wood(ground, ramp(ground.noise(2), 0.5, 3.5), np.ones_like(ground.fields.along))


def _coniferous(ground: Ground) -> Mixture:
    stands = 0.8 + 0.35 * ground.fields.values(ground.rng)
    return _wood(ground, 1 - ramp(ground.noise(2), 0.5, 3.5), stands)


def _mixed(ground: Ground) -> Mixture:
    return _wood(ground, ramp(ground.noise(1.5), -1.2, 1.2), np.ones_like(ground.fields.along))


def _transitional(ground: Ground) -> Mixture:
    """Clearings, saplings and scrub in blocks, with trees left standing."""
    stage = 0.6 * ground.fields.values(ground.rng) + 0.2 + 0.15 * ground.noise(1.5)
    trees = ramp(ground.noise(0.9) + stage, 0.8, 2.2)
    open_ = 1 - trees
    felled = open_ * ramp(-stage, -0.45, -0.2)
    scrub = open_ - felled
    return _merge(
        _wood(ground, ramp(ground.noise(1), -1, 1), trees),
        {"shrub": 0.65 * scrub, "litter": 0.5 * felled},
        _turf(ground, 0.35 * scrub + 0.3 * felled, 0.8 + 0.1 * ground.noise(1)),
        _bare(ground, 0.2 * felled),
    )


def _arable(ground: Ground) -> Mixture:
    """Large parcels, each sown, stubble or bare, with faint rows."""
    kind, vigour, turn = (ground.fields.values(ground.rng) for _ in range(3))
    rows = 1 + 0.04 * np.sin(ground.fields.along * (1.1 + turn))
    growth = (kind < ground.season.crop) * (0.45 + 0.55 * vigour)
    green = (growth * rows + 0.05 * ground.noise(2)).clip(0, 1)
    stubble = (1 - green) * ramp(turn, 0.3, 0.7) * 0.8
    cereal = green * (turn < 0.6)
    return _merge(
        {"crop": cereal, "grass": green - cereal, "straw": stubble},
        _bare(ground, (1 - green - stubble) * rows),
    )


def _pastures(ground: Ground) -> Mixture:
    """Green parcels, grazed unevenly, some behind hedges."""
    hedge = ground.fields.edges() * (0.7 * ground.rng.random()) * (ground.noise(1) > -0.3)
    green = 0.75 + 0.45 * ground.fields.values(ground.rng) + 0.08 * ground.noise(1.2)
    return _merge(_turf(ground, 1 - hedge, green), _wood(ground, 0.1 * hedge, hedge))


def _permanent(ground: Ground) -> Mixture:
    """Rows of trees or vines: each parcel has its own spacing, and either lines or a grid."""
    spacing, grid, age = (ground.fields.values(ground.rng) for _ in range(3))
    pitch = 1.2 + 1.1 * spacing
    rows = 0.5 + 0.5 * np.sin(ground.fields.along * pitch)
    lines = np.where(grid < 0.5, rows, rows * (0.5 + 0.5 * np.sin(ground.fields.across * pitch)) * 1.4)
    trees = (lines * (0.6 + 0.6 * age)).clip(0, 1)
    tilled = 1 - trees
    grassy = tilled * ramp(age, 0.4, 0.6)
    return _merge(
        {"evergreen": 0.8 * trees, "shrub": 0.2 * trees},
        _turf(ground, grassy, 0.8 + 0.1 * ground.noise(1)),
        _bare(ground, tilled - grassy),
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
    return _merge(
        {"tiles": 0.6 * house, "concrete": 0.4 * house, "crop": sown, "shrub": garden},
        _turf(ground, meadow, 0.6 + 0.4 * vigour),
        _bare(ground, tilled.clip(0, 1)),
    )


def _farmed_wild(ground: Ground) -> Mixture:
    """Fields with copses and scrub of ragged outline between them."""
    wild = ramp(ground.noise(1.9), 0.0, 0.5)
    farmed = _arable(ground) if ground.rng.random() < 0.5 else _pastures(ground)
    woods = _wood(ground, 0.3 * ramp(ground.noise(1.5), -1, 1.5), 0.7 * wild)
    return _merge({name: weight * (1 - wild) for name, weight in farmed.items()}, woods, {"shrub": 0.3 * wild})


def _agroforestry(ground: Ground) -> Mixture:
    """Evergreen oaks scattered over grass or fallow."""
    trees = ramp(ground.noise(0.3) + 0.4 * ground.noise(2.5), 0.9, 1.6)
    fallow = 0.35 * (ground.fields.values(ground.rng) < 0.35) * (1 - trees)
    grass = _turf(ground, 1 - trees - fallow, 0.75 + 0.15 * ground.noise(2))
    return _merge({"evergreen": trees}, grass, _bare(ground, fallow))


def _grassland(ground: Ground) -> Mixture:
    """Unfenced grass thinning out to rock."""
    thin = ramp(ground.noise(1.8), -0.5, 2.0)
    scrub = 0.5 * ramp(ground.noise(1.2), 0.6, 1.8) * (1 - thin)
    green = 0.45 + 0.2 * ground.noise(2.2)
    return _merge(
        {"rock": 0.8 * thin, "shrub": scrub}, _turf(ground, 1 - thin - scrub, green), _bare(ground, 0.2 * thin)
    )


def _moors(ground: Ground) -> Mixture:
    mosaic, stone = ramp(ground.noise(1.6), -1.8, 0.4), 0.6 * ramp(ground.noise(1), 1.2, 2.4)
    cover = 1 - stone
    return _merge(
        {"heath": 0.85 * mosaic * cover, "shrub": (1 - mosaic) * cover * 0.8, "rock": stone},
        _turf(ground, (0.15 * mosaic + 0.2 * (1 - mosaic)) * cover, 0.4 + 0.1 * ground.noise(1)),
    )


def _inland_wetland(ground: Ground) -> Mixture:
    """Moss and sedge with strings of dark pools."""
    pools = 0.8 * ramp(ground.noise(1.3), 0.9, 1.6)
    moss = ramp(ground.noise(2), -1.5, 0.5) * (1 - pools)
    sedge = 1 - pools - moss
    return {"humic": pools, "moss": 0.9 * moss, "reed": 0.8 * sedge, "litter": 0.2 * sedge, "heath": 0.1 * moss}


def _coastal_wetland(ground: Ground) -> Mixture:
    """Salt marsh cut by creeks, and mud where the tide reaches."""
    creeks = ramp(-np.abs(ground.noise(2)), -0.16, -0.04)
    mud = ramp(ground.noise(2.5), -0.8, 0.4) * (1 - creeks)
    marsh = 1 - creeks - mud
    return {"turbid": 0.6 * creeks, "sea": 0.4 * creeks, "mud": mud, "reed": 0.5 * marsh, "heath": 0.5 * marsh}


def _beach(ground: Ground) -> Mixture:
    dunes = 0.5 * ramp(ground.noise(1.5), 0.3, 1.5)
    return {"sand": (1 - dunes) * (0.9 + 0.06 * ground.noise(1)), "straw": 0.7 * dunes, "shrub": 0.3 * dunes}


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
    return _merge(
        {"asphalt": streets, "tiles": 0.8 * roofs * tiles, "bitumen": 0.5 * roofs * (1 - tiles)},
        {"concrete": 0.4 * roofs * (1 - tiles)},
        _wood(ground, 0.2 * trees, trees),
        _turf(ground, garden - trees, 0.75 + 0.1 * ground.noise(1)),
    )


def _industrial(ground: Ground) -> Mixture:
    """Halls of many pixels with bright or dark flat roofs, on paved yards."""
    halls = Parcels.divide(ground.rng, ground.rng.uniform(5, 10), ground.rng.uniform(8, 16), ground.angle)
    kind, roof = halls.values(ground.rng), 1 - halls.edges()
    yard = ramp(kind, 0.55, 0.56) * roof + halls.edges()
    green = yard * ramp(kind, 0.8, 0.9)
    return _merge(
        {"metal": roof * (kind < 0.15), "concrete": roof * ((kind >= 0.15) & (kind < 0.35))},
        {"bitumen": roof * ((kind >= 0.35) & (kind < 0.55)), "asphalt": yard - green},
        _turf(ground, green, 0.8 + 0.1 * ground.noise(1)),
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
