"""What a table says of each file, in whichever of four forms people write it down.

    file,label               one class a file: the text as it stands
    file,labels              several: `Forest|Water`, or a list as text: `['Forest', 'Water']`; none where empty
    file,Forest,Water        a column a class, of 0 and 1
    file,label               several lines a file, a class in each

`split` and `country` may be there, and further columns, which are not read. Columns may be called by other words that
people use (`filename`, `class`); that of files, by any, if its cells are names of images.

Flows in: the table's cells. Flows out: a `LabelTable`, a row a file.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import pandas as pd

from pipelines.errors import ArchiveError, nearest, shown
from pipelines.location import Location
from pipelines.tables.csv_cells import TABLE, read_cells
from pipelines.tables.file_names import ENDINGS, OTHER_KINDS, stem_of

SEPARATOR = "|"
HINT = (
    f"Give {TABLE} the columns file and label, or file and labels (with {SEPARATOR} between them),"
    " or file and a column of 0 and 1 for each class."
)

_KNOWN = frozenset({"file", "label", "labels", "split", "country"})
_WORDS = {
    "file": ("file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_path", "patch_id"),
    "label": ("label", "class", "class_name", "category"),
    "labels": ("labels", "classes"),
    "split": ("split", "subset", "set"),
}
"""A column to what it may be called, the likeliest first: that of a table is the first one that it has."""
_FIRST = frozenset(_WORDS["file"])
_SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "validate", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ON, _OFF = {"1", "1.0", "true"}, {"0", "0.0", "false", ""}
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_FEW = 3
_SHARE = 0.2
"""Where so many files, and such a share of them, have several lines with different classes, this is the table's form;
where fewer have, it is a mistake."""


@dataclass(frozen=True)
class LabelTable:
    """A row a file: `file` as the table has it, `stem` (its path without ending), `labels` (a list of classes), and
    `split` and `country`, "" where nothing is said. `several`: whether a file may have several classes, or none.
    """

    rows: pd.DataFrame
    several: bool
    notes: tuple[str, ...] = ()


def split_of(word: str) -> str | None:
    """`validation` for `Val`, and so on; None for what is no split."""
    return _SPLIT_WORDS.get(word.strip().lower())


def read_table(path: Location) -> LabelTable:
    """Read a table of any form.

    Raises:
        ArchiveError: it lacks a column, contradicts itself, or has a cell that means nothing; the line is named.
    """
    table, renamed = _known_columns(read_cells(path, _FIRST, HINT), path)
    rows = pd.DataFrame({"file": table["file"], "stem": table["file"].map(stem_of)}, index=table.index)
    if (rows["file"] == "").any():
        raise ArchiveError(f"{int((rows['file'] == '').sum())} rows have empty cells", where=str(path), hint=_FILL)
    rows["labels"], several, notes = _labels_of(table, path)
    notes = renamed + notes
    rows["split"] = _splits_of(table, path)
    rows["country"] = table.get("country", "")
    if rows["stem"].duplicated().any():
        rows, by_rows = _joined(rows, several, path)
        several = several or bool(by_rows)
        notes += by_rows
    bare = int((rows["labels"].map(len) == 0).sum())
    if bare:
        notes.append(f"{bare} patches have none of the classes, and teach what is none of them")
    return LabelTable(rows, several, tuple(notes))


_FILL = "Fill or remove them."


def _known_columns(table: pd.DataFrame, path: Location) -> tuple[pd.DataFrame, list[str]]:
    """The columns that are known under their names, all others as they are; and what is to be told of it."""
    names = [str(name) for name in table]
    lower = [name.lower() for name in names]
    known: dict[int, str] = {}
    for column in _KNOWN:
        words = [word for word in _WORDS.get(column, (column,)) if word in lower]
        if words and not (column == "label" and "labels" in lower and words[0] != "label"):
            known[lower.index(words[0])] = column
    if "file" not in known.values():
        of_files = [place for place in range(len(names)) if _are_files(table.iloc[:, place])]
        known |= dict.fromkeys(of_files, "file") if len(of_files) == 1 else {}
    called = [known.get(place, name) for place, name in enumerate(names)]
    titled = [name.lower() for name in names if name]
    if "file" not in called or len(set(titled)) != len(titled) or {"label", "labels"} <= set(called):
        raise ArchiveError(f"columns are {', '.join(names) or 'none'}", where=str(path), hint=HINT)
    others = [f"{names[place]} as {column}" for place, column in sorted(known.items()) if lower[place] != column]
    return table.set_axis(called, axis=1), [f"columns read: {', '.join(others)}"] if others else []


def _are_files(cells: pd.Series[str]) -> bool:
    """Whether all of a column's cells are names of images."""
    return len(cells) > 0 and bool(cells.str.lower().str.endswith(ENDINGS + OTHER_KINDS).all())


def _labels_of(table: pd.DataFrame, path: Location) -> tuple[list[list[str]], bool, list[str]]:
    """The classes of each row, whether they may be several, and what is to be told."""
    if "labels" not in table and "label" not in table:
        return _one_hot(table, path)
    several = "labels" in table
    words = table["labels" if several else "label"]
    notes = _not_read(table, _KNOWN)
    lists = words.str.startswith("[") & words.str.endswith("]")
    if not several and lists.any() and (lists | (words == "")).all():
        several = True
        notes.append("the column label holds lists: several classes a patch")
    found = [_parts(text) if several else [text] for text in words]
    empty = [line for line, names in zip(table.index, found, strict=True) if "" in names]
    if empty:
        what = f"{len(empty)} rows have empty cells"
        raise ArchiveError(what, where=str(path), hint=f"{_FILL} The first is line {empty[0]}.")
    return found, several, notes


def _parts(text: str) -> list[str]:
    """`a|b`, `['a', 'b']`, `["a", "b"]`, `['a' 'b']` as numpy prints it, or `[a, b]`; none of an empty cell."""
    if text.startswith("[") and text.endswith("]"):
        if not _QUOTED.sub("", text[1:-1]).strip(", \t\r\n"):
            return [one or other for one, other in _QUOTED.findall(text)]
        text = text[1:-1] if SEPARATOR in text else text[1:-1].replace(",", SEPARATOR)
    return list(dict.fromkeys(part.strip() for part in text.split(SEPARATOR))) if text else []


def _one_hot(table: pd.DataFrame, path: Location) -> tuple[list[list[str]], bool, list[str]]:
    """Columns of 0 and 1 as classes."""
    marks = table.apply(lambda column: column.str.lower())
    classes: list[str] = []
    for name in (str(name) for name in table if name and name not in _KNOWN):
        known = marks[name].isin(_ON | _OFF)
        told = marks[name] != ""
        if known.all() and told.any():
            classes.append(name)
        elif (known & told).sum() > (~known).sum():
            line = known.index[~known][0]
            what = f'column {name} has "{shown(table[name][line], 30)}" in line {line}, which is neither 0 nor 1'
            raise ArchiveError(what, where=str(path), hint="Write 0 or 1, or take the column out.")
    if len(classes) < 2:
        raise ArchiveError(f"columns are {', '.join(map(str, table))}", where=str(path), hint=HINT)
    on = marks[classes].isin(_ON).to_numpy()
    found = [[name for name, each in zip(classes, row, strict=True) if each] for row in on]
    empty = int((table[classes] == "").to_numpy().sum())
    notes = [f"a column a class: {', '.join(classes)}", *_not_read(table, _KNOWN | set(classes))]
    notes += [f"{empty} empty cells of these columns were read as 0"] if empty else []
    return found, any(len(names) != 1 for names in found), notes


def _not_read(table: pd.DataFrame, read: frozenset[str]) -> list[str]:
    others = [str(name) for name in table if name and name not in read]
    return [f"columns that were not read: {', '.join(others)}"] if others else []


def _splits_of(table: pd.DataFrame, path: Location) -> pd.Series[str]:
    if "split" not in table:
        return pd.Series("", table.index, dtype=str)
    known = table["split"].map(lambda word: split_of(word) if word else "")
    strange = table["split"][known.isna()]
    if len(strange):
        word, line = strange.iloc[0], strange.index[0]
        raise ArchiveError(
            f'unknown split "{shown(word)}" in line {line}',
            where=str(path),
            hint=nearest(word.lower(), dict.fromkeys(_SPLIT_WORDS.values())),
        )
    return known


def _joined(rows: pd.DataFrame, several: bool, path: Location) -> tuple[pd.DataFrame, list[str]]:
    """A row a file of several rows a file, where that is the table's form.

    Raises:
        ArchiveError: it is not, or rows of one file differ in more than their class.
    """
    groups = rows.groupby("stem", sort=False)
    lines = groups.size()
    many = lines[lines > 1]
    stem = many.index[0]
    pairs = rows["stem"].str.cat(rows["labels"].map("|".join), sep="\0")
    hint = f"Keep one row a file. Several classes of one file are written in the column labels: a{SEPARATOR}b."
    if several or pairs.duplicated().any() or len(many) < _FEW or len(many) < _SHARE * len(lines):
        where = ", ".join(map(str, rows.index[rows["stem"] == stem]))
        what = f"{stem} has two rows (lines {where})" if lines[stem] == 2 else f"{stem} has {lines[stem]} rows"
        raise ArchiveError(what, where=str(path), hint=hint)
    for column in ("split", "country"):
        differing = groups[column].nunique()
        if (differing > 1).any():
            stem = differing.index[differing > 1][0]
            raise ArchiveError(f"rows of {stem} differ in {column}", where=str(path), hint="Write one in all of them.")
    joined = groups.first()
    joined["labels"] = groups["labels"].agg(lambda lists: [name for names in lists for name in names])
    counts = Counter(joined["labels"].map(len))
    shown_counts = ", ".join(f"{counts[number]} with {number}" for number in sorted(counts))
    return joined.reset_index(), [f"several rows a file were read as several classes ({shown_counts})"]
