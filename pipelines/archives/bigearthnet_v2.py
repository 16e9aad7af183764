"""BigEarthNet v2 (reBEN): two tables and a folder a tile, or the tar of these, to a catalogue.

    ARCHIVE/metadata.parquet                                          patch_id, labels, split, country
    ARCHIVE/metadata_for_patches_with_snow_cloud_or_shadow.parquet    what is to be left out
    ARCHIVE/BigEarthNet-S2/<tile>/<patch>/<patch>_B02.tif …           or ARCHIVE/BigEarthNet-S2.tar.zst

Flows in: the archive's folder. Flows out: a `Catalogue` with the archive's own split.
Source: Clasen et al., "reBEN: Refined BigEarthNet Dataset for Remote Sensing Image Analysis", 2024.
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.archives.catalogue import SPLITS, Catalogue, Dropped, drop
from pipelines.archives.patch_files import Layout
from pipelines.errors import ArchiveError, LabelError, nearest
from pipelines.files import sha256_of
from pipelines.labels import LABEL_NAMES, encode_many
from pipelines.location import Location, read_bytes, subfolders

IMAGES = "BigEarthNet-S2"
METADATA = "metadata.parquet"
UNCLEAR = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"

_TARS = tuple(f"{IMAGES}.tar{suffix}" for suffix in (".zst", ".gz", ""))
_COLUMNS = ("patch_id", "labels", "split", "country")
_FLAGS = {"contains_seasonal_snow": "seasonal snow", "contains_cloud_or_shadow": "cloud or shadow"}
_LAYOUT_HINT = f"A BigEarthNet v2 archive holds {IMAGES}/ (or {_TARS[0]}) and {METADATA} side by side."


def is_v2(source: Location) -> bool:
    """Whether a folder looks like one, even where half of it is missing."""
    return (source / METADATA).is_file() or (source / IMAGES).is_dir() or _tar_in(source) is not None


def _tar_in(source: Location) -> Location | None:
    return next((source / name for name in _TARS if (source / name).is_file()), None)


def read_v2(source: Location, layout: Layout) -> Catalogue:
    """Read and check the tables, and compare them with the patches that are there.

    Raises:
        ArchiveError: a table or the images are missing, damaged, or contradict themselves.
        ServiceError: the object store does not answer.
    """
    table_file, images = source / METADATA, source / IMAGES
    tar = _tar_in(source)
    if not table_file.is_file() or not (images.is_dir() or tar):
        missing = f"{IMAGES}/" if table_file.is_file() else METADATA
        raise ArchiveError(f"no archive here: {missing} is missing", where=str(source), hint=_LAYOUT_HINT)
    table = _read_table(table_file)
    dropped: Dropped = {}
    for flag, reason in _FLAGS.items():
        if flag in table.column_names:
            drop(dropped, reason, table.filter(table[flag])["patch_id"].to_pylist())
            table = table.filter(pc.invert(table[flag]))
    unclear = source / UNCLEAR
    if unclear.is_file():
        table = _drop_unclear(table, _read_table(unclear), dropped)
    labels = _encode(table, table_file)
    rows = table.select(["patch_id", "split", "country"]).to_pandas()
    _check_splits(rows, table_file)
    rows["place"] = [_place_of(patch_id) for patch_id in rows["patch_id"]]
    if images.is_dir():
        present = _match_folders(rows, images, dropped)
        rows, labels = rows[present], labels[present]
    if rows.empty:
        raise ArchiveError("no patch to pack", where=str(source), hint=_LAYOUT_HINT)
    in_tar = not images.is_dir()
    return Catalogue(
        kind="BigEarthNet v2",
        root=tar if tar is not None and in_tar else images,
        layout=layout,
        rows=rows.reset_index(drop=True),
        labels=labels,
        label_names=LABEL_NAMES,
        checksum="-".join(sha256_of(path)[:32] for path in (table_file, unclear) if path.is_file()),
        dropped=dropped,
        in_tar=in_tar,
    )


def _read_table(path: Location) -> pa.Table:
    """A table whose columns are text, lists of text, and flags without nulls."""
    data = read_bytes(path)
    try:
        table = pq.read_table(io.BytesIO(data)).replace_schema_metadata(None)  # what pandas left there
        table.validate(full=True)
        names = table.column_names
    except (pa.ArrowException, OSError, ValueError):  # the last: text in it that is none
        raise ArchiveError("not a readable Parquet file", where=str(path), hint="Fetch the table again.") from None
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise ArchiveError(f"column {', '.join(missing)} is missing", where=str(path), hint=_LAYOUT_HINT)
    table = pa.table({name: _checked(table[name], name, path) for name in names if name in (*_COLUMNS, *_FLAGS)})
    empty = max(table[name].null_count for name in _COLUMNS)
    if empty:
        raise ArchiveError(f"{empty} rows have empty cells", where=str(path), hint="Fill or remove them.")
    counts = table["patch_id"].value_counts()
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        patch_id = twice[0]["values"]
        raise ArchiveError(f"patch {patch_id} has two rows", where=str(path), hint="Keep one row a patch.")
    return table


def _checked(column: pa.ChunkedArray, name: str, path: Location) -> pa.ChunkedArray:
    """One column as what it should be.

    Raises:
        ArchiveError: it is something else.
    """
    kind = column.type
    if name in _FLAGS:
        if pa.types.is_boolean(kind):
            return pc.fill_null(column, False)
        raise ArchiveError(f"{name} is {kind}, not true or false", where=str(path), hint="Store booleans.")
    if name == "labels":
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return column
        raise ArchiveError(f"labels are {kind}, not lists of names", where=str(path), hint="Store a list a patch.")
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.string())
    raise ArchiveError(f"{name} is {kind}, not text", where=str(path), hint="Store text.")


def _drop_unclear(table: pa.Table, unclear: pa.Table, dropped: Dropped) -> pa.Table:
    """Leave out what the archive's own list calls snowy, cloudy or shadowed."""
    reasons = np.full(len(unclear), "snow, cloud or shadow", dtype=object)
    for flag, reason in _FLAGS.items():
        if flag in unclear.column_names:
            reasons[unclear[flag].to_numpy()] = reason
    ids = unclear["patch_id"].to_numpy()
    new = ~np.isin(ids, [patch_id for left_out in dropped.values() for patch_id in left_out])
    for reason in dict.fromkeys(reasons):
        drop(dropped, reason, ids[(reasons == reason) & new])
    return table.filter(pc.invert(pc.is_in(table["patch_id"], unclear["patch_id"].combine_chunks())))


def _encode(table: pa.Table, path: Location) -> NDArray[np.uint8]:
    try:
        labels = encode_many(table["labels"].combine_chunks(), LABEL_NAMES)
    except LabelError as error:
        raise ArchiveError(error.what, where=str(path), hint=error.hint) from None
    bare = np.flatnonzero(~labels.any(axis=1))
    if len(bare):
        patch_id = table["patch_id"][int(bare[0])]
        raise ArchiveError(f"patch {patch_id} has no label", where=str(path), hint="Label it or remove its row.")
    return labels


def _check_splits(rows: pd.DataFrame, path: Location) -> None:
    strange = sorted(set(rows["split"]) - set(SPLITS))
    if strange:
        raise ArchiveError(f'unknown split "{strange[0]}"', where=str(path), hint=nearest(strange[0], SPLITS))


def _match_folders(rows: pd.DataFrame, images: Location, dropped: Dropped) -> NDArray[np.bool_]:
    """Which rows have a folder; rows without one and folders without a row are counted."""
    on_disk = {f"{tile}/{patch}" for tile in subfolders(images) for patch in subfolders(images / tile)}
    if not on_disk:
        raise ArchiveError("the archive has no patch folders", where=str(images), hint=_LAYOUT_HINT)
    present = rows["place"].isin(on_disk).to_numpy()
    drop(dropped, "missing folder", sorted(rows.loc[~present, "patch_id"]))
    named = set(rows["patch_id"]).union(*dropped.values())
    drop(
        dropped, "no metadata row", sorted(place.split("/")[1] for place in on_disk if place.split("/")[1] not in named)
    )
    return present


def _place_of(patch_id: str) -> str:
    """A patch lies in its tile's folder, whose name is the patch's without its two position numbers."""
    return f"{patch_id.rsplit('_', 2)[0]}/{patch_id}"
