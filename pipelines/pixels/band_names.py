"""Which of a file's bands is which of a model's: by the names that the file has or that it was sent with, in any
spelling, else by their order, which is then said.

Flows in: the names of a file's bands, and those that are wanted. Flows out: the place of each wanted band in the file,
and what was assumed or left aside. A band may be called anything: what nobody wants is not used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipelines.bands import ALL_BANDS, EUROSAT_ORDER, LEVEL_1C, SENTINEL2, listed
from pipelines.errors import BandError, PatchError, shown
from pipelines.spellings import canonical, canonical_names, landsats_own, only_numbered

_NINTH = "B8A is the ninth here; EuroSAT's tool writes it last"
_LONGEST, _MOST = 40, 220
"""Characters of one name, and of a list of names, that a message repeats."""


def given_names(spec: str) -> tuple[str, ...]:
    """The names that somebody gives to a file's bands: a comma list in file order, or the name of a band set.

    Raises:
        BandError: there is none in it, or one is there twice.
    """
    names = listed(spec)
    if not names:
        raise BandError("no band given", where="?bands=", hint="Name the file's bands in file order, B02,B03,B04 say.")
    if twice := [name for name in names if names.count(name) > 1]:
        raise BandError(f'band "{shown(twice[0])}" is given twice', where="?bands=", hint="Name each band once.")
    return names


def find_bands(
    said: Sequence[str | None], wanted: Sequence[str], names: Sequence[str] | None = None
) -> tuple[dict[str, int], list[str]]:
    """Where each wanted band is in a file.

    Args:
        said: what the file calls its bands, in file order; None or empty where it does not.
        wanted: names of the bands that are needed.
        names: what the file's bands are, whatever it says itself.

    Returns:
        Wanted name to place, counted from 0; and the notes on how that was decided.

    Raises:
        PatchError: a wanted band is missing, there twice, or could be either of two; or `names` are more or fewer than
            the file's bands.
    """
    called = [(text or "").strip() for text in said]
    if names is not None:
        if len(names) != len(called):
            raise PatchError(
                f"{len(names)} band names were given for a file of {len(called)} bands", hint="Name every band once."
            )
        return _by_name(list(names), wanted, _contradictions(called, names))
    if only_numbered(called):
        called = [""] * len(called)
    if any(called):
        assumed = _order_of(len(called), wanted)
        if all(called) or not assumed or not _fits(called, assumed):
            return _by_name(called, wanted, [])
    return _by_order(len(called), wanted, "all its bands" if any(called) else "its bands")


def _by_name(called: list[str], wanted: Sequence[str], notes: list[str]) -> tuple[dict[str, int], list[str]]:
    found = _exactly(called, wanted)
    meant, free = _meanings(called), set(range(len(called))) - set(found.values())
    for name, band in zip(wanted, canonical_names(wanted), strict=True):
        alike = [place for place in sorted(free) if meant[place] == band]
        if name in found or not alike:
            continue
        if len(alike) > 1:
            either = " and ".join(f'"{shown(called[place], _LONGEST)}"' for place in alike[:2])
            raise PatchError(f"{either} could both be {name}", hint="Name the file's bands in file order in ?bands=.")
        found[name] = alike[0]
        free.remove(alike[0])
    if missing := [name for name in wanted if name not in found]:
        raise _missing(called, missing)
    silent = SENTINEL2.keys() - {meant[place] for place in found.values()}  # `bands_used` says enough of these
    unused = [called[place] or "no name" for place in sorted(free) if meant[place] not in silent]
    return {name: found[name] for name in wanted}, notes + (
        [f"bands {_listed(unused)} were not used"] if unused else []
    )


def _exactly(called: list[str], wanted: Sequence[str]) -> dict[str, int]:
    for name in wanted:
        if called.count(name) > 1:
            hint = "Give each band its own description, or name all in file order in ?bands=."
            raise PatchError(f'two bands of the file have one name, "{shown(name, _LONGEST)}"', hint=hint)
    return {name: called.index(name) for name in wanted if name in called}


def _meanings(called: Sequence[str]) -> list[str | None]:
    """The band that each name means, where it means one: also a Landsat's, by what is beside it."""
    return [canonical(name) for name in canonical_names(called)]


def _missing(called: list[str], missing: Sequence[str]) -> PatchError:
    have = _listed([name or "no name" for name in called])
    theirs = [(name, landsats_own(name, called)) for name in missing]
    needed = _listed([f"{name} ({own})" if own else name for name, own in theirs])
    return PatchError(
        f"file has {len(called)} bands ({have}); the model needs {needed} too",
        hint="Export these too; or if they are there by other names, name the file's bands in file order in ?bands=.",
    )


def _order_of(count: int, wanted: Sequence[str]) -> tuple[str, ...] | None:
    """What as many bands without names are taken for: the archive's twelve where the wanted are of them, or the wanted;
    None where they are neither."""
    if count == len(ALL_BANDS) and set(canonical_names(wanted)) <= set(ALL_BANDS):
        return ALL_BANDS
    return tuple(wanted) if count == len(wanted) else None


def _by_order(count: int, wanted: Sequence[str], what: str) -> tuple[dict[str, int], list[str]]:
    assumed = _order_of(count, wanted)
    if assumed is None:
        raise PatchError(
            f"file has {count} bands without names; the model needs {_listed(wanted)}", hint=_how_to_name(count, wanted)
        )
    note = f"the file does not name {what}; taken as {', '.join(assumed)}"
    if assumed == ALL_BANDS:
        note += f" ({_NINTH})"
    return _by_name(list(assumed), wanted, [note])


def _how_to_name(count: int, wanted: Sequence[str]) -> str:
    hint = f"Name all {count} in file order in ?bands=, also those that the model does not use"
    if count == len(LEVEL_1C):
        return (
            f"{hint}: {','.join(LEVEL_1C)} as Level-1C has them, or {','.join(EUROSAT_ORDER)} as EuroSAT's tool does."
        )
    if count > len(LEVEL_1C):
        return f"{hint}: {','.join(ALL_BANDS)},SCL for one more than the twelve."
    return f"{hint}; or export {_listed(wanted)} in that order."


def _contradictions(called: Sequence[str], names: Sequence[str]) -> list[str]:
    """A note where the file calls a band by the name of another than it is said to be; those given hold."""
    if only_numbered(called):
        return []
    pairs = zip(names, _meanings(names), _meanings(called), strict=True)
    against = [f"{name} is its {own}" for name, band, own in pairs if band and own and band != own]
    return [f"the names given hold, though the file says otherwise: {_listed(against)}"] if against else []


def _fits(called: Sequence[str], assumed: Sequence[str]) -> bool:
    """Whether the names that there are say nothing against an order, of a file that names some of its bands alone."""
    pairs = zip(called, _meanings(called), assumed, _meanings(assumed), strict=True)
    return all(not name or name == other or (band and band == that) for name, band, other, that in pairs)


def _listed(names: Iterable[str]) -> str:
    """Names in a message: each cut where it is long, and the last ones counted where they are many."""
    cut = [shown(name, _LONGEST) for name in names]
    kept = len(cut)
    while kept > 1 and len(", ".join(cut[:kept])) > _MOST:
        kept -= 1
    return ", ".join(cut[:kept]) + (f" and {len(cut) - kept} more" if kept < len(cut) else "")
