"""One part of a dataset: a Parquet file with one column a band at native resolution.

Flows in: arrays of a few hundred patches (from `packing.part`). Flows out: the columns that are asked for and no
others, so that an RGB run reads RGB bytes only.

A part has patch_id, country, crs, x, y, nodata, labels and a column a band. A band's value is a struct of byte planes:
`low` and `high` of a patch's 16-bit pixels, `low` alone of 8 bits, and four of float32, of which `high` is the last.
Sensor noise fills the low bytes, which no codec shrinks: they are stored as they are and read at memory speed. The high
bytes hardly vary, and zstd packs them to a quarter. That is smaller than zstd over both, and is read 1.4 × faster
(`benchmarks/codecs.py`). Parquet has no 16-bit type; fixed-size binary stores and reads without conversion. Pages carry
checksums, and the manifest has that of the footer; both are verified whenever they are read, since what is stored as it
is would otherwise hide a flipped bit.
"""

from __future__ import annotations

import errno
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.dataset.manifest import PACK_HINT, BandColumn, Part
from pipelines.errors import ShardError
from pipelines.files import write_whole
from pipelines.location import Location, is_local, unreachable
from pipelines.pixels.encoding import read

ROWS_PER_GROUP = 64
LOW, HIGH = "low", "high"
TEXT_AND_PLACE = ("patch_id", "country", "crs", "x", "y", "nodata")

_PLANES = {1: (LOW,), 2: (LOW, HIGH), 4: (LOW, "second", "third", HIGH)}
"""Bytes of a number to the names of its planes, the least byte first."""

_MAGIC = b"PAR1"
_TAIL = 8  # the footer's length and the magic, after it
_NOT_THE_FILES = {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBUSY, errno.ETIMEDOUT}
"""What is wrong with the machine, or says a store's client of the store."""


def write_part(folder: Location, file: str, columns: Mapping[str, Sequence[Any]], pixels: Mapping[str, Any]) -> Part:
    """Commit one part.

    Args:
        folder: the dataset folder.
        file: the part's name relative to it, such as `train/part-00000.parquet`.
        columns: patch_id, country, crs (text), x, y (float: the patch's upper left corner in the units of its crs, NaN
            where it has no place), nodata (float: the share of the patch that was not measured, of the band that lacks
            most), labels (multi-hot uint8 vectors), one value a row.
        pixels: band to array of shape (rows, size, size), of one of the types of `meaning.KINDS`.

    Raises:
        StorageError: the disk is full.
        ServiceError: the object store does not take it.
    """
    fields: dict[str, Any] = {name: pa.array(columns[name]) for name in TEXT_AND_PLACE}
    labels = np.ascontiguousarray(np.stack(columns["labels"]), dtype=np.uint8)
    fields["labels"] = _fixed_binary(labels)
    planes = {band: split_planes(array) for band, array in pixels.items()}
    fields |= {band: _planes_array(found) for band, found in planes.items()}
    packed = {f"{band}.{name}": _codec(name, len(found)) for band, found in planes.items() for name in found}
    data = _encode(pa.table(fields), packed)
    write_whole(folder / file, data)
    sums = (hashlib.sha256(each).hexdigest() for each in (data, _footer_of(data)))
    return Part(file=file, rows=len(labels), bytes=len(data), **dict(zip(("sha256", "footer"), sums, strict=True)))


def _codec(plane: str, planes: int) -> str:
    """Of fractions the third byte is the mantissa's upper half, and of one byte there is no other: both shrink."""
    return "none" if plane == "second" or (plane == LOW and planes > 1) else "zstd"


def _encode(table: pa.Table, packed: Mapping[str, str]) -> bytes:
    """Parquet bytes of a table; the same rows give the same bytes. `packed`: leaf of a band to its codec."""
    bands = {leaf.rpartition(".")[0] for leaf in packed}
    codecs = {name: "zstd" for name in table.column_names if name not in bands} | dict(packed)
    target = io.BytesIO()
    pq.write_table(
        table,
        target,
        row_group_size=ROWS_PER_GROUP,
        compression=codecs,
        compression_level={leaf: 1 for leaf, codec in codecs.items() if codec == "zstd"},
        use_dictionary=["country", "crs"],
        write_statistics=False,
        write_page_checksum=True,
    )
    return target.getvalue()


def split_planes(array: NDArray[Any]) -> dict[str, NDArray[np.uint8]]:
    """(rows, size, size) of 1, 2 or 4 bytes to its planes of bytes by name, each (rows, size × size) uint8."""
    names = _PLANES[array.itemsize]
    flat = array.reshape(len(array), -1).view(f"<u{array.itemsize}")
    return {name: (flat >> (8 * place) if place else flat).astype(np.uint8) for place, name in enumerate(names)}


def join_planes(planes: Mapping[str, NDArray[np.uint8]], dtype: str, size: int) -> NDArray[Any]:
    """Inverse of `split_planes`: (rows, size, size) of the given type."""
    wide = np.dtype(f"<u{np.dtype(dtype).itemsize}")
    names = _PLANES[wide.itemsize]
    pixels = planes[names[-1]].astype(wide)
    for name in reversed(names[:-1]):
        pixels <<= 8
        pixels |= planes[name]
    return pixels.view(dtype).reshape(-1, size, size)


def decode_columns(table: pa.Table, columns: Mapping[str, BandColumn]) -> dict[str, NDArray[Any]]:
    """Arrays of one table: each band (rows, size, size) of its own type, float32 with NaN where there is no data;
    `labels` (rows, classes) uint8; other columns as they are, (rows,)."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in table.column_names:
        column = table[name]
        if name in columns:
            band = columns[name]
            arrays[name] = read(band.numbers, join_planes(_planes_of(column), band.numbers.dtype, band.size))
        elif pa.types.is_fixed_size_binary(column.type):
            arrays[name] = _bytes_of(column.combine_chunks()).copy()
        else:
            arrays[name] = column.to_numpy()
    return arrays


def sample_columns(table: pa.Table, columns: Mapping[str, BandColumn], most: int) -> dict[str, NDArray[Any]]:
    """Numbers of each band, (numbers,), as `decode_columns` has them: all, or about so many from all over the table.

    Args:
        table: bands alone.
        columns: of each of them.
        most: at least 1.
    """
    found: dict[str, NDArray[Any]] = {}
    for name in table.column_names:
        numbers = columns[name].numbers
        planes = {key: plane.reshape(-1) for key, plane in _planes_of(table[name]).items()}
        step = planes[LOW].size // most | 1  # an odd step does not keep to one column
        taken = {key: plane[::step] for key, plane in planes.items()}
        found[name] = read(numbers, join_planes(taken, numbers.dtype, 1).reshape(-1))
    return found


def _planes_of(column: pa.ChunkedArray) -> dict[str, NDArray[np.uint8]]:
    """A band's planes of bytes by name, each (rows, size × size), in place."""
    whole = column.combine_chunks()
    return {field.name: _bytes_of(plane) for field, plane in zip(whole.type, whole.flatten(), strict=True)}


@dataclass(frozen=True)
class OpenPart:
    """One part whose footer was read and proved. Its pages prove themselves when they are read."""

    location: Location
    footer: pq.FileMetaData

    @property
    def groups(self) -> list[int]:
        """Rows of each row group."""
        return [self.footer.row_group(number).num_rows for number in range(self.footer.num_row_groups)]

    def read(self, columns: Sequence[str], group: int) -> pa.Table:
        """The named columns of one row group; on a disk its pages are mapped, not copied.

        Raises:
            ShardError: the file is gone, or damaged.
            ServiceError: the object store does not answer.
        """
        try:
            with self._file() as file:
                return file.read_row_group(group, columns=list(columns), use_threads=False)
        except Exception as error:
            raise trouble(self.location, error) from None

    def _file(self) -> pq.ParquetFile:
        options = {"metadata": self.footer, "page_checksum_verification": True}
        if is_local(self.location):
            return pq.ParquetFile(str(self.location), memory_map=True, **options)
        return pq.ParquetFile(self.location.open("rb"), pre_buffer=True, **options)


def open_part(folder: Location, part: Part) -> OpenPart:
    """Read and prove the footer of one part: it says where everything lies, and has no checksum of its own.

    Raises:
        ShardError: the file is not there, or its footer is not the one that was written.
        ServiceError: the object store does not answer.
    """
    location = folder / part.file
    try:
        with location.open("rb") as file:
            file.seek(-_TAIL, io.SEEK_END)
            length = int.from_bytes(file.read(4), "little")
            file.seek(-_TAIL - length, io.SEEK_END)
            footer = file.read(length + _TAIL)
    except Exception as error:
        raise trouble(location, error) from None
    if hashlib.sha256(footer).hexdigest() != part.footer:
        raise _damaged(location)
    return OpenPart(location, pq.read_metadata(pa.BufferReader(_MAGIC + footer)))


def _footer_of(data: bytes) -> bytes:
    return data[-_TAIL - int.from_bytes(data[-_TAIL : 4 - _TAIL], "little") :]


def _damaged(location: Location) -> ShardError:
    return ShardError("part is damaged", where=str(location), hint=PACK_HINT)


def trouble(location: Location, error: Exception) -> Exception:
    """What to raise of a part that could not be read: it is damaged, unless the machine or the store is at fault.

    Returns:
        A ShardError; the error itself where the machine is at fault; a ServiceError where the store is.
    """
    ours = isinstance(error, OSError) and error.errno in _NOT_THE_FILES
    if isinstance(error, MemoryError) or (ours and is_local(location)):
        return error
    if not ours and isinstance(error, pa.ArrowException | OSError | ValueError):
        return _damaged(location)
    return error if is_local(location) else unreachable(location, error)


def _planes_array(planes: Mapping[str, NDArray[np.uint8]]) -> pa.StructArray:
    arrays = {name: _fixed_binary(plane) for name, plane in planes.items()}
    fields = [pa.field(name, array.type, nullable=False) for name, array in arrays.items()]
    return pa.StructArray.from_arrays(list(arrays.values()), fields=fields)


def _fixed_binary(rows: NDArray[np.uint8]) -> pa.Array:
    count, width = rows.shape
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), count, [None, pa.py_buffer(rows)])


def _bytes_of(array: pa.FixedSizeBinaryArray) -> NDArray[np.uint8]:
    """(rows, width) uint8, in place."""
    width = array.type.byte_width
    return np.frombuffer(array.buffers()[1], np.uint8, len(array) * width, array.offset * width).reshape(-1, width)
