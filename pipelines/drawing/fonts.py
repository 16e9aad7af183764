"""Fonts for what is written on pictures: a dataset's classes may have names in any script.

matplotlib writes with DejaVu Sans, which has Latin, Greek, Cyrillic and some more, and draws a box for every other
character without a word. Where a name has such characters, the fonts installed on this machine are searched.

Flows in: what is to be written. Flows out: families that have its characters, and which characters no font has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from matplotlib import font_manager

USUAL = "DejaVu Sans"
_BOXES = "Last Resort High-Efficiency"
"""matplotlib's font of boxes for all that no other has. It warns of each character that comes to this, unless asked."""


def families_for(text: str) -> list[str]:
    """The usual font and as many others as the text needs; empty if the usual one has all of it."""
    lacking, found = _lacking(text)
    found += [_BOXES] if lacking else []
    return [USUAL, *found] if found else []


def unwritable(names: Iterable[str], fonts: Sequence[str] | None = None) -> str:
    """What a user must be told of names that cannot be drawn, as a sentence; empty if all can.

    Args:
        fonts: files to look into beside the usual one; those that are installed if not given.
    """
    text = "".join(names)
    lacking, _ = _lacking(text, fonts)
    shown = "".join(dict.fromkeys(each for each in text if each in lacking))
    return (
        f"No font on this machine has {shown}: boxes stand for such characters on pictures. Install a font that has "
        "them, such as one of Noto, and draw them again."
        if lacking
        else ""
    )


def _lacking(text: str, fonts: Sequence[str] | None = None) -> tuple[set[str], list[str]]:
    """Characters that no font has, and the families beside the usual one that have the others."""
    lacking, found = {each for each in text if each.isprintable() and not each.isspace()}, list[str]()
    lacking -= _characters(font_manager.findfont(USUAL))
    if lacking:
        for path in _installed() if fonts is None else fonts:
            if there := lacking & _characters(path):
                lacking -= there
                found.append(_family(path))
    return lacking, found


@cache
def _installed() -> tuple[str, ...]:
    """Files of fonts: matplotlib's own and the system's, regular ones first, always in the same order."""
    own = {entry.fname for entry in font_manager.fontManager.ttflist if entry.name != _BOXES}
    paths = own | set(font_manager.findSystemFonts())
    return tuple(sorted(paths, key=lambda path: ("regular" not in path.lower(), path)))


@cache
def _characters(path: str) -> frozenset[str]:
    """That a font has; none of a file that is no font."""
    try:
        return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


def _family(path: str) -> str:
    """A font's family; matplotlib knows it afterwards, even if it was installed after its list was made."""
    known = {entry.fname: entry.name for entry in font_manager.fontManager.ttflist}
    if path not in known:
        font_manager.fontManager.addfont(path)
    return str(font_manager.get_font(path).family_name)
