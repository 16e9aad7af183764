"""The images that lie in a folder and below: a file a patch, or a file a band.

    FOLDER/**/<patch>.tif                               all bands in one file
    FOLDER/**/<patch>/<any>_B02.tif, <any>_B03_10m.tif  a file a band: by what its name ends with
    FOLDER/**/<patch>_B02.tif, <patch>_B03.tif          likewise, several patches in one folder

JPEG 2000 and PNG are taken where there is no TIFF.

Flows in: the folder. Flows out: `Images`: where each patch lies, and what was passed over.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pipelines.errors import ArchiveError
from pipelines.location import Location, files_below
from pipelines.spellings import canonical_names
from pipelines.tables.file_names import ENDINGS, OTHER_KINDS, PICTURES

_STRAY = "._"
_BAND = re.compile(
    r"(?P<head>.*?[_\-. ]|)(?P<band>(?:SR_)?B(?:0?[1-9]|1[0-2]|8A)|red|green|blue|nir|swir[12]?)"
    r"(?P<grid>[_-](?:[126]0)m)?",
    re.IGNORECASE,
)
_LEAST = 0.5
"""Share of the files that must be of patches with a file a band, for the folder to be of these."""


@dataclass(frozen=True)
class Images:
    """What lies there.

    `places`: a patch's name, its path without ending, to where it is: its file, or what the paths of its bands' files
    begin with. `names`: further names of patches, to those in `places`. `endings`: where there is a file a band, the
    band to what is added to a place. `others`: endings of images of other kinds, with their numbers.
    """

    places: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)
    endings: dict[str, str] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()


def images_in(source: Location, bands_in: Callable[[str], int]) -> Images:
    """Find the images of a folder.

    Args:
        source: the folder.
        bands_in: how many bands a file has, by its path; 0 where it cannot be read.

    Raises:
        ArchiveError: two files are of one patch.
    """
    rasters: list[str] = []
    pictures: list[str] = []
    others: Counter[str] = Counter()
    strays = 0
    for file in files_below(source):
        name = file.rpartition("/")[2]
        ending = f".{name.rpartition('.')[2]}".lower()
        if ending not in ENDINGS + PICTURES:
            others[ending] += 1
        elif name.startswith(_STRAY):
            strays += 1
        else:
            (rasters if ending in ENDINGS else pictures).append(file)
    if rasters:
        others.update(f".{file.rpartition('.')[2]}".lower() for file in pictures)
    rasters = sorted(rasters or pictures)
    others = Counter({ending: number for ending, number in others.items() if ending in OTHER_KINDS})
    notes = [f"{strays} files called {_STRAY}… were passed over: macOS puts them beside others"] if strays else []
    if others:
        listed = ", ".join(f"{number} {ending}" for ending, number in sorted(others.items()))
        notes.append(f"files of other kinds were passed over: {listed}")
    by_band = _file_a_band(rasters)
    if by_band and bands_in(next(iter(by_band.places.values())) + next(iter(by_band.endings.values()))) == 1:
        return Images(by_band.places, by_band.names, by_band.endings, others, (*notes, *by_band.notes))
    return Images(_file_a_patch(rasters, source), others=others, notes=tuple(notes))


def _file_a_patch(rasters: Iterable[str], source: Location) -> dict[str, str]:
    places: dict[str, str] = {}
    for file in rasters:
        name = unicodedata.normalize("NFC", file.rpartition(".")[0])
        if name in places:
            raise ArchiveError(f"{places[name]} and {file} are one patch", where=str(source), hint="Keep one.")
        places[name] = file
    return places


def _file_a_band(rasters: list[str]) -> Images | None:
    """Patches of at least two files each, whose names differ by a band at their end; None where they are not so."""
    groups: dict[str, dict[str, str]] = {}
    for file in rasters:
        stem, dot, ending = file.rpartition(".")
        folder, slash, name = stem.rpartition("/")
        found = _BAND.fullmatch(name)
        if found:
            tail = f"{found['band']}{found['grid'] or ''}{dot}{ending}"
            bands = groups.setdefault(f"{folder}{slash}{found['head']}", {})
            # of one band at several resolutions, as in a product's folders: the finest, whose name comes first
            bands.setdefault(found["band"], tail)
    groups = {head: bands for head, bands in groups.items() if len(bands) > 1}
    taken = sum(map(len, groups.values()))
    if not groups or taken < _LEAST * len(rasters):
        return None
    endings: dict[str, Counter[str]] = {}
    for bands in groups.values():
        for name, tail in zip(canonical_names(list(bands)), bands.values(), strict=True):
            endings.setdefault(name, Counter())[tail] += 1
    most = {band: tails.most_common(1)[0][0] for band, tails in sorted(endings.items())}
    notes = [f"a file a band, such as {next(iter(groups))}{next(iter(most.values()))}"]
    if taken < len(rasters):
        notes.append(f"{len(rasters) - taken} files were passed over that are of no band, or of one that has others")
    places, names = _named(list(groups))
    return Images(places, names, most, notes=tuple(notes))


def _named(heads: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Patches by name: their folder, where it holds no other, or what their files' names begin with."""
    of_folder = Counter(head.rpartition("/")[0] for head in heads)
    places, names = {}, {}
    for head in heads:
        folder, _, begin = head.rpartition("/")
        by_files = unicodedata.normalize("NFC", head.rstrip("_-. "))
        alone = folder and of_folder[folder] == 1
        name = unicodedata.normalize("NFC", folder) if alone else by_files
        places[name] = head
        if alone and begin:
            names[by_files] = name
    return places, names
