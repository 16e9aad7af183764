"""How the bands of a set of files are called, and so how its patches are read.

Flows in: what some files are, and what the user said of their bands. Flows out: a `Layout`, and what is to be told:
which names were taken for which, and which were assumed.

Names lead to Sentinel-2's where they mean its bands (`spellings`). Where files name none, they are named by what the
user says: `--names`, a comma list of as many for `--bands`, or a set of as many; twelve are taken in BigEarthNet's
order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipelines.archives.patch_files import Layout
from pipelines.archives.survey import Seen
from pipelines.bands import ALL_BANDS, BAND_SETS, EUROSAT_ORDER, LEVEL_1C, parse_bands
from pipelines.dataset.manifest import BandColumn
from pipelines.dataset.part_file import TEXT_AND_PLACE
from pipelines.errors import ArchiveError, BandError
from pipelines.spellings import canonical_names

_TAKEN = (*TEXT_AND_PLACE, "labels")  # columns of a part beside its bands
_SMALL = 16  # pixels a side that every net takes
_LEAST = 2  # that any takes


def stack_layout(seen: Sequence[Seen], bands: str, names: Sequence[str], where: str) -> tuple[Layout, list[str]]:
    """How files with all bands of a patch are read.

    Args:
        seen: some files.
        bands: `IngestSettings.bands`.
        names: what the bands are called, in file order; empty where nothing was said.
        where: the folder, for messages.

    Raises:
        ArchiveError: no file can be read, or patches are not square.
        BandError: bands have no names and none were given, only some have, or a band is not among them.
    """
    well = [each for each in seen if not each.fault]
    if not well:
        faults = Counter(each.fault for each in seen)
        told = "; ".join(f"{fault} ({number})" for fault, number in faults.most_common(3))
        what = f"none of the files can be read: {told}, such as {seen[0].file}"
        raise ArchiveError(what, where=where, hint="They must be GeoTIFFs.")
    size = _size_of(well, where)
    notes = [f"patches have {size} px a side; some nets take {_SMALL} at least, landnet takes these"] * (size < _SMALL)
    given = canonical_names([name.strip() for name in names])
    named = [each for each in well if each.names]
    _check_all_named(named, [each for each in well if not each.names], bool(given))
    if named:
        called, renames, more = _of_named(named, given)
        own = list(given) if len(named) < len(well) else []
    else:
        count = Counter(each.shape[0] for each in well).most_common(1)[0][0]
        called, more = _of_unnamed(count, bands, given)
        renames, own = {}, list(called)
    _check_names(called)
    chosen = _chosen(_as_called(bands, named), called)
    columns = [BandColumn(name=band, size=size) for band in chosen]
    return Layout(kind="stack", bands=columns, names=own, renames=renames), [*more, *notes]


def files_layout(
    seen: Sequence[Seen], endings: dict[str, str], bands: str, names: Sequence[str], where: str
) -> tuple[Layout, list[str]]:
    """How patches with a file a band are read.

    Args:
        seen: files of some patches.
        endings: see `Images`.
        bands, names, where: as `stack_layout` takes them.

    Raises:
        ArchiveError: no file can be read, or patches are not square.
        BandError: names were given, or a band is not among those that files are called by.
    """
    if names:
        raise BandError("the files are called by their bands", where="names", hint="Leave it out.")
    order = [band for band in LEVEL_1C if band in endings]
    known = (*order, *(band for band in endings if band not in order))
    _check_names(known)
    columns = []
    for band in _chosen(bands, known):
        found = [each for each in seen if each.file.endswith(endings[band]) and not each.fault]
        if not found:
            raise ArchiveError(f"no file of {band} can be read", where=where, hint="They must be GeoTIFFs.")
        columns.append(BandColumn(name=band, size=_size_of(found, where)))
    return Layout(kind="files", bands=columns, endings=endings), []


def _size_of(seen: Sequence[Seen], where: str) -> int:
    """Pixels a side of most files."""
    sizes = Counter(each.shape[1:] for each in seen)
    (height, width), number = sizes.most_common(1)[0]
    if height != width:
        one = next(each for each in seen if each.shape[1:] == (height, width))
        others = ", ".join(f"{w}×{h} px ({count})" for (h, w), count in sizes.most_common()[1:4])
        told = f"{number} of {len(seen)}, such as {one.file}" + (f"; others {others}" if others else "")
        raise ArchiveError(f"images are {one.size} ({told})", where=where, hint="Cut them to squares of one size.")
    if height < _LEAST:
        raise ArchiveError(
            f"images are {width}×{height} px", where=where, hint=f"Cut larger ones: of {_SMALL} px or more."
        )
    return height


def _check_all_named(named: Sequence[Seen], bare: Sequence[Seen], given: bool) -> None:
    if named and bare and not given:
        listed = ", ".join(each.file for each in bare[:3]) + (", …" if len(bare) > 3 else "")
        raise BandError(
            f"{len(bare)} of {len(bare) + len(named)} files do not name their bands ({listed})",
            where="bands",
            hint="If theirs are in the order of the others, give all of them names: --names "
            f"{','.join(canonical_names(named[0].names or ()))}.",
        )


def _of_named(named: Sequence[Seen], given: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str], list[str]]:
    """The names of most files as Sentinel-2 has them; what some are called instead; and what is to be told."""
    orders = Counter(each.names or () for each in named)
    written = orders.most_common(1)[0][0]
    called = canonical_names(written)
    notes = []
    if len({canonical_names(order) for order in orders}) > 1:
        notes.append("files have their bands in several orders, or not the same ones, and are read by name")
        if not given:
            known = [band for band in LEVEL_1C if band in called]
            written = called = (*known, *(band for band in called if band not in known))
    other = [f"{old} for {new}" for old, new in zip(written, called, strict=True) if old != new]
    if other and not given:
        notes.append(f"names of bands taken: {', '.join(other)}")
    if not given or tuple(given) == called:
        return called, {}, notes
    if len(given) != len(called):
        what = f"{len(given)} names for {len(called)} bands ({', '.join(called)})"
        raise BandError(what, where="names", hint="Name every band once, in file order.")
    moved = [new for old, new in zip(called, given, strict=True) if new != old and new in called]
    if moved:
        said = f"the files call their bands {', '.join(written)}, and {moved[0]} is another of them"
        raise BandError(said, where="names", hint="Leave it out, and choose by these names with --bands.")
    renames = {old: new for old, new in zip(called, given, strict=True) if old != new}
    notes.append("bands renamed: " + ", ".join(f"{old} to {new}" for old, new in renames.items()))
    return tuple(given), renames, notes


def _of_unnamed(count: int, bands: str, given: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """What bands without names are called, and what is to be told."""
    if given:
        if len(given) != count:
            raise BandError(f"{len(given)} names for {count} bands", where="names", hint="Name every band once.")
        return tuple(given), []
    listed = _listed(bands)
    if len(listed) == count:
        return listed, []
    chosen = BAND_SETS.get(bands.strip(), ())
    if bands.strip() != "all" and len(chosen) == count:
        return chosen, [f"bands have no names and were taken in the order of {bands.strip()}: {','.join(chosen)}"]
    if count == len(ALL_BANDS):
        order = f"bands have no names and were taken in BigEarthNet's order: {','.join(ALL_BANDS)}"
        return ALL_BANDS, [f"{order}; some tools write B8A last: then give --names"]
    raise BandError(f"the files have {count} bands and do not name them", where="bands", hint=_how_to_name(count))


def _how_to_name(count: int) -> str:
    """Names to copy, of a set of as many bands where there is one."""
    if count == len(LEVEL_1C):
        return (
            f"Name all {count} in file order. As EuroSAT has them: --names {','.join(EUROSAT_ORDER)}; "
            f"as Level-1C has them: --names {','.join(LEVEL_1C)}."
        )
    sets = {len(members): name for name, members in BAND_SETS.items() if name != "all"}
    if count in sets:
        name = sets[count]
        return f"Name all {count} in file order, such as --names {','.join(BAND_SETS[name])}, or by --bands {name}."
    return f"Name all {count} in file order, such as --names {','.join(ALL_BANDS[:3])},…."


def _listed(bands: str) -> tuple[str, ...]:
    """The names in a comma list; none where it is a set's name."""
    return () if bands.strip() in BAND_SETS else canonical_names([part.strip() for part in bands.split(",")])


def _as_called(bands: str, named: Sequence[Seen]) -> str:
    """`--bands` with the files' own names, such as `SR_B4`, which its neighbours alone tell, as those that they lead
    to."""
    if bands.strip() in BAND_SETS:
        return bands
    orders = {each.names or () for each in named}
    own = {old: new for order in orders for old, new in zip(order, canonical_names(order), strict=True)}
    return ",".join(own.get(part.strip(), part) for part in bands.split(","))


def _chosen(bands: str, called: Sequence[str]) -> tuple[str, ...]:
    return tuple(called) if _listed(bands) == tuple(called) else parse_bands(bands, called)


def _check_names(names: Sequence[str]) -> None:
    """Names become columns of the dataset, and are chosen by comma lists."""
    for name in names:
        if names.count(name) > 1:
            raise BandError(f'two bands are called "{name}"', where="bands", hint="Give each band a name of its own.")
        if name in _TAKEN or name in BAND_SETS or "," in name or name != name.strip() or not name:
            raise BandError(f'no band can be called "{name}"', where="bands", hint="Give it another name by --names.")
