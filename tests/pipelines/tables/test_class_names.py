"""One class is one class however it is spelt, several in a cell are several; a given list decides, and is the order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.errors import ArchiveError, LabelError, SettingsError
from pipelines.labels import LABEL_NAMES
from pipelines.tables.class_names import given_classes, name_classes


def named(*names: str, given: str = "") -> tuple[list[list[str]], tuple[str, ...], list[str]]:
    return name_classes([[name] for name in names], given, "labels.csv")


def test_classes_are_in_the_alphabets_order_and_numbers_by_their_size() -> None:
    assert named("oak", "ash")[1:] == (("ash", "oak"), [])
    assert named("10", "9", "2", "none")[1] == ("2", "9", "10", "none")
    assert named("Pastures")[1] == LABEL_NAMES


@pytest.mark.parametrize(
    "names",
    [("Forest", "forest"), ("SeaLake", "Sea Lake", "sea_lake"), ("Built-up", "builtup"), ("Fläche", "FLÄCHE"),
     ("Fla\u0308che", "Fläche"), ("Pastures", "pastures")],
)  # fmt: skip
def test_spellings_of_one_class_are_refused_and_can_be_made_one(names: tuple[str, ...]) -> None:
    with pytest.raises(LabelError, match="look like one in several spellings") as caught:
        named(*names, "Water")
    assert "--classes" in caught.value.hint
    labels, known, notes = named(*names, "Water", given=f"{names[0]}|Water")
    assert labels == [[names[0]]] * len(names) + [["Water"]]
    assert known == (names[0], "Water")
    assert notes[0].startswith("spellings taken: ")
    assert named(*names, given="|".join(names))[0] == [[name] for name in names]


@pytest.mark.parametrize("names", [("1", "01"), ("-1", "1"), ("C", "C+"), ("Forest", "Forests")])
def test_names_that_differ_in_more_than_their_spelling_are_several(names: tuple[str, ...]) -> None:
    assert set(named(*names)[1]) == set(names)


@pytest.mark.parametrize("between", [", ", ";", "|", "/", " & ", "+"])
def test_combinations_of_classes_are_refused(between: str) -> None:
    both = between.join(("Arable land", "Pastures"))
    with pytest.raises(LabelError, match=r"looks like several classes.*column called labels"):
        named(both, "Pastures", "Arable land")
    with pytest.raises(LabelError, match="looks like several classes"):
        named(both, "pastures", between.join(("Arable land", "Urban fabric", "Pastures")))
    if between != "|":  # which is what parts the list
        assert named(both, "Pastures", given=f"Pastures|{both}")[1] == ("Pastures", both)


def test_what_may_be_a_combination_is_told() -> None:
    assert named("Forest", "Forest, burnt")[2] == ['classes that may be combinations of others: "Forest, burnt"']
    assert named("Beaches, dunes, sands", "Water", "Wälder & Au")[2] == []


def test_a_given_list_is_the_order_and_what_it_lacks_is_refused() -> None:
    labels, known, notes = named("oak", "ash", given="oak|elm|ash")
    assert (labels, known) == ([["oak"], ["ash"]], ("oak", "elm", "ash"))
    assert notes == ['classes of the list without a patch: "elm"']
    with pytest.raises(LabelError, match=r'1 patches have classes that --classes lacks: "oakk"\. Did you mean "oak"'):
        named("oakk", "ash", given="oak|ash")


def test_a_list_may_be_a_file(tmp_path: Path) -> None:
    lines, listing, manifest = tmp_path / "a.txt", tmp_path / "b.json", tmp_path / "manifest.json"
    lines.write_text("oak\n\n ash \n", encoding="utf-8-sig")
    listing.write_text(json.dumps(["oak", "ash"]))
    manifest.write_text(json.dumps({"label_names": ["oak", "ash"], "bands": []}))
    for path in (lines, listing, manifest):
        assert given_classes(str(path)) == ("oak", "ash")
    manifest.write_text("{")
    for wrong in (str(manifest), str(tmp_path / "absent"), "oak", "oak||ash", "oak|oak", "|"):
        with pytest.raises(SettingsError):
            given_classes(wrong)


def test_one_class_or_none_is_nothing_to_learn() -> None:
    for names, said in (((), "no patch has a class"), (("oak", "oak"), 'all patches are "oak"')):
        with pytest.raises(ArchiveError, match=said):
            named(*names)
    assert named("oak", given="oak|ash")[1] == ("oak", "ash")
