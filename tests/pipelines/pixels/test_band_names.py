"""Which band of a file is which of a model's: by any spelling, in any order, whatever else is in the file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.bands import ALL_BANDS, BAND_SETS
from pipelines.errors import BandError, PatchError
from pipelines.pixels.band_names import find_bands, given_names
from pipelines.pixels.patch import read_stack
from pipelines.spellings import canonical
from tests.fakes import geotiff

SPELLINGS = {
    "B01": ("coastal", "B1", "Aerosol"),
    "B02": ("blue", "B2", "Band 2", "S2A_B02"),
    "B03": ("Green", "b03", "band_3"),
    "B04": ("red", "B4", "B04 - red, 665 nm (B04)", "b04"),
    "B05": ("rededge1", "Red Edge 1", "B5"),
    "B06": ("rededge2", "vegetation red-edge 2", "b6"),
    "B07": ("rededge3", "rededge078", "B07_20m"),
    "B08": ("nir", "NIR", "B8"),
    "B8A": ("nir08", "B08A", "b8a", "Band 8A"),
    "B09": ("water vapour", "B9", "nir09"),
    "B11": ("swir16", "SWIR1", "b11"),
    "B12": ("swir22", "Band 12", "B12 - some words (B12)"),
}
EXTRA = ("B10", "SCL", "QA60", "MSK_CLDPRB", "cloud mask", "NDVI", "AOT", "VV", "visual", "?", "Ｂ１０", "b" * 300)


@st.composite
def files(draw: st.DrawFn) -> tuple[list[str], list[str | None]]:
    """Names of a file's bands in whatever order and spelling, and which of the twelve each is."""
    wanted = draw(st.permutations(ALL_BANDS))[: draw(st.integers(1, 12))]
    spelt = [(draw(st.sampled_from((band, *SPELLINGS[band]))), band) for band in wanted]
    others = st.sampled_from(EXTRA) | st.text(max_size=12).map(str.strip).filter(bool)
    extra = draw(st.lists(others, max_size=4))
    assume(all(canonical(name) not in ALL_BANDS for name in extra))
    assume(not any(name.lower().replace("_", "").startswith("srb") for name in extra))  # of a Landsat
    bands = draw(st.permutations([*spelt, *((name, None) for name in extra)]))
    return [name for name, _ in bands], [band for _, band in bands]


@given(files(), st.data())
def test_every_band_is_found_whatever_it_is_called_and_wherever_it_is(
    made: tuple[list[str], list[str | None]], data: st.DataObject
) -> None:
    names, bands = made
    assume(not all(name.lower() == f"band {place}" for place, name in enumerate(names, 1)))
    there = [band for band in bands if band]
    model = [data.draw(st.sampled_from((band, *SPELLINGS[band]))) for band in data.draw(st.permutations(there))]
    places, notes = find_bands(names, model)
    assert [bands[place] for place in places.values()] == [canonical(band) for band in model]
    assert list(places) == model
    assert any("not used" in note for note in notes) == (None in bands)


@given(st.permutations(range(14)), st.data())
def test_the_same_numbers_are_read_by_name(order: list[int], data: st.DataObject) -> None:
    called = [*ALL_BANDS, "SCL", "B10"]
    pixels = np.arange(1, 15, dtype=np.uint16)[:, None, None] * np.ones((1, 4, 4), np.uint16)
    spelt = [data.draw(st.sampled_from((name, *SPELLINGS.get(name, ())))) for name in called]
    stack = geotiff(pixels[order], [spelt[place] for place in order])
    patch = read_stack(stack, wanted=ALL_BANDS)
    assert [int(patch.pixels[band][0, 0]) for band in ALL_BANDS] == list(range(1, 13))
    nameless = geotiff(pixels[order], [f"layer {place}" for place in order])
    again = read_stack(nameless, wanted=ALL_BANDS, names=[spelt[place] for place in order])
    assert {band: int(array[0, 0]) for band, array in again.pixels.items()} == dict(
        zip(ALL_BANDS, range(1, 13), strict=True)
    )


def test_a_model_of_other_names_finds_its_bands_in_sentinels() -> None:
    assert find_bands(["B02", "B04"], ["red", "blue"]) == ({"red": 1, "blue": 0}, [])
    assert find_bands(["blue", "red"], ["B04"])[0] == {"B04": 1}
    assert find_bands(["VV", "VH"], ["VH", "VV"]) == ({"VH": 1, "VV": 0}, [])


def test_landsat_is_known_by_all_its_bands() -> None:
    names = [*(f"SR_B{number}" for number in range(1, 8)), "QA_PIXEL"]
    assert find_bands(names, ["B04", "B8A", "B11"]) == (
        {"B04": 3, "B8A": 4, "B11": 5},
        ["bands QA_PIXEL were not used"],
    )
    assert find_bands(names[:-1], ["SR_B5"])[0] == {"SR_B5": 4}, "a model of Landsat's own names"


def test_the_same_name_comes_before_another_spelling_which_is_said() -> None:
    assert find_bands(["red", "B04"], ["B04"]) == ({"B04": 1}, ["bands red were not used"])
    assert find_bands(["B04", "red"], ["B04", "red"]) == ({"B04": 0, "red": 1}, [])


@pytest.mark.parametrize(
    ("called", "wanted", "said"),
    [
        (["b4", "red"], ["B04"], '"b4" and "red" could both be B04'),
        (["red", "red"], ["B04"], '"red" and "red" could both be B04'),
        (["B04", "B04"], ["B04"], 'two bands of the file have one name, "B04"'),
        (["B4", "B3"], ["B04", "B03", "B02"], r"file has 2 bands \(B4, B3\); the model needs B02 too"),
        (["B4", None, " "], ["B08"], r"file has 3 bands \(B4, no name, no name\); the model needs B08"),
        ([f"{'long' * 9} {n}" for n in range(60)], ["B04"], r"long 4 and 55 more\); the model needs B04 too"),
        ([None] * 2, ["B04"], "file has 2 bands without names; the model needs B04"),
        ([f"SR_B{n}" for n in range(1, 7)], ["B04", "B12"], r"the model needs B12 \(SR_B7\) too"),
        ([f"SR_B{n}" for n in (1, 5, 7)], ["B04", "B08"], r"the model needs B04 \(SR_B3\), B08 too"),
        ([f"Band {n}" for n in range(1, 5)], ["B04"], "file has 4 bands without names"),
        (["1", "2"], ["B02", "B01", "B03"], "file has 2 bands without names"),
    ],
)
def test_what_is_missing_twice_or_ambiguous_is_refused(called: list[str | None], wanted: list[str], said: str) -> None:
    with pytest.raises(PatchError, match=said) as caught:
        find_bands(called, wanted)
    assert "?bands=" in caught.value.hint
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "names", [[None] * 12, [""] * 12, [f"Band {n}" for n in range(1, 13)], [str(n) for n in range(1, 13)]]
)
def test_twelve_without_names_are_the_archives_and_b8a_is_said_to_be_ninth(names: list[str | None]) -> None:
    places, (note,) = find_bands(names, ["B8A", "B09", "red"])
    assert places == {"B8A": 8, "B09": 9, "red": 3}
    assert note.startswith("the file does not name its bands; taken as B01, B02")
    assert note.endswith("(B8A is the ninth here; EuroSAT's tool writes it last)")


def test_as_many_as_the_model_reads_are_its_own() -> None:
    places, (note,) = find_bands([None] * 3, ["B04", "B03", "B02"])
    assert places == {"B04": 0, "B03": 1, "B02": 2} and "taken as B04, B03, B02" in note
    twelve = [f"layer {number}" for number in range(12)]
    assert find_bands([None] * 12, twelve)[0] == {name: place for place, name in enumerate(twelve)}


def test_names_that_some_bands_have_must_not_speak_against_the_order() -> None:
    places, (note,) = find_bands([*ALL_BANDS[:3], *[None] * 9], ["B12"])
    assert places == {"B12": 11} and "does not name all its bands" in note
    with pytest.raises(PatchError, match="needs B11"):
        find_bands([None, "B12", *[None] * 10], ["B12", "B11"])
    assert find_bands([*ALL_BANDS, None], ["B12"]) == ({"B12": 11}, ["bands no name were not used"])


def test_thirteen_without_names_are_told_how_to_be_named() -> None:
    with pytest.raises(PatchError) as caught:
        find_bands([None] * 13, ALL_BANDS)
    for listed in caught.value.hint.split(": ")[1].replace(" as Level-1C has them, or ", "|").split("|"):
        names = given_names(listed.split(" ")[0])
        assert sorted(names) == sorted([*ALL_BANDS, "B10"])
        places, notes = find_bands([None] * 13, ALL_BANDS, names)
        assert [names[place] for place in places.values()] == list(ALL_BANDS)
        assert notes == ["bands B10 were not used"]


def test_names_that_are_given_hold_and_what_they_overrule_is_said() -> None:
    earth_engine = ["B1", "B2", "B3"]
    assert find_bands(earth_engine, ["B02"], ["B01", "B02", "B03"]) == ({"B02": 1}, [])
    assert find_bands(["Band 1", "Band 2"], ["B04"], ["B04", "B03"]) == ({"B04": 0}, [])
    assert find_bands(["B02", "B03", "x"], ["B04"], ["red", "B03", "B08"]) == (
        {"B04": 0},
        ["the names given hold, though the file says otherwise: red is its B02"],
    )
    with pytest.raises(PatchError, match="2 band names were given for a file of 3 bands"):
        find_bands([None] * 3, ["B04"], ["B04", "B03"])


def test_what_is_given_is_a_list_or_a_sets_name() -> None:
    assert given_names(" B4, red edge 1 ,SCL,") == ("B4", "red edge 1", "SCL")
    assert given_names("all-imp") == BAND_SETS["all-imp"]
    for wrong in ("", ",", " , "):
        with pytest.raises(BandError, match="no band given"):
            given_names(wrong)
    with pytest.raises(BandError, match='band "SCL" is given twice'):
        given_names("SCL,B04,SCL")
