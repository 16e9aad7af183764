"""Which classes meet, and where and when: the geography of the synthetic archive.

Flows in: how many patches, and a seed. Flows out: one `Site` per patch, which knows all of its metadata but no pixels.

`LANDSCAPES` are the latent classes of a Bernoulli mixture that we fitted by EM to the labels and countries of all
480,038 patches of the BigEarthNet v2.0 metadata (Clasen et al. 2024, zenodo 10891137). Drawn from it, each label's
frequency is within 0.25 points of the real one, each pair's within 1.2, and labels per patch have mean 2.96 and
deviation 1.40 (real: 2.95, 1.36). `ACQUISITIONS` are products named in the same metadata.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.labels import LABEL_NAMES

Weather = Literal["clear", "snow", "cloud"]

GRID = 90
"""Patches along one side of a tile."""

REPEAT = timedelta(days=10)
"""A Sentinel-2 satellite comes back to the same orbit after this time."""


@dataclass(frozen=True)
class Landscape:
    """A kind of place: its weight, its countries in per cent, and each label's chance in 1,000, as LABEL_NAMES."""

    weight: int
    countries: str
    chances: tuple[int, ...]


# fmt: off
LANDSCAPES = (
    Landscape(122, "Austria 1, Belgium 1, Finland 94, Lithuania 4",
              (0, 92, 0, 49, 0, 1, 948, 1, 84, 155, 64, 25, 754, 2, 0, 0, 0, 633, 3)),
    Landscape(118, "Finland 62, Ireland 19, Lithuania 4, Portugal 15",
              (0, 1, 8, 8, 4, 0, 14, 1, 0, 1, 3, 1000, 31, 4, 1, 1, 0, 4, 3)),
    Landscape(74, "Portugal 100",
              (791, 682, 0, 389, 5, 104, 51, 9, 76, 1, 23, 0, 110, 8, 11, 298, 252, 328, 22)),
    Landscape(71, "Finland 100",
              (0, 564, 0, 156, 6, 0, 737, 10, 271, 33, 607, 45, 902, 0, 0, 4, 0, 321, 90)),
    Landscape(62, "Finland 99, Lithuania 1",
              (0, 3, 0, 74, 0, 1, 798, 4, 1000, 39, 122, 0, 695, 0, 0, 0, 0, 272, 17)),
    Landscape(61, "Ireland 99",
              (0, 560, 3, 67, 3, 90, 125, 15, 24, 41, 100, 18, 93, 4, 3, 1000, 0, 62, 101)),
    Landscape(57, "Austria 93, Switzerland 7",
              (0, 939, 0, 400, 0, 326, 129, 41, 45, 18, 336, 0, 273, 0, 13, 66, 158, 9, 473)),
    Landscape(55, "Ireland 1, Kosovo 1, Portugal 6, Serbia 92",
              (0, 999, 0, 61, 0, 209, 0, 52, 93, 35, 165, 0, 0, 0, 11, 83, 26, 105, 211)),
    Landscape(53, "Portugal 100",
              (182, 228, 0, 729, 1, 191, 160, 12, 45, 0, 283, 0, 238, 218, 11, 70, 102, 840, 8)),
    Landscape(52, "Kosovo 1, Lithuania 1, Portugal 1, Serbia 96",
              (0, 390, 1, 774, 0, 853, 4, 12, 43, 6, 906, 0, 21, 0, 24, 71, 45, 284, 268)),
    Landscape(52, "Kosovo 3, Serbia 96",
              (0, 87, 0, 967, 0, 158, 70, 1, 56, 18, 338, 0, 128, 1, 282, 123, 5, 651, 11)),
    Landscape(46, "Austria 5, Lithuania 92, Luxembourg 3",
              (0, 999, 0, 449, 0, 568, 119, 18, 53, 11, 398, 0, 328, 0, 0, 380, 14, 173, 104)),
    Landscape(41, "Belgium 1, Lithuania 96, Portugal 2, Serbia 1",
              (0, 448, 0, 382, 0, 495, 577, 21, 168, 72, 483, 3, 745, 0, 7, 461, 7, 468, 89)),
    Landscape(40, "Austria 75, Belgium 11, Luxembourg 5, Switzerland 9",
              (0, 202, 0, 337, 0, 314, 632, 7, 26, 2, 228, 0, 727, 5, 50, 552, 14, 39, 211)),
    Landscape(37, "Portugal 100",
              (34, 357, 29, 164, 36, 540, 124, 82, 41, 1, 446, 59, 210, 244, 36, 41, 607, 331, 356)),
    Landscape(30, "Austria 5, Belgium 55, Ireland 1, Kosovo 1, Lithuania 23, Luxembourg 12, Serbia 2",
              (0, 657, 0, 454, 0, 681, 50, 120, 56, 11, 353, 0, 134, 21, 0, 688, 14, 24, 782)),
    Landscape(19, "Austria 9, Belgium 4, Ireland 81, Lithuania 3, Switzerland 3",
              (0, 14, 16, 92, 1, 26, 515, 3, 87, 464, 261, 46, 142, 303, 113, 616, 2, 351, 35)),
    Landscape(9, "Austria 15, Belgium 1, Finland 32, Ireland 9, Lithuania 9, Serbia 7, Switzerland 25",
              (0, 472, 7, 99, 6, 105, 203, 586, 258, 25, 175, 62, 387, 1, 2, 82, 2, 72, 976)),
)
# fmt: on


@dataclass(frozen=True)
class Acquisition:
    """A Sentinel-2 product: when, on which orbit, its tile and that tile's upper-left corner in metres (UTM).

    `radar` names the Sentinel-1 satellite and time that go with it; `snow` says that it shows winter.
    """

    country: str
    satellite: str
    taken: str
    orbit: int
    tile: str
    x: int
    y: int
    radar: str
    snow: bool = False


# fmt: off
ACQUISITIONS = (
    Acquisition("Austria", "S2A", "20180506T100031", 122, "33UWP", 499980, 5400000, "S1A_20180507T050948"),
    Acquisition("Austria", "S2A", "20170613T101031", 22, "33UUP", 300000, 5400000, "S1B_20170612T165809"),
    Acquisition("Austria", "S2B", "20170831T095029", 79, "33UXP", 600000, 5400000, "S1A_20170831T164243"),
    Acquisition("Austria", "S2A", "20171015T095031", 79, "33UXP", 600000, 5400000, "S1A_20171015T050950"),
    Acquisition("Austria", "S2B", "20180421T100029", 122, "33TWN", 499980, 5300040, "S1A_20180421T165046"),
    Acquisition("Austria", "S2B", "20171219T095409", 79, "33TWN", 499980, 5300040, "S1B_20171220T050937", snow=True),
    Acquisition("Belgium", "S2B", "20170829T105019", 51, "31UER", 499980, 5600040, "S1B_20170828T055807"),
    Acquisition("Belgium", "S2B", "20180506T105029", 51, "31UER", 499980, 5600040, "S1A_20180509T174044"),
    Acquisition("Belgium", "S2B", "20180225T105019", 51, "31UER", 499980, 5600040, "S1B_20180224T055805"),
    Acquisition("Finland", "S2B", "20180515T094029", 36, "35VNJ", 499980, 6900000, "S1A_20180516T044113"),
    Acquisition("Finland", "S2B", "20180525T094029", 36, "35VNK", 499980, 7000020, "S1B_20180524T154016"),
    Acquisition("Finland", "S2B", "20170924T093019", 136, "35VPK", 600000, 7000020, "S1A_20170925T043256"),
    Acquisition("Finland", "S2B", "20170709T094029", 36, "35VNL", 499980, 7100040, "S1B_20170709T043159"),
    Acquisition("Finland", "S2B", "20170817T101019", 22, "34WFS", 600000, 7200000, "S1B_20170817T045637"),
    Acquisition("Finland", "S2B", "20180204T094159", 36, "35VNJ", 499980, 6900000, "S1A_20180204T154856", snow=True),
    Acquisition("Ireland", "S2B", "20180421T114349", 123, "29UPU", 600000, 5900040, "S1A_20180420T063852"),
    Acquisition("Ireland", "S2A", "20170617T113321", 80, "29UPU", 600000, 5900040, "S1A_20170617T064724"),
    Acquisition("Ireland", "S2A", "20180225T114351", 123, "29UPU", 600000, 5900040, "S1B_20180225T063817"),
    Acquisition("Ireland", "S2B", "20171112T114339", 123, "29UPU", 600000, 5900040, "S1B_20171112T181343"),
    Acquisition("Ireland", "S2A", "20170717T113321", 80, "29UPV", 600000, 6000000, "S1B_20170717T064630"),
    Acquisition("Kosovo", "S2A", "20171208T093351", 136, "34TEN", 499980, 4800000, "S1A_20171207T162450"),
    Acquisition("Lithuania", "S2B", "20170927T094019", 36, "35ULB", 300000, 6200040, "S1A_20170928T161150"),
    Acquisition("Lithuania", "S2B", "20170808T094029", 36, "35ULA", 300000, 6100020, "S1A_20170808T043459"),
    Acquisition("Lithuania", "S2A", "20180413T095031", 79, "34UEG", 499980, 6200040, "S1A_20180413T161957"),
    Acquisition("Lithuania", "S2A", "20180318T093031", 136, "35UMB", 399960, 6200040, "S1A_20180317T155512", snow=True),
    Acquisition("Luxembourg", "S2A", "20180508T104031", 8, "31UGR", 699960, 5600040, "S1A_20180508T055029"),
    Acquisition("Luxembourg", "S2B", "20171015T104009", 8, "31UGR", 699960, 5600040, "S1A_20171016T055031"),
    Acquisition("Portugal", "S2A", "20170813T112121", 37, "29SNC", 499980, 4300020, "S1B_20170811T183434"),
    Acquisition("Portugal", "S2A", "20170704T112111", 37, "29SND", 499980, 4400040, "S1A_20170706T064235"),
    Acquisition("Portugal", "S2A", "20171121T112351", 37, "29SND", 499980, 4400040, "S1B_20171121T064205"),
    Acquisition("Portugal", "S2B", "20180515T112109", 37, "29SND", 499980, 4400040, "S1A_20180515T182713"),
    Acquisition("Portugal", "S2B", "20180326T112109", 37, "29SNB", 499980, 4200000, "S1A_20180327T064301"),
    Acquisition("Serbia", "S2B", "20170914T093029", 136, "34TEP", 499980, 4900020, "S1A_20170914T162516"),
    Acquisition("Serbia", "S2B", "20180502T093039", 136, "34TEP", 499980, 4900020, "S1A_20180430T162515"),
    Acquisition("Serbia", "S2B", "20170825T093029", 136, "34TEQ", 499980, 5000040, "S1A_20170826T163327"),
    Acquisition("Serbia", "S2A", "20170803T094031", 36, "34TCR", 300000, 5100000, "S1A_20170802T163350"),
    Acquisition("Serbia", "S2B", "20180201T093219", 136, "34TEP", 499980, 4900020, "S1B_20180203T044529", snow=True),
    Acquisition("Switzerland", "S2A", "20170818T103021", 108, "32TMT", 399960, 5300040, "S1B_20170818T054218"),
)
# fmt: on


@dataclass(frozen=True)
class Site:
    """One patch before it has pixels. `index` seeds them; `visit` counts how often its tile was filled before."""

    index: int
    source: Acquisition
    visit: int
    column: int
    row: int
    labels: tuple[str, ...]
    split: str
    weather: Weather

    @property
    def taken(self) -> datetime:
        """When the product was taken, in UTC; ten days later for each visit after the first."""
        return datetime.fromisoformat(self.source.taken) + self.visit * REPEAT

    @property
    def tile(self) -> str:
        """Name of the folder of this patch's tile and date."""
        source = self.source
        return f"{source.satellite}_MSIL2A_{self.taken:%Y%m%dT%H%M%S}_N9999_R{source.orbit:03d}_T{source.tile}"

    @property
    def patch_id(self) -> str:
        """Its name in BigEarthNet v2's way: the tile's folder, column and row."""
        return f"{self.tile}_{self.column:02d}_{self.row:02d}"

    @property
    def s1_name(self) -> str:
        """Name of the Sentinel-1 patch that goes with it, as v2's metadata has it."""
        satellite, heard = self.source.radar.split("_")
        time = datetime.fromisoformat(heard) + self.visit * REPEAT
        return f"{satellite}_IW_GRDH_1SDV_{time:%Y%m%dT%H%M%S}_{self.source.tile}_{self.column}_{self.row}"

    @property
    def s2v1_name(self) -> str:
        """Its name in BigEarthNet v1's way, as v2's metadata has it."""
        return f"{self.source.satellite}_MSIL2A_{self.taken:%Y%m%dT%H%M%S}_{self.column}_{self.row}"


def plan(patches: int, seed: int, grid: int = GRID) -> list[Site]:
    """Every patch's labels, place, time and split: `patches` clear ones, then 2 % (at least one) that are not.

    Classes with fewer than 16 clear patches (fewer still below 320 patches) are lifted to that number, so that
    beaches and coastal wetlands, 0.3 % in the real archive, occur in every split. A tile holds grid × grid patches;
    once full, it is visited again ten days later.
    """
    rng = np.random.default_rng([seed, 0])
    kinds, labels = _draw(patches + max(1, round(0.02 * patches)), rng)
    _lift_rare(kinds[:patches], labels[:patches], min(16, patches // 20), rng)
    splits = _split(labels, rng)
    cells = rng.permutation(grid * grid)
    filled: dict[Acquisition, int] = {}
    sites = []
    for index, (kind, row) in enumerate(zip(kinds, labels, strict=True)):
        source, weather = _acquire(LANDSCAPES[kind], clear=index < patches, rng=rng)
        filled[source] = filled.get(source, -1) + 1
        visit, cell = divmod(filled[source], grid * grid)
        place = divmod(int(cells[cell]), grid)
        names = tuple(name for name, on in zip(LABEL_NAMES, row, strict=True) if on)
        sites.append(Site(index, source, visit, *place, names, splits[index], weather))
    return sites


def _draw(count: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Landscape (count,) and labels (count, 19) of patches with at least one label."""
    weights = np.array([kind.weight for kind in LANDSCAPES], dtype=float)
    chances = np.array([kind.chances for kind in LANDSCAPES]) / 1000
    kinds = rng.choice(len(LANDSCAPES), count, p=weights / weights.sum())
    labels = rng.random((count, len(LABEL_NAMES))) < chances[kinds]
    while (empty := ~labels.any(1)).any():
        kinds[empty] = rng.choice(len(LANDSCAPES), empty.sum(), p=weights / weights.sum())
        labels[empty] = rng.random((empty.sum(), len(LABEL_NAMES))) < chances[kinds[empty]]
    return kinds, labels


def _lift_rare(kinds: NDArray[np.intp], labels: NDArray[np.bool_], floor: int, rng: np.random.Generator) -> None:
    """Give each class at least `floor` patches, in place, where its landscapes are; common patches make way."""
    weights = np.array([kind.weight for kind in LANDSCAPES], dtype=float)
    chances = np.array([kind.chances for kind in LANDSCAPES]) / 1000
    common = rng.permutation(np.flatnonzero((labels * (1 / labels.sum(0).clip(1))).sum(1) < 0.5 / max(1, floor)))
    spare = list(common)
    for label in labels.sum(0).argsort():
        for _ in range(min(floor - int(labels[:, label].sum()), len(spare))):
            patch, odds = spare.pop(), weights * chances[:, label]
            kinds[patch] = rng.choice(len(LANDSCAPES), p=odds / odds.sum())
            labels[patch] = rng.random(len(LABEL_NAMES)) < chances[kinds[patch]]
            labels[patch, label] = True


def _split(labels: NDArray[np.bool_], rng: np.random.Generator) -> list[str]:
    """Half train, a quarter each validation and test, dealt in turn among patches with the same rarest class."""
    rarity = np.where(labels, labels.sum(0), len(labels) + 1).argmin(1)
    order = np.lexsort((rng.random(len(labels)), rarity))
    splits = [""] * len(labels)
    for turn, patch in enumerate(order):
        splits[patch] = ("train", "validation", "train", "test")[turn % 4]
    return splits


def _acquire(kind: Landscape, clear: bool, rng: np.random.Generator) -> tuple[Acquisition, Weather]:
    """A product over one of the landscape's countries; if not clear, one with snow in two of three cases."""
    names, shares = zip(*(entry.rsplit(" ", 1) for entry in kind.countries.split(", ")), strict=True)
    odds = np.array(shares, dtype=float)
    country = rng.choice(names, p=odds / odds.sum())
    here = [product for product in ACQUISITIONS if product.country == country]
    winters = [product for product in here if product.snow]
    if not clear and winters and rng.random() < 0.67:
        return winters[rng.integers(len(winters))], "snow"
    others = [product for product in here if not product.snow]
    return others[rng.integers(len(others))], "clear" if clear else "cloud"
