"""Bands by any of their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.bands import ALL_BANDS, parse_bands
from pipelines.spellings import OLI, TM, canonical, canonical_names, find, only_numbered

EARTH_ENGINE = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
STAC = (
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "nir09", "swir16", "swir22",
)  # fmt: skip
NEWER_STAC = (*STAC[:4], "rededge071", "rededge075", "rededge078", *STAC[7:])
WRITTEN = (
    "coastal aerosol", "Blue", "GREEN", " red ", "Red Edge 1", "vegetation red-edge 2", "red_edge_3", "NIR",
    "narrow NIR", "Water vapour", "SWIR1", "SWIR 2",
)  # fmt: skip


@pytest.mark.parametrize("names", [ALL_BANDS, EARTH_ENGINE, STAC, NEWER_STAC, WRITTEN])
def test_whole_sets_of_names_are_the_twelve(names: tuple[str, ...]) -> None:
    assert canonical_names(names) == ALL_BANDS
    assert tuple(canonical(name) for name in names) == ALL_BANDS


@given(
    st.sampled_from(ALL_BANDS),
    st.sampled_from(["{}", "Band {}", "band_{}", "S2_{}", "S2A_{}", "{}_10m", "{} - some words ({})", "{}, 665 nm"]),
    st.booleans(),
    st.booleans(),
)
def test_numbers_are_read_with_whatever_is_around_them(band: str, form: str, short: bool, lower: bool) -> None:
    number = band[1:].lstrip("0") if short else band[1:]
    written = form.format(*([number if form.lower().startswith("band") else f"B{number}"] * 2))
    assert canonical(written.lower() if lower else written) == band


@pytest.mark.parametrize(
    ("name", "band"),
    [("B08A", "B8A"), ("b10", "B10"), ("cirrus", "B10"), ("Ｂ０４", "B04"), ("B04 - red (B04)", "B04")],
)
def test_odd_spellings(name: str, band: str) -> None:
    assert canonical(name) == band


@pytest.mark.parametrize(
    "name", ["", "SCL", "QA60", "B13", "B0", "B100", "red and blue", "VV", "SR_B4", "NDVI", "B4-B3", "A"]
)
def test_names_of_no_band_are_none(name: str) -> None:
    assert canonical(name) is None


@pytest.mark.parametrize(("sensor", "numbers"), [(OLI, [1, 2, 3, 4, 5, 6, 7]), (TM, [1, 2, 3, 4, 5, 7]), (OLI, [6, 4])])
def test_landsat_is_known_by_which_bands_there_are(sensor: dict[int, str], numbers: list[int]) -> None:
    names = [f"SR_B{number}" for number in numbers]
    assert canonical_names([*names, "QA_PIXEL"]) == (*(sensor[number] for number in numbers), "QA_PIXEL")


def test_a_landsat_that_cannot_be_told_keeps_its_names() -> None:
    assert canonical_names(("SR_B4", "SR_B3")) == ("SR_B4", "SR_B3")


def test_names_that_would_be_one_stay_two() -> None:
    assert canonical_names(("B8", "nir", "red")) == ("B8", "nir", "B04")
    assert canonical_names(("B04", "red")) == ("B04", "red")


@given(st.permutations([*ALL_BANDS, "SCL", "QA60"]))
def test_what_is_spelt_right_stays(names: list[str]) -> None:
    assert canonical_names(names) == tuple(names)


def test_names_that_are_but_places_are_none() -> None:
    """As QGIS writes them: `Band 9` of twelve is not B09."""
    assert only_numbered([f"Band {place}" for place in range(1, 13)])
    assert only_numbered(["1", "2"])
    assert not only_numbered(["Band 2", "Band 3", "Band 4"])
    assert not only_numbered(["Band 1", "B02"])


def test_a_known_name_is_found_by_any_spelling() -> None:
    assert find("red", ["B02", "B04"]) == "B04"
    assert find("B04", ["red", "blue"]) == "red"
    assert find("red", ["red", "B04"]) == "red", "the same name before another spelling"
    assert find("b4", ["red", "B04"]) is None, "either could be meant"
    assert find("SCL", ["B04"]) is None


def test_lists_of_bands_may_spell_as_they_like() -> None:
    assert parse_bands("b4, Green,B2 ") == ("B04", "B03", "B02")
    assert parse_bands("B4,B3", ("red", "green")) == ("red", "green")
