"""The dataset on disk: Parquet parts with one column a band at native resolution, and a manifest written last.

Flows in: rows of patches (from `pack`). Flows out: the columns that are asked for and no others, so that an RGB
run reads RGB bytes only.

    dataset/
      manifest.json              written last: a folder without it is not a dataset
      train/part-00000.parquet   patch_id, labels, country, crs, x, y and a column per band

A band's value is the patch's uint16 pixels with their byte planes apart, all low bytes and then all high bytes:
high bytes hardly vary, so zstd packs them to almost nothing (15 % smaller files, and faster to write, than
pixels as they come). Parquet has no 16-bit type; a fixed-size binary stores and reads without conversion.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from pipelines.errors import BandError, LandsweepError, ShardError, nearest
from pipelines.files import commit, sha256_of, sync
from pipelines.settings import Settings

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
ROWS_PER_GROUP = 64

_PACK_HINT = "Pack an archive with `landsweep data ingest SOURCE OUT`."


class BandColumn(Settings):
    name: str
    size: int = Field(gt=0, description="pixels a side")


class Part(Settings):
    file: str = Field(description="path relative to the dataset folder")
    rows: int
    bytes: int
    sha256: str


class Statistics(Settings):
    mean: float = Field(description="digital numbers, over the training split")
    std: float


class Manifest(Settings):
    """What a dataset folder holds; the hash of its JSON names the dataset."""

    format: int = FORMAT_VERSION
    source: dict[str, str] = Field(description="name and checksum of the archive")
    bands: list[BandColumn]
    label_names: list[str]
    splits: dict[str, list[Part]]
    statistics: dict[str, Statistics]
    label_counts: dict[str, dict[str, int]] = Field(description="split to class to patches")
    dropped: dict[str, list[str]] = Field(description="reason to ids of the patches left out")
    settings: dict[str, Any]
    versions: dict[str, str]

    @property
    def band_names(self) -> tuple[str, ...]:
        return tuple(band.name for band in self.bands)

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def rows(self, split: str) -> int:
        return sum(part.rows for part in self.splits.get(split, ()))

    def size_of(self, band: str) -> int:
        """Pixels a side of one band.

        Raises:
            BandError: the dataset has no such band.
        """
        sizes = {column.name: column.size for column in self.bands}
        if band not in sizes:
            raise BandError(f'the dataset has no band "{band}"', hint=nearest(band, sizes))
        return sizes[band]


def open_dataset(folder: Path) -> Manifest:
    """Read a dataset's manifest and check that its parts are there with their sizes.

    Raises:
        ShardError: no dataset there, one of a newer format, or one whose files do not match its manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        what = "no such dataset folder" if not folder.is_dir() else f"not a dataset: {MANIFEST} is missing"
        raise ShardError(what, where=str(folder), hint=_PACK_HINT)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.get("format") if isinstance(values, dict) else None
        if version != FORMAT_VERSION:
            raise ShardError(f"format {version}, this version reads {FORMAT_VERSION}", where=str(path), hint=_PACK_HINT)
        manifest = Manifest.model_validate(values)
    except (ValueError, ValidationError):
        raise ShardError("manifest is damaged", where=str(path), hint=_PACK_HINT) from None
    for part in _parts(manifest):
        file = folder / part.file
        if not file.is_file() or file.stat().st_size != part.bytes:
            raise ShardError("part is missing or cut off", where=str(file), hint=_PACK_HINT)
    return manifest


def check_dataset(folder: Path) -> Manifest:
    """Prove a dataset whole: every part's checksum as well as what `open_dataset` checks.

    Raises:
        ShardError: naming the first part that differs.
    """
    manifest = open_dataset(folder)
    for part in _parts(manifest):
        if sha256_of(folder / part.file) != part.sha256:
            raise ShardError("part's checksum differs", where=str(folder / part.file), hint=_PACK_HINT)
    return manifest


def _parts(manifest: Manifest) -> Iterable[Part]:
    return (part for parts in manifest.splits.values() for part in parts)


def write_part(folder: Path, file: str, columns: Mapping[str, Sequence[Any]], pixels: Mapping[str, Any]) -> Part:
    """Write one part aside and move it into place.

    Args:
        folder: the dataset folder.
        file: the part's name relative to it, such as `train/part-00000.parquet`.
        columns: patch_id, country, crs (text), x, y (float), labels (multi-hot uint8 vectors), one value a row.
        pixels: band to uint16 array of shape (rows, size, size).
    """
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    fields: dict[str, Any] = {name: pa.array(columns[name]) for name in ("patch_id", "country", "crs", "x", "y")}
    labels = np.ascontiguousarray(np.stack(columns["labels"]), dtype=np.uint8)
    fields["labels"] = _fixed_binary(labels)
    fields |= {band: _fixed_binary(split_planes(array)) for band, array in pixels.items()}
    aside = path.with_name(f".{path.name}")
    pq.write_table(
        pa.table(fields),
        aside,
        row_group_size=ROWS_PER_GROUP,
        compression="zstd",
        compression_level=1,
        use_dictionary=["country", "crs"],
        write_statistics=False,
    )
    sync(aside)
    part = Part(file=file, rows=len(labels), bytes=aside.stat().st_size, sha256=sha256_of(aside))
    commit(aside, path)
    return part


def decode_columns(table: pa.Table, sizes: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Arrays of one table: each band (rows, size, size) uint16, `labels` (rows, classes) uint8, `patch_id` objects."""
    arrays: dict[str, NDArray[Any]] = {
        band: join_planes(_bytes_of(table[band]), size) for band, size in sizes.items() if band in table.column_names
    }
    if "labels" in table.column_names:
        arrays["labels"] = _bytes_of(table["labels"]).copy()
    if "patch_id" in table.column_names:
        arrays["patch_id"] = table["patch_id"].to_numpy()
    return arrays


def split_planes(array: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """(rows, size, size) uint16 to (rows, 2 × size × size) uint8: low bytes, then high bytes."""
    rows = len(array)
    pairs = np.ascontiguousarray(array, dtype="<u2").view(np.uint8).reshape(rows, -1, 2)
    return np.ascontiguousarray(pairs.transpose(0, 2, 1)).reshape(rows, -1)


def join_planes(planes: NDArray[np.uint8], size: int) -> NDArray[np.uint16]:
    """Inverse of `split_planes`."""
    low, high = planes[:, : size * size], planes[:, size * size :]
    pixels = high.astype(np.uint16)
    pixels <<= 8
    pixels |= low
    return pixels.reshape(len(planes), size, size)


def _fixed_binary(rows: NDArray[np.uint8]) -> pa.Array:
    count, width = rows.shape
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), count, [None, pa.py_buffer(rows)])


def _bytes_of(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    width = column.type.byte_width
    chunks = [
        np.frombuffer(chunk.buffers()[1], np.uint8, len(chunk) * width, chunk.offset * width).reshape(-1, width)
        for chunk in column.chunks
        if len(chunk)
    ]
    if len(chunks) == 1:
        return chunks[0]
    return np.concatenate(chunks) if chunks else np.empty((0, width), dtype=np.uint8)


def read_table(path: Path, columns: Sequence[str]) -> pa.Table:
    """Read the named columns of one part.

    Raises:
        ShardError: the part cannot be decoded.
    """
    try:
        return pq.read_table(path, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, LandsweepError):
            raise
        raise ShardError("part cannot be decoded", where=str(path), hint=_PACK_HINT) from None
