"""CORINE Land Cover's 43 level-3 classes as BigEarthNet v1 names them, and which of the 19 each belongs to.

Flows in: class names of a v1 patch. Flows out: names of the 19-class nomenclature, and those that it has no class for.

Codes and names: European Environment Agency, CORINE Land Cover nomenclature (Kosztra et al., "Updated CLC illustrated
nomenclature guidelines", 2019); of its 44 classes BigEarthNet has no glaciers (335). The grouping is that of
`labels`, by code.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.labels import BIGEARTHNET_19

CORINE_NAMES: dict[int, str] = {
    111: "Continuous urban fabric",
    112: "Discontinuous urban fabric",
    121: "Industrial or commercial units",
    122: "Road and rail networks and associated land",
    123: "Port areas",
    124: "Airports",
    131: "Mineral extraction sites",
    132: "Dump sites",
    133: "Construction sites",
    141: "Green urban areas",
    142: "Sport and leisure facilities",
    211: "Non-irrigated arable land",
    212: "Permanently irrigated land",
    213: "Rice fields",
    221: "Vineyards",
    222: "Fruit trees and berry plantations",
    223: "Olive groves",
    231: "Pastures",
    241: "Annual crops associated with permanent crops",
    242: "Complex cultivation patterns",
    243: "Land principally occupied by agriculture, with significant areas of natural vegetation",
    244: "Agro-forestry areas",
    311: "Broad-leaved forest",
    312: "Coniferous forest",
    313: "Mixed forest",
    321: "Natural grassland",
    322: "Moors and heathland",
    323: "Sclerophyllous vegetation",
    324: "Transitional woodland/shrub",
    331: "Beaches, dunes, sands",
    332: "Bare rock",
    333: "Sparsely vegetated areas",
    334: "Burnt areas",
    411: "Inland marshes",
    412: "Peatbogs",
    421: "Salt marshes",
    422: "Salines",
    423: "Intertidal flats",
    511: "Water courses",
    512: "Water bodies",
    521: "Coastal lagoons",
    522: "Estuaries",
    523: "Sea and ocean",
}

_GROUP = {code: label.name for label in BIGEARTHNET_19.values() for code in label.corine}

TO_19: dict[str, str | None] = {name: _GROUP.get(code) for code, name in CORINE_NAMES.items()}
"""Each of the 43 to its class of the 19; None for the eleven that were left out of these."""


def map_labels(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The 19-class names of a patch's 43-class names, each once, and those of the 43 that have none.

    Raises:
        KeyError: a name is not one of the 43.
    """
    mapped = {name: TO_19[name] for name in names}
    kept = dict.fromkeys(target for target in mapped.values() if target is not None)
    return list(kept), [name for name, target in mapped.items() if target is None]
