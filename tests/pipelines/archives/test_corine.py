"""The 43 classes of BigEarthNet v1 to the 19 of v2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.archives.corine import CORINE_NAMES, TO_19, map_labels
from pipelines.labels import BIGEARTHNET_19, LABEL_NAMES

PUBLISHED = {
    "Urban fabric": "Continuous urban fabric|Discontinuous urban fabric",
    "Industrial or commercial units": "Industrial or commercial units",
    "Arable land": "Non-irrigated arable land|Permanently irrigated land|Rice fields",
    "Permanent crops": "Vineyards|Fruit trees and berry plantations|Olive groves|"
    "Annual crops associated with permanent crops",
    "Pastures": "Pastures",
    "Complex cultivation patterns": "Complex cultivation patterns",
    "Land principally occupied by agriculture, with significant areas of natural vegetation": "Land principally "
    "occupied by agriculture, with significant areas of natural vegetation",
    "Agro-forestry areas": "Agro-forestry areas",
    "Broad-leaved forest": "Broad-leaved forest",
    "Coniferous forest": "Coniferous forest",
    "Mixed forest": "Mixed forest",
    "Natural grassland and sparsely vegetated areas": "Natural grassland|Sparsely vegetated areas",
    "Moors, heathland and sclerophyllous vegetation": "Moors and heathland|Sclerophyllous vegetation",
    "Transitional woodland, shrub": "Transitional woodland/shrub",
    "Beaches, dunes, sands": "Beaches, dunes, sands",
    "Inland wetlands": "Inland marshes|Peatbogs",
    "Coastal wetlands": "Salt marshes|Salines",
    "Inland waters": "Water courses|Water bodies",
    "Marine waters": "Coastal lagoons|Estuaries|Sea and ocean",
    "": "Road and rail networks and associated land|Port areas|Airports|Mineral extraction sites|Dump sites|"
    "Construction sites|Green urban areas|Sport and leisure facilities|Bare rock|Burnt areas|Intertidal flats",
}
"""Sumbul et al., "BigEarthNet-MM", 2021, table 1; under "" what it leaves out."""

PAIRS = [(old, new) for new, listed in PUBLISHED.items() for old in listed.split("|")]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_each_of_the_43_goes_where_it_was_published_to_go(old: str, new: str) -> None:
    assert TO_19[old] == (new or None)
    assert map_labels([old]) == (([new], []) if new else ([], [old]))


def test_43_classes_19_classes_and_11_without_one() -> None:
    assert len(CORINE_NAMES) == len(TO_19) == len(PAIRS) == 43
    assert {new for new in TO_19.values() if new} == set(LABEL_NAMES)
    assert sum(new is None for new in TO_19.values()) == 11


def test_every_corine_code_of_the_19_has_a_name() -> None:
    assert {code for label in BIGEARTHNET_19.values() for code in label.corine} <= set(CORINE_NAMES)


def test_two_classes_of_one_group_give_it_once_and_in_their_order() -> None:
    names = ["Sea and ocean", "Rice fields", "Estuaries", "Airports", "Non-irrigated arable land"]
    assert map_labels(names) == (["Marine waters", "Arable land"], ["Airports"])
    assert map_labels([]) == ([], [])


def test_unknown_class_is_an_error() -> None:
    with pytest.raises(KeyError):
        map_labels(["Glaciers and perpetual snow"])


def test_the_names_are_those_of_the_real_archive(real_data: Path) -> None:
    files = list((real_data / "bigearthnet-v1").rglob("*_labels_metadata.json"))
    assert len(files) == 62
    assert {name for file in files for name in json.loads(file.read_text())["labels"]} <= set(TO_19)
