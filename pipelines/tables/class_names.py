"""The classes of a set: those that were found, in their order, or a given list; and what cannot be meant is refused.

Flows in: the classes of each patch, as a table or folders call them. Flows out: the same under the names of the list,
and what is to be told. One class in several spellings, or several classes in one cell, would be learned as classes of
their own in silence, and are refused, unless a list has just these names.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipelines.errors import ArchiveError, LabelError, SettingsError, nearest, shown
from pipelines.labels import LABEL_NAMES
from pipelines.tables.label_table import SEPARATOR

Classes = list[list[str]]
"""Of each patch."""

_BETWEEN = re.compile(r"\s*[,;/|&+]\s*")
_MARKS = re.compile(r"[\s_]+|(?<=[^\W\d_])-(?=[^\W\d_])")
_SHOWN = 5


def name_classes(labels: Classes, given: str, where: str) -> tuple[Classes, tuple[str, ...], list[str]]:
    """The classes of each patch and the list of all, in order: the given one, BigEarthNet's 19, or the alphabet's.

    Args:
        labels: as they were found.
        given: `IngestSettings.classes`.
        where: the table or folder, for messages.

    Raises:
        LabelError: a class is not in the given list; or names seem to be of one class, or one of several classes.
        ArchiveError: there is but one class, or none.
        SettingsError: the given list cannot be read.
    """
    counts = Counter(name for names in labels for name in names)
    if given:
        known = given_classes(given)
        labels, notes = _under_given(labels, known, where)
        return labels, known, notes
    _refuse_spellings(counts, where)
    notes = _refuse_several_in_one(counts, where)
    known = LABEL_NAMES if counts and counts.keys() <= set(LABEL_NAMES) else tuple(sorted(counts, key=_order))
    if len(known) < 2:
        what = f'all patches are "{known[0]}"' if known else "no patch has a class"
        raise ArchiveError(what, where=where, hint="Add patches of another class, or name all with --classes.")
    return labels, known, notes


def given_classes(given: str) -> tuple[str, ...]:
    """The list that `--classes` gives: `Forest|Water`, or a file of it.

    A file has one class a line, or is JSON: a list of names, or an object with `label_names`, as a dataset's
    `manifest.json` and a bundle's `config.json` are.

    Raises:
        SettingsError: fewer than two names, one twice, or a file that cannot be read.
    """
    names = given.split(SEPARATOR)
    if len(names) == 1:
        names = _names_in(Path(given))
    names = [name.strip() for name in names]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if "" in names or twice or len(names) < 2:
        what = f'"{shown(twice[0])}" is there twice' if twice else "not a list of two or more classes"
        raise SettingsError(what, where="classes", hint=f"Give them as A{SEPARATOR}B{SEPARATOR}C.")
    return tuple(names)


def _names_in(path: Path) -> list[str]:
    hint = f"Give classes as A{SEPARATOR}B{SEPARATOR}C, or a file with one a line, or a dataset's manifest.json."
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() != ".json":
            return [line for line in text.splitlines() if line.strip()]
        found = json.loads(text)
        names = found["label_names"] if isinstance(found, dict) else found
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
    except (OSError, ValueError, KeyError, RecursionError):
        pass
    raise SettingsError("neither a list of classes nor a file of them", where=f"classes {shown(str(path))}", hint=hint)


def plain(name: str) -> str:
    """What spellings of one class have in common: `Sea Lake`, `sea_lake` and `SeaLake`."""
    return _MARKS.sub("", unicodedata.normalize("NFKC", name)).casefold()


def _under_given(labels: Classes, known: Sequence[str], where: str) -> tuple[Classes, list[str]]:
    spelt = {plain(name): name for name in known}
    to = {
        name: name if name in known else spelt.get(plain(name))
        for name in dict.fromkeys(name for names in labels for name in names)
    }
    strange = [name for name, meant in to.items() if meant is None]
    if strange:
        number = sum(1 for names in labels if set(names) & set(strange))
        raise LabelError(
            f"{number} patches have classes that --classes lacks: {_listed(strange)}",
            where=where,
            hint=f"{nearest(strange[0], known)} Add them to --classes, or take those patches out.",
        )
    others = [f'"{name}" for "{meant}"' for name, meant in to.items() if name != meant]
    named = [list(dict.fromkeys(to[name] or name for name in names)) for names in labels]
    absent = [name for name in known if name not in set(to.values())]
    notes = [f"spellings taken: {', '.join(others)}"] if others else []
    notes += [f"classes of the list without a patch: {_listed(absent)}"] if absent else []
    return named, notes


def _refuse_spellings(counts: Counter[str], where: str) -> None:
    alike: dict[str, list[str]] = {}
    for name in sorted(counts):
        alike.setdefault(plain(name), []).append(name)
    several = [names for names in alike.values() if len(names) > 1]
    if several:
        told = "; ".join(", ".join(f'"{shown(name)}" ({counts[name]})' for name in names) for names in several)
        chosen = [max(names, key=lambda name: (counts[name], name.istitle())) for names in alike.values()]
        raise LabelError(
            f"classes that look like one in several spellings: {told}",
            where=where,
            hint=f'Write each in one way, or say which there are: --classes "{SEPARATOR.join(sorted(chosen))}".',
        )


def _refuse_several_in_one(counts: Counter[str], where: str) -> list[str]:
    """What is to be told of names that may hold several classes.

    Raises:
        LabelError: some surely do: all their parts are classes, or parts of others' too.
    """
    parts = {name: _BETWEEN.split(name) for name in counts if name not in LABEL_NAMES}
    parts = {name: [plain(part) for part in split] for name, split in parts.items() if len(split) > 1}
    whole = {plain(name) for name in (*counts, *LABEL_NAMES) if name not in parts}
    within = Counter(part for split in parts.values() for part in set(split))
    sure = [name for name, split in parts.items() if all(part in whole or within[part] > 1 for part in split)]
    if sure:
        separator = next(mark for mark in sure[0] if mark in ",;/|&+")
        raise LabelError(
            f'"{shown(sure[0])}" looks like several classes: its parts are classes elsewhere'
            + (f", and so with {len(sure) - 1} more" if len(sure) > 1 else ""),
            where=where,
            hint=f'Put {SEPARATOR} in place of "{separator}" between classes, in a column called labels; or say which '
            "classes there are with --classes.",
        )
    perhaps = [name for name, split in parts.items() if whole & set(split)]
    return [f"classes that may be combinations of others: {_listed(perhaps)}"] if perhaps else []


def _listed(names: Iterable[str]) -> str:
    names = [f'"{shown(name)}"' for name in names]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _order(name: str) -> tuple[bool, int, str]:
    """Numbers by their size, before words by the alphabet."""
    number = name.isascii() and name.isdigit()
    return not number, int(name) if number else 0, name
