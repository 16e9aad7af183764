"""Any form in which people write down classes is read as what it says; what contradicts itself is named by its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ArchiveError
from pipelines.tables.csv_cells import TABLE, find_table
from pipelines.tables.label_table import LabelTable, read_table, split_of

CLASSES = ("Beaches, dunes", "Fläche; nass", "It's wood", "Water")
Rows = list[list[str]]


def write(folder: Path, rows: Rows, separator: str = ",", newline: str = "\n") -> Path:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=newline).writerows(rows)
    (folder / TABLE).write_bytes(text.getvalue().encode())
    return folder / TABLE


def labels_of(table: LabelTable) -> dict[str, set[str]]:
    return {stem: set(names) for stem, names in zip(table.rows["stem"], table.rows["labels"], strict=True)}


def listed(form: Callable[[list[str]], str]) -> Callable[[dict[str, set[str]]], Rows]:
    return lambda of: [["file", "labels"], *([name, form(sorted(names))] for name, names in of.items())]


def columns(of: dict[str, set[str]]) -> Rows:
    marks = ([name, *("1" if each in names else "0" for each in CLASSES)] for name, names in of.items())
    return [["file", *CLASSES], *marks]


FORMS: dict[str, Callable[[dict[str, set[str]]], Rows]] = {
    "with | between": listed("|".join),
    "Python's lists": listed(str),
    "JSON": listed(lambda names: "[" + ", ".join(f'"{name}"' for name in names) + "]"),
    "as numpy prints them": listed(lambda names: str(np.array(names))),
    "a column a class": columns,
}


@pytest.mark.parametrize("form", FORMS)
@given(
    sets=st.lists(st.sets(st.sampled_from(CLASSES)), min_size=1, max_size=8),
    separator=st.sampled_from(",;\t"),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_several_classes_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, form: str, sets: list[set[str]], separator: str, newline: str
) -> None:
    of = {f"{number}.v2": names for number, names in enumerate(sets)}
    table = read_table(write(tmp_path_factory.mktemp("table"), FORMS[form](of), separator, newline))
    assert labels_of(table) == of
    bare = sum(not names for names in sets)
    assert any(note.startswith(f"{bare} patches have none") for note in table.notes) == bool(bare)
    assert table.several or form == "a column a class"


def test_marks_of_columns_are_zero_one_true_false_or_empty(tmp_path: Path) -> None:
    rows = [["file", "oak", "ash", "lat"], ["a", "1", "", "47.1"], ["b", "True", "1.0", "x"], ["c", "0", "FALSE", ""]]
    table = read_table(write(tmp_path, rows))
    assert labels_of(table) == {"a": {"oak"}, "b": {"oak", "ash"}, "c": set()}
    assert "columns that were not read: lat" in table.notes
    assert any("1 empty cells" in note for note in table.notes)


def test_a_column_of_images_is_that_of_files_whatever_it_is_called(tmp_path: Path) -> None:
    rows = [["chip", "oak", "ash"], ["a.TIF", "1", "0"], ["b.tif", "1", "1"]]
    table = read_table(write(tmp_path, rows, ";"))
    assert labels_of(table) == {"a": {"oak"}, "b": {"oak", "ash"}}
    assert table.notes[0] == "columns read: chip as file"
    rows = [["chip", "mask", "label"], ["a.tif", "a_mask.tif", "oak"]]
    with pytest.raises(ArchiveError, match="columns are chip, mask, label"):
        read_table(write(tmp_path, rows))


def test_one_mark_in_each_row_is_one_class_a_patch(tmp_path: Path) -> None:
    rows = [["file", "oak", "ash"], ["a", "1", "0"], ["b", "0", "1"]]
    assert not read_table(write(tmp_path, rows)).several


def test_several_rows_a_file_are_several_classes_where_that_is_the_form(tmp_path: Path) -> None:
    pairs = [("a", "oak"), ("b", "oak"), ("a", "ash"), ("c", "ash"), ("c", "oak"), ("d", "oak"), ("d", "elm")]
    table = read_table(write(tmp_path, [["file", "label"], *map(list, pairs)]))
    assert labels_of(table) == {"a": {"oak", "ash"}, "b": {"oak"}, "c": {"ash", "oak"}, "d": {"oak", "elm"}}
    assert table.several
    assert "several rows a file were read as several classes (1 with 1, 3 with 2)" in table.notes


def test_files_with_two_rows_among_many_with_one_are_a_mistake(tmp_path: Path) -> None:
    rows = [[f"{number}", "oak"] for number in range(40)] + [[f"{number}", "ash"] for number in range(5)]
    with pytest.raises(ArchiveError, match=r"0 has two rows \(lines 2, 42\).*column labels: a\|b"):
        read_table(write(tmp_path, [["file", "label"], *rows]))


def test_rows_of_one_file_are_in_one_split(tmp_path: Path) -> None:
    rows = [[name, label, "test" if label == "ash" and name == "b" else "train"] for name in "abc" for label in
            ("oak", "ash")]  # fmt: skip
    with pytest.raises(ArchiveError, match="rows of b differ in split"):
        read_table(write(tmp_path, [["file", "label", "split"], *rows]))


WRONG: dict[str, tuple[Rows, str]] = {
    "a two among marks": (
        [["file", "oak", "ash"], ["a", "1", "0"], ["b", "0", "1"], ["c", "2", "1"]],
        'column oak has "2" in line 4, which is neither 0 nor 1',
    ),
    "one column of marks": ([["file", "oak"], ["a", "1"], ["b", "0"]], "columns are file, oak"),
    "no marks": ([["file", "x", "y"], ["a", "7.1", "z"]], "columns are file, x, y"),
    "split": ([["file", "label", "split"], ["a", "oak", "holdout"]], 'unknown split "holdout" in line 2'),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_means_nothing_is_refused(tmp_path: Path, fault: str) -> None:
    rows, said = WRONG[fault]
    with pytest.raises(ArchiveError) as caught:
        read_table(write(tmp_path, rows))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("word", "split"),
    [("Train", "train"), ("TRAINING", "train"), ("val", "validation"), ("Valid", "validation"), ("dev", "validation"),
     ("validation", "validation"), ("testing", "test"), (" test ", "test"), ("holdout", None), ("", None)],
)  # fmt: skip
def test_splits_go_by_the_words_that_people_use(word: str, split: str | None) -> None:
    assert split_of(word) == split


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("file,label\na,Wälder\n".encode("cp1252"), "line 2 has the byte 0xe4, as in Windows-1252. Save it again"),
        ("file,label\na,Wald\n".encode("utf-16"), "it seems to be UTF-16.*iconv -f UTF-16 -t UTF-8"),
    ],
)
def test_another_encoding_is_named_with_the_way_out(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / TABLE).write_bytes(data)
    with pytest.raises(ArchiveError, match=said):
        read_table(tmp_path / TABLE)


def test_the_table_is_found_under_another_case_or_ending(tmp_path: Path) -> None:
    assert find_table(tmp_path) is None
    (tmp_path / "Labels.TSV").write_text("file\tlabel\n")
    assert find_table(tmp_path) == tmp_path / "Labels.TSV"
    (tmp_path / "labels.txt").write_text("file\tlabel\n")
    with pytest.raises(ArchiveError, match=r"Labels\.TSV and labels\.txt are both tables"):
        find_table(tmp_path)
    (tmp_path / TABLE).write_text("file,label\n")
    assert find_table(tmp_path) == tmp_path / TABLE
