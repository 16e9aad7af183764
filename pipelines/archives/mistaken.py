"""What people name in place of an archive, and where the archive is: so that a refusal says what to do.

Flows in: a folder that is no archive. Flows out: what it is, and a hint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from pipelines.archives.bigearthnet_v2 import IMAGES, METADATA, is_v2
from pipelines.errors import ArchiveError
from pipelines.location import Location, subfolders
from pipelines.tables.csv_cells import ENDINGS as TABLES
from pipelines.tables.csv_cells import TABLE
from pipelines.tables.file_names import ENDINGS, PICTURES

_LOOKED_AT = 50  # folders of a folder
_NAMES = 100_000  # entries of a folder, whose kinds are told by their names
_SCENE = re.compile(r".*\.SAFE|GRANULE|MTD_\w+\.xml|L[COET]0\d_.*_MTL\.(txt|xml)|S[123][ABCD]_\w+\.(zip|SEN3)", re.I)
_CUT = "gdal_retile.py -ps 120 120 -targetDir patches scene.tif"
_PACKED = (".zip", ".tar", ".gz", ".zst", ".7z", ".rar", ".tgz")
_SHEETS = (".xlsx", ".xls", ".ods")


def not_scenes(source: Location) -> None:
    """See that a folder is not one of scenes as they are delivered, or one within an archive.

    Raises:
        ArchiveError: it is.
    """
    names = [source.name, *_names(source)]
    scene = next((name for name in names if _SCENE.fullmatch(name)), "")
    if scene:
        raise ArchiveError(
            f"{scene} is of a scene, and scenes are not patches",
            where=str(source),
            hint=f"Cut patches from it first, all bands in one file ({_CUT}), and label them in {TABLE}; a whole scene "
            "is for a trained model.",
        )
    for above in (source.parent, source.parent.parent):
        if (above / METADATA).is_file() or (source.name == IMAGES and above == source.parent):
            raise ArchiveError(
                "these are the images within a BigEarthNet v2 archive",
                where=str(source),
                hint=f"Name the folder above them, where {METADATA} lies: {above}.",
            )


def no_archive(source: Location, others: dict[str, int]) -> ArchiveError:
    """What to raise for a folder that holds no archive of any kind.

    Args:
        source: the folder.
        others: endings of images of other kinds that lie there, with their numbers.
    """
    return ArchiveError("no archive here", where=str(source), hint=_hint(source, others))


def no_folder(source: Location) -> ArchiveError:
    """What to raise for a source that is no folder: a file, or nothing at all."""
    if not source.is_file():
        return ArchiveError("no such folder", where=str(source), hint="Give the archive's folder.")
    name = source.name.lower()
    if name.endswith(_PACKED):
        hint = "Unpack it, and give the folder that comes of it."
    elif name.endswith((*ENDINGS, *PICTURES, *TABLES, *_SHEETS)):
        hint = f"Give the folder that it lies in: {source.parent}."
    else:
        hint = "Give the archive's folder."
    return ArchiveError("not a folder", where=str(source), hint=hint)


def other_kind(others: dict[str, int], where: str) -> ArchiveError:
    """What to raise for a set whose images are all of another kind."""
    ending, number = max(others.items(), key=lambda each: each[1])
    word = "JPEG" if ending in (".jpg", ".jpeg") else ending
    return ArchiveError(
        f"the images are {word} ({number} {ending}), and GeoTIFFs, JPEG 2000 and PNG are taken",
        where=where,
        hint=f'Convert them: for f in *{ending}; do rio convert "$f" "${{f%{ending}}}.tif"; done. Names in a table may '
        "keep their ending.",
    )


def _names(folder: Location) -> list[str]:
    entries: Iterator[Location] = iter(folder.iterdir())
    return sorted(path.name for path in islice(entries, _NAMES))


def _hint(source: Location, others: dict[str, int]) -> str:
    inner = [name for name in islice(subfolders(source), _LOOKED_AT) if _is_archive(source / name)]
    if inner:
        return f"There is one in {sorted(inner)[0]}: name that folder."
    names = _names(source)
    if "manifest.json" in names:
        return "It is a dataset that is packed already."
    packed = [name for name in names if name.lower().endswith(_PACKED)]
    if packed:
        return f"Unpack {packed[0]} first."
    if others:
        return other_kind(others, "").hint
    sheets = [name for name in names if name.lower().endswith(_SHEETS)]
    if sheets:
        return f"Save {sheets[0]} as {TABLE} in UTF-8."
    tables = [name for name in names if name.lower().endswith(TABLES[:2])]
    if tables:
        return f"Is {tables[0]} the table? Call it {TABLE}."
    return (
        f"It must hold BigEarthNet v2 or v1, a folder of GeoTIFFs for each class, or GeoTIFFs and {TABLE}; see "
        "docs/data.md."
    )


def _is_archive(folder: Location) -> bool:
    return (folder / TABLE).is_file() or is_v2(folder)
