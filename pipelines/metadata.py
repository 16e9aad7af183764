"""An archive's tables to a catalogue: which patches there are, what they show, which split they belong to.

Flows in: a BigEarthNet v2 archive folder. Flows out: a `Catalogue` of the patches to pack, and every patch that
is left out with its reason; nothing is dropped without being counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import ArchiveError, nearest
from pipelines.files import sha256_of
from pipelines.labels import LABEL_NAMES

IMAGES = "BigEarthNet-S2"
METADATA = "metadata.parquet"
UNCLEAR = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"
SPLITS = ("train", "validation", "test")

_COLUMNS = ("patch_id", "labels", "split", "country")
_FLAGS = {"contains_seasonal_snow": "seasonal snow", "contains_cloud_or_shadow": "cloud or shadow"}
_LAYOUT_HINT = f"A BigEarthNet v2 archive holds {IMAGES}/ and {METADATA} side by side."


@dataclass(frozen=True)
class Catalogue:
    """`rows`: patch_id, folder (relative to the images), labels (list of names), split, country; by patch_id.

    `dropped`: reason → ids of the patches left out for it. `checksum`: SHA-256 over the archive's tables.
    """

    images: Path
    rows: pd.DataFrame
    dropped: dict[str, list[str]]
    label_names: tuple[str, ...]
    checksum: str


def read_catalogue(source: Path) -> Catalogue:
    """Read and check the tables of a BigEarthNet v2 archive.

    Raises:
        ArchiveError: no archive there, or its tables are damaged or contradict themselves.
    """
    if not source.is_dir():
        raise ArchiveError("no such folder", where=str(source), hint="Give the archive's folder.")
    table, images = source / METADATA, source / IMAGES
    if not table.is_file() or not images.is_dir():
        missing = IMAGES + "/" if table.is_file() else METADATA
        raise ArchiveError(f"no archive here: {missing} is missing", where=str(source), hint=_LAYOUT_HINT)
    rows = _read_table(table)
    dropped: dict[str, list[str]] = {}
    for flag, reason in _FLAGS.items():
        if flag in rows:
            _drop(dropped, reason, rows.loc[rows[flag], "patch_id"])
            rows = rows[~rows[flag]]
    unclear = source / UNCLEAR
    if unclear.is_file():
        rows = _drop_unclear(rows, _read_table(unclear), dropped)
    _check_rows(rows, table)
    rows = rows.assign(folder=rows["patch_id"].map(_folder_of))
    rows = _match_folders(rows, images, dropped)
    if rows.empty:
        raise ArchiveError("no patch to pack", where=str(source), hint=_LAYOUT_HINT)
    checksum = "-".join(sha256_of(path)[:32] for path in (table, unclear) if path.is_file())
    columns = ["patch_id", "folder", "labels", "split", "country"]
    rows = rows.sort_values("patch_id")[columns].reset_index(drop=True)
    return Catalogue(images, rows, {why: sorted(ids) for why, ids in dropped.items()}, LABEL_NAMES, checksum)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError):
        raise ArchiveError("not a readable Parquet file", where=str(path), hint="Fetch the table again.") from None
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise ArchiveError(f"column {', '.join(missing)} is missing", where=str(path), hint=_LAYOUT_HINT)
    kind = table.schema.field("labels").type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise ArchiveError(f"labels are {kind}, not lists of names", where=str(path), hint="Store a list a patch.")
    rows: pd.DataFrame = table.to_pandas()
    empty = rows[list(_COLUMNS)].isna().any(axis=1)
    if empty.any():
        raise ArchiveError(f"{int(empty.sum())} rows have empty cells", where=str(path), hint="Fill or remove them.")
    twice = rows["patch_id"][rows["patch_id"].duplicated()]
    if len(twice):
        raise ArchiveError(f"patch {twice.iloc[0]} has two rows", where=str(path), hint="Keep one row a patch.")
    return rows


def _drop_unclear(rows: pd.DataFrame, unclear: pd.DataFrame, dropped: dict[str, list[str]]) -> pd.DataFrame:
    """Leave out what the archive's own list calls snowy, cloudy or shadowed."""
    reasons = pd.Series("snow, cloud or shadow", index=unclear.index)
    for flag, reason in _FLAGS.items():
        if flag in unclear:
            reasons = reasons.mask(unclear[flag], reason)
    for reason, group in unclear.groupby(reasons):
        _drop(dropped, str(reason), group["patch_id"])
    return rows[~rows["patch_id"].isin(unclear["patch_id"])]


def _check_rows(rows: pd.DataFrame, table: Path) -> None:
    strange = sorted(set(rows["split"]) - set(SPLITS))
    if strange:
        raise ArchiveError(f'unknown split "{strange[0]}"', where=str(table), hint=nearest(strange[0], SPLITS))
    names = set(rows["labels"].explode().dropna())
    unknown = sorted(str(name) for name in names - set(LABEL_NAMES))
    if unknown:
        raise ArchiveError(f'unknown class "{unknown[0]}"', where=str(table), hint=nearest(unknown[0], LABEL_NAMES))
    bare = rows.loc[rows["labels"].map(len) == 0, "patch_id"]
    if len(bare):
        raise ArchiveError(f"patch {bare.iloc[0]} has no label", where=str(table), hint="Label it or remove its row.")


def _match_folders(rows: pd.DataFrame, images: Path, dropped: dict[str, list[str]]) -> pd.DataFrame:
    """Keep rows that have a folder; count rows without one, and folders without a row."""
    on_disk = {
        f"{tile.name}/{patch.name}"
        for tile in sorted(images.iterdir())
        if tile.is_dir()
        for patch in tile.iterdir()
        if patch.is_dir()
    }
    if not on_disk:
        raise ArchiveError("the archive has no patch folders", where=str(images), hint=_LAYOUT_HINT)
    present = rows["folder"].isin(on_disk)
    _drop(dropped, "missing folder", rows.loc[~present, "patch_id"])
    named = set(rows["patch_id"]).union(*dropped.values())
    strays = pd.Series(sorted(path.split("/")[1] for path in on_disk if path.split("/")[1] not in named), dtype=str)
    _drop(dropped, "no metadata row", strays)
    return rows[present]


def _folder_of(patch_id: str) -> str:
    """A patch lies in its tile's folder, whose name is the patch's without its two position numbers."""
    return f"{patch_id.rsplit('_', 2)[0]}/{patch_id}"


def _drop(dropped: dict[str, list[str]], reason: str, ids: pd.Series) -> None:
    if len(ids):
        dropped.setdefault(reason, []).extend(ids)
