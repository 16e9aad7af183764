"""A table as text to its cells, whatever program wrote it: commas, semicolons or tabs, UTF-8 with or without a mark.

Flows in: `labels.csv`. Flows out: a frame of text, in which the index is the line of the file.
"""

from __future__ import annotations

import csv
import io
import re

import pandas as pd

from pipelines.errors import ArchiveError
from pipelines.location import Location

TABLE = "labels.csv"

ENDINGS = (".csv", ".tsv", ".txt")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_EXCEL = re.compile(r"sep=([,;\t])\r?\n")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def find_table(source: Location) -> Location | None:
    """`labels.csv` in a folder, or what somebody calls by another case or ending; None where there is none.

    Raises:
        ArchiveError: there are several.
    """
    if (source / TABLE).is_file():
        return source / TABLE
    stem = TABLE.rpartition(".")[0]
    names = {f"{stem}{ending}" for ending in ENDINGS}
    found = sorted(path for path in source.iterdir() if path.name.lower() in names and path.is_file())
    if len(found) > 1:
        listed = " and ".join(path.name for path in found)
        raise ArchiveError(f"{listed} are both tables", where=str(source), hint=f"Keep one, as {TABLE}.")
    return found[0] if found else None


def read_cells(path: Location, first: frozenset[str], hint: str) -> pd.DataFrame:
    """All cells as text without space around it; lines and last columns without any text are passed over.

    Args:
        path: the table.
        first: names, in lower case, one of which the first line must have; they tell what separates its cells.
        hint: how a table should look.

    Raises:
        ArchiveError: it is not in UTF-8, or lines have more or fewer cells than the first.
    """
    text = _text_of(path)
    head = _EXCEL.match(text)  # says what separates, and is no line of the table
    text = text[head.end() :] if head else text
    separator = head[1] if head else _separator_of(text, first)
    skipped = 1 if head else 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        for row in reader:
            cells = _trimmed([cell.strip() for cell in row], len(rows[0]) if rows else 0)
            if not any(cells):
                continue
            if rows and len(cells) != len(rows[0]):
                raise ArchiveError(
                    f"line {reader.line_num + skipped} has {len(cells)} cells, the first has {len(rows[0])}",
                    where=str(path),
                    hint=f'Put quotes around names with {_SEPARATORS[separator]}: "a{separator} b".',
                )
            lines.append(reader.line_num + skipped)
            rows.append(cells)
    except csv.Error as error:
        raise ArchiveError(f"line {reader.line_num} cannot be read ({error})", where=str(path), hint=hint) from None
    return pd.DataFrame(rows[1:], columns=rows[0] if rows else [], index=lines[1:], dtype=str)


def _trimmed(cells: list[str], width: int) -> list[str]:
    """Without the empty cells that a program wrote beyond the first line's; of that one, without those at its end."""
    while len(cells) > width and not cells[-1]:
        cells = cells[:-1]
    return cells


def _text_of(path: Location) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        seen = f"line {line} has the byte 0x{data[error.start]:02x}, as in Windows-1252"
        kind = "it seems to be UTF-16" if data.startswith(_UTF16) else seen
        how = 'Save it again as "CSV UTF-8", or convert it: iconv -f '
        code = "UTF-16" if data.startswith(_UTF16) else "WINDOWS-1252"
        hint = f"{how}{code} -t UTF-8 {path.name} > new.csv."
        raise ArchiveError(f"not a table in UTF-8: {kind}", where=str(path), hint=hint) from None


def _separator_of(text: str, first: frozenset[str]) -> str:
    """What makes one of the known names of the first line, or else occurs most often in it."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    for separator in _SEPARATORS:
        cells = (cell.strip().strip('"').strip().lower() for cell in head.split(separator))
        if separator in head and first & set(cells):
            return separator
    return max(_SEPARATORS, key=head.count)
