"""Your own data: a folder of GeoTIFFs, all bands of a patch in one file, and a table of what they show.

    FOLDER/labels.csv     file,label          one class a patch: the text as it stands
                          file,labels         several, with | between them
                          and, if you like, split and country
    FOLDER/**/*.tif       any bands, any square size, any classes

`patch_id` may stand for `file`: it is the file's path without its ending. Bands are called what the files call them;
where these do not say, `names` does, and else twelve are taken for BigEarthNet's.

Flows in: the folder. Flows out: a `Catalogue`. The classes are those of the table, in the alphabet's order; where all
are of BigEarthNet's 19, they are the 19.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.archives.catalogue import SPLITS, Catalogue, Dropped, drop
from pipelines.archives.numbers import settle
from pipelines.archives.patch_files import Layout, Told
from pipelines.bands import ALL_BANDS, BAND_SETS, parse_bands
from pipelines.dataset.manifest import BandColumn
from pipelines.errors import ArchiveError, BandError, PatchError, nearest
from pipelines.labels import LABEL_NAMES, encode_many
from pipelines.location import Location, fetcher, files_below
from pipelines.pixels.raster import Raster, read_raster

TABLE = "labels.csv"
SEPARATOR = "|"

NOTHING_TOLD = Told()

_ENDINGS = (".tif", ".tiff")
_LOOKED_AT = 64  # files from which bands and size are told
_TAKEN = ("patch_id", "country", "crs", "x", "y", "labels")  # columns of a part beside its bands
_HINT = f"Give {TABLE} the columns file and label, or file and labels (with {SEPARATOR} between them)."


def read_labelled(source: Location, bands: str, names: Sequence[str], told: Told = NOTHING_TOLD) -> Catalogue:
    """Read the table, and look at some files for their bands and size.

    Args:
        source: the folder.
        bands: the band set to pack; where files do not name their bands, a list of as many names them all.
        names: what the bands of such files are, in file order; empty where nothing was said.
        told: what the files' numbers mean, where they do not say.

    Raises:
        ArchiveError: the table is missing or contradicts itself, or no file can be read.
        BandError: the files' bands have no names and none were given, or a band is not among them.
        ServiceError: the object store does not answer.
    """
    path = source / TABLE
    table = _read_table(path)
    dropped: Dropped = {}
    files = _match_files(table, source, dropped)
    table = table.loc[files.notna()]
    files = files.dropna()
    if table.empty:
        raise ArchiveError("no file of the table is there", where=str(path), hint=_HINT)
    labels, label_names = _encode(table, path)
    rows = pd.DataFrame(
        {
            "patch_id": [file.rsplit(".", 1)[0] for file in files],
            "place": files.to_numpy(),
            "split": table["split"].to_numpy() if "split" in table else "",
            "country": table["country"].to_numpy() if "country" in table else "",
        },
        dtype=str,
    )
    return Catalogue(
        kind="labelled folder",
        root=source,
        layout=_layout(source, list(files), bands, names, told),
        rows=rows,
        labels=labels,
        label_names=label_names,
        checksum=hashlib.sha256(path.read_bytes()).hexdigest(),
        dropped=dropped,
    )


def _read_table(path: Location) -> pd.DataFrame:
    """Columns file, labels (lists), and split and country where they are."""
    table = _read_cells(path)
    columns = [str(column) for column in table]
    if "file" not in columns:
        table = table.rename(columns={"patch_id": "file"})
    if "file" not in table or len({"label", "labels"} & set(columns)) != 1 or len(set(columns)) != len(columns):
        raise ArchiveError(f"columns are {', '.join(columns) or 'none'}", where=str(path), hint=_HINT)
    several = "labels" in table
    words = table["labels" if several else "label"]
    table["labels"] = [[part.strip() for part in text.split(SEPARATOR)] if several else [text] for text in words]
    empty = (table["file"] == "") | table["labels"].map(lambda found: "" in found)
    if empty.any():
        raise ArchiveError(f"{int(empty.sum())} rows have empty cells", where=str(path), hint="Fill or remove them.")
    if "split" in table:
        strange = sorted(set(table["split"]) - set(SPLITS))
        if strange:
            raise ArchiveError(f'unknown split "{strange[0]}"', where=str(path), hint=nearest(strange[0], SPLITS))
    return table


def _read_cells(path: Location) -> pd.DataFrame:
    """All cells as text without space around it."""
    reader = csv.reader(io.StringIO(_text_of(path), newline=""), skipinitialspace=True, strict=True)
    rows: list[list[str]] = []
    try:
        for row in filter(None, reader):
            if rows and len(row) != len(rows[0]):
                what = f"line {reader.line_num} has {len(row)} cells, the first has {len(rows[0])}"
                raise ArchiveError(what, where=str(path), hint='Put quotes around names with commas: "a, b".')
            rows.append([cell.strip() for cell in row])
    except csv.Error as error:
        what = f"line {reader.line_num} cannot be read ({error})"
        raise ArchiveError(what, where=str(path), hint=_HINT) from None
    return pd.DataFrame(rows[1:], columns=rows[0] if rows else [], dtype=str)


def _text_of(path: Location) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ArchiveError("not a table in UTF-8", where=str(path), hint="Save it as CSV in UTF-8.") from None


def _match_files(table: pd.DataFrame, source: Location, dropped: Dropped) -> pd.Series[str]:
    """The path of each row's file, missing where there is none; what has no pair is counted.

    Raises:
        ArchiveError: a name is out of the folder, or two rows or two files are of one patch.
    """
    there: dict[str, str] = {}
    for file in sorted(files_below(source)):
        stem, dot, ending = file.rpartition(".")
        if f"{dot}{ending}".lower() in _ENDINGS:
            if stem in there:
                raise ArchiveError(f"{there[stem]} and {file} are one patch", where=str(source), hint="Keep one.")
            there[stem] = file
    stems = table["file"].map(_stem)
    twice = stems[stems.duplicated()]
    if len(twice):
        raise ArchiveError(f"{twice.iloc[0]} has two rows", where=str(source / TABLE), hint="Keep one row a file.")
    files = stems.map(there)
    drop(dropped, "missing file", sorted(stems[files.isna()]))
    drop(dropped, "no row in the table", sorted(set(there) - set(stems)))
    return files


def _stem(file: str) -> str:
    """A file's path below the folder without its ending, however the table writes it."""
    path = file.replace("\\", "/").removeprefix("./")
    if path.startswith("/") or ".." in path.split("/"):
        raise ArchiveError(f"{file} is not in the folder", where=TABLE, hint="Name files by their path below it.")
    return path.rsplit(".", 1)[0] if path.lower().endswith(_ENDINGS) else path


def _encode(table: pd.DataFrame, path: Location) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    found = sorted({name for names in table["labels"] for name in names})
    known = LABEL_NAMES if set(found) <= set(LABEL_NAMES) else tuple(found)
    if len(known) < 2:
        raise ArchiveError(f'all patches are "{known[0]}"', where=str(path), hint="Add patches of another class.")
    return encode_many(pa.array(table["labels"].tolist(), pa.list_(pa.string())), known), known


def _layout(source: Location, files: list[str], bands: str, names: Sequence[str], told: Told) -> Layout:
    """What most of some files, from all over the folder, have in common."""
    fetch = fetcher(source)
    forms: Counter[tuple[tuple[int, ...], tuple[str, ...] | None]] = Counter()
    seen: list[Raster] = []
    for file in sorted(files)[:: -(-len(files) // _LOOKED_AT)]:
        try:
            raster = read_raster(fetch(file))
        except (PatchError, OSError):
            continue
        forms[raster.pixels.shape, raster.names] += 1
        seen.append(raster)
    if not forms:
        raise ArchiveError("none of the files can be read", where=str(source), hint="They must be GeoTIFFs.")
    ((count, height, width), described), _ = forms.most_common(1)[0]
    if height != width:
        raise ArchiveError(
            f"images are {width}×{height} px", where=str(source), hint="Cut them to squares of one size."
        )
    if described and names and tuple(names) != described:
        said = f"the files call their bands {', '.join(described)}"
        raise BandError(said, where="names", hint="Leave it out, and choose by these names with --bands.")
    known = described or tuple(names) or _names_for(count, bands)
    _check_names(known, count)
    chosen = known if _listed(bands) == known else parse_bands(bands, known)
    given = [] if described else list(known)
    alike = [raster for raster in seen if raster.pixels.shape[0] == count and (raster.names or known) == known]
    places = [known.index(band) for band in chosen]
    files_bands = [
        {band: told.of(raster.band(place)) for band, place in zip(chosen, places, strict=True)} for raster in alike
    ]
    numbers = settle(files_bands, told)
    columns = [BandColumn(name=band, size=height, numbers=numbers.encodings[band]) for band in chosen]
    return Layout(
        kind="stack", bands=columns, names=given, undeclared=numbers.undeclared, mixed=numbers.mixed, told=told
    )


def _listed(bands: str) -> tuple[str, ...]:
    """The names in a comma list; none where it is a set's name."""
    return () if bands.strip() in BAND_SETS else tuple(part.strip() for part in bands.split(","))


def _names_for(count: int, bands: str) -> tuple[str, ...]:
    if len(_listed(bands)) == count:
        return _listed(bands)
    if count == len(ALL_BANDS):
        return ALL_BANDS
    raise BandError(
        f"the files have {count} bands and do not name them",
        where="bands",
        hint=f"Name all {count} in file order, such as --bands {','.join(ALL_BANDS[:3])},….",
    )


def _check_names(names: Sequence[str], count: int) -> None:
    """Names become columns of the dataset, and are chosen by comma lists."""
    if len(names) != count:
        raise BandError(f"{len(names)} names for {count} bands", where="names", hint="Name every band once.")
    for name in names:
        if names.count(name) > 1:
            raise BandError(f'two bands are called "{name}"', where="bands", hint="Give each band a name of its own.")
        if name in _TAKEN or name in BAND_SETS or "," in name or name != name.strip() or not name:
            raise BandError(f'no band can be called "{name}"', where="bands", hint="Give it another name.")
