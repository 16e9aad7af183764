"""Your own data: a folder of GeoTIFFs, and a table of what they show or a folder for each class.

    FOLDER/labels.csv     in any of the forms of `label_table`; or none, and FOLDER/<class>/…
    FOLDER/**/*.tif       any bands, any square size, any classes; all bands of a patch in one file, or a file a band

Flows in: the folder. Flows out: a `Catalogue`, with all that was assumed or passed over. Classes are in the alphabet's
order, or that of a given list; where all are of BigEarthNet's 19, they are the 19.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pandas as pd
import pyarrow as pa

from pipelines.archives.band_names import files_layout, stack_layout
from pipelines.archives.catalogue import Catalogue, Dropped, drop
from pipelines.archives.mistaken import no_archive, other_kind
from pipelines.archives.numbers import told_by, with_numbers
from pipelines.archives.patch_files import Fetch, Layout
from pipelines.archives.survey import look, refuse_bad, some_of
from pipelines.errors import ArchiveError, PatchError
from pipelines.labels import encode_many
from pipelines.location import Location, fetcher
from pipelines.pixels.raster import read_raster
from pipelines.settings import IngestSettings
from pipelines.tables.class_folders import table_of_folders
from pipelines.tables.class_names import Classes, name_classes
from pipelines.tables.csv_cells import find_table
from pipelines.tables.file_names import match_names, nearest_name, stem_of
from pipelines.tables.image_files import Images, images_in
from pipelines.tables.label_table import HINT, LabelTable, read_table


def read_labelled(source: Location, settings: IngestSettings) -> Catalogue:
    """Read the table or the folders' names, find the files, and look at some of them.

    Raises:
        ArchiveError: there is neither; the table contradicts itself; or too many files are missing or cannot be read.
        LabelError: see `name_classes`; or a class would have no patch left, as its files are missing.
        BandError: the files' bands have no names and none were given, or a band is not among them.
        SettingsError: the given list of classes cannot be read.
        ServiceError: the object store does not answer.
    """
    fetch = fetcher(source)
    path = find_table(source)
    images = images_in(source, _band_counter(fetch))
    table = read_table(path) if path else table_of_folders(images.places)
    if table is None:
        raise no_archive(source, images.others)
    where = str(path or source)
    if table.rows.empty:
        raise ArchiveError("no file of the table is there: it has no rows", where=where, hint=HINT)
    dropped: Dropped = {}
    labels, label_names, more = name_classes(table.rows["labels"].tolist(), settings.classes, where)
    found, notes = _match(table, images, dropped)
    _check_missing(table, found, labels, images, settings.max_bad, where)
    there = found.notna().to_numpy()
    rows = pd.DataFrame(
        {
            "patch_id": [_id_of(name, images) for name in found[there]],
            "place": [images.places[name] for name in found[there]],
            "split": table.rows["split"].to_numpy()[there],
            "country": table.rows["country"].to_numpy()[there],
        },
        dtype=str,
    )
    layout, told = _layout(source, images, rows["place"].tolist(), settings, fetch)
    encoded = encode_many(pa.array(labels, pa.list_(pa.string())), label_names)
    return Catalogue(
        kind="labelled folder",
        root=source,
        layout=layout,
        rows=rows,
        labels=encoded[there],
        label_names=label_names,
        checksum=hashlib.sha256(path.read_bytes() if path else _listing(table)).hexdigest(),
        dropped=dropped,
        notes=(*table.notes, *more, *images.notes, *notes, *told),
        several=table.several,
    )


def _band_counter(fetch: Fetch) -> Callable[[str], int]:
    def bands_in(file: str) -> int:
        try:
            return len(read_raster(fetch(file)).pixels)
        except (PatchError, OSError):
            return 0

    return bands_in


def _id_of(name: str, images: Images) -> str:
    """A patch is called as its file is on the disk, without the ending."""
    return name if images.endings else images.places[name].rpartition(".")[0]


def _listing(table: LabelTable) -> bytes:
    """What a table would say, where folders say it."""
    lines = (f"{name},{names[0]}" for name, names in zip(table.rows["stem"], table.rows["labels"], strict=True))
    return "\n".join(sorted(lines)).encode()


def _match(table: LabelTable, images: Images, dropped: Dropped) -> tuple[pd.Series[str], list[str]]:
    """The patch of each row by its name, missing where there is none; what has no pair is counted."""
    stems = table.rows["stem"].tolist()
    matched, notes = match_names([images.names.get(stem, stem) for stem in stems], images.places)
    found = pd.Series(matched, dtype=object)
    drop(dropped, "missing file", sorted(stem for stem, name in zip(stems, matched, strict=True) if name is None))
    drop(dropped, "no row in the table", sorted(_id_of(name, images) for name in set(images.places) - set(matched)))
    return found, notes


def _check_missing(
    table: LabelTable, found: pd.Series[str], labels: Classes, images: Images, max_bad: float, where: str
) -> None:
    """See that few enough files are missing, and that no class goes with them.

    Raises:
        ArchiveError: more than `max_bad` of all, or all of a class.
    """
    gone = found.isna().to_numpy()
    missing = table.rows["file"][gone].tolist()
    if not missing:
        return
    there = {name for names, lost in zip(labels, gone, strict=True) if not lost for name in names}
    lost = sorted({name for names in labels for name in names} - there)
    nearest = nearest_name(stem_of(missing[0]), list(images.places))
    beside = f", and nearest to it lies {images.places[nearest]}" if nearest else ""
    if gone.all():
        if images.others and not images.places:
            raise other_kind(images.others, where)
        raise ArchiveError(
            f"no file of the table is there: it wants {missing[0]}{beside}",
            where=where,
            hint=f"Name files by their path below the folder. {HINT}",
        )
    if lost or len(missing) > max_bad * len(found):
        classes = f"; {', '.join(lost)} would have no patch left" if lost else ""
        raise ArchiveError(
            f"{len(missing)} of {len(found)} files of the table are not there, such as {missing[0]}{beside}{classes}",
            where=where,
            hint=f"Put them there, or take their rows out; --max-bad {max_bad:g} is the share that may be missing"
            + (", and no class may go." if lost else "."),
        )


def _layout(
    source: Location, images: Images, places: list[str], settings: IngestSettings, fetch: Fetch
) -> tuple[Layout, list[str]]:
    """How the patches are read, after a look at some."""
    names = [part.strip() for part in settings.names.split(",") if part.strip()]
    some = some_of(places)
    if images.endings:
        some = some[:: -(-len(some) // 16)]
        seen = look([f"{place}{ending}" for place in some for ending in images.endings.values()], fetch)
        layout, notes = files_layout(seen, images.endings, settings.bands, names, str(source))
    else:
        seen = look(some, fetch)
        layout, notes = stack_layout(seen, settings.bands, names, str(source))
    layout, more = with_numbers(layout, some, fetch, told_by(settings))
    return layout, [*notes, *more, *refuse_bad(layout, some, fetch, seen, len(places), settings.max_bad)]
