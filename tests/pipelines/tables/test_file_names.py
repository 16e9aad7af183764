"""A name leads to the file it means, or to none: never to one that another name means, or that lies elsewhere."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ArchiveError
from pipelines.tables.file_names import match_names, nearest_name, stem_of


def match(wanted: list[str], there: list[str]) -> dict[str, str | None]:
    return dict(zip(wanted, match_names(wanted, there)[0], strict=True))


def test_unicode_is_compared_as_it_means() -> None:
    composed, apart = (unicodedata.normalize(form, "Fläche 1") for form in ("NFC", "NFD"))
    assert composed != apart
    for written, on_disk in ((composed, apart), (apart, composed)):
        assert match([stem_of(f"{written}.tif")], [on_disk]) == {composed: on_disk}


@pytest.mark.parametrize(
    ("wanted", "there", "found"),
    [
        ("a", ["a", "A"], "a"),
        ("forest/x", ["Forest/X", "Water/y"], "Forest/X"),
        ("x", ["Forest/x"], "Forest/x"),
        ("X", ["Forest/x", "Forest/y"], "Forest/x"),
        ("set/Forest/x", ["Forest/x"], "Forest/x"),
        ("D:/set/Forest/x", ["Forest/x", "Water/x"], "Forest/x"),
        ("x", ["Forest/x", "Water/x"], None),
        ("forest/X", ["Forest/x", "FOREST/X"], None),
        ("Urban/x", ["Forest/x"], None),
        ("est/x", ["Forest/x"], None),
    ],
)
def test_names_are_found_where_nothing_else_fits(wanted: str, there: list[str], found: str | None) -> None:
    assert match([wanted], there) == {wanted: found}


def test_what_several_names_lead_to_is_none_of_theirs() -> None:
    assert match(["Forest/1", "Water/1"], ["1"]) == {"Forest/1": None, "Water/1": None}
    assert match(["Forest/1", "1"], ["Forest/1"]) == {"Forest/1": "Forest/1", "1": None}


def test_how_a_name_was_found_is_told() -> None:
    assert match_names(["a", "b"], ["a", "in/b"])[1] == [
        "1 files were found by the last parts of their names: b is in/b"
    ]
    assert match_names(["a"], ["a"])[1] == []


paths = st.lists(st.sampled_from(["a", "b", "A", "ä"]), min_size=1, max_size=3).map("/".join)


@given(wanted=st.lists(paths, unique=True), there=st.lists(paths, unique=True))
def test_each_file_is_meant_once_and_by_a_name_that_ends_like_it(wanted: list[str], there: list[str]) -> None:
    found = match(wanted, there)
    taken = [name for name in found.values() if name is not None]
    assert len(set(taken)) == len(taken)
    for name, other in found.items():
        assert name not in there or other == name
        if other is not None:
            short, long = sorted((PurePosixPath(each.casefold()).parts for each in (name, other)), key=len)
            assert long[-len(short) :] == short


@pytest.mark.parametrize("file", ["../x.tif", "a/../../x.tif", "..\\x.tif"])
def test_nothing_leads_out_of_the_folder(file: str) -> None:
    with pytest.raises(ArchiveError, match="is not in the folder"):
        stem_of(file)


@pytest.mark.parametrize("file", ["/etc/x", "C:/data/x"])
def test_full_paths_must_be_found(file: str) -> None:
    with pytest.raises(ArchiveError, match=f"{file}.tif is not in the folder"):
        match_names([file], ["y"])


def test_the_nearest_name_is_the_same_elsewhere_or_one_that_looks_alike() -> None:
    assert nearest_name("Urban/7", ["Forest/6", "Forest/7"]) == "Forest/7"
    assert nearest_name("forest_77", [f"Forest_{number}" for number in range(70, 80)]) == "Forest_77"
    assert nearest_name("forest", ["xyz"]) == ""
    assert nearest_name("forest", []) == ""
