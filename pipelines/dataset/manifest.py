"""What a dataset folder holds, in one JSON file that is written last: a folder without it is not a dataset.

Flows in: what the ingest counted. Flows out: a `Manifest`, checked against the files it names.

    dataset/
      manifest.json              this
      train/part-00000.parquet   rows; see `part_file`
      validation/…  test/…
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import Field, ValidationError

from pipelines.errors import BandError, ShardError, nearest
from pipelines.files import sha256_of
from pipelines.location import Location, is_local, locate, reach
from pipelines.pixels.meaning import REFLECTANCE, Encoding, Known
from pipelines.settings import Settings

FORMAT_VERSION = 3
READ = (2, 3)
"""Formats that are read: in the second all numbers are uint16, and mean what everybody takes them for."""

MANIFEST = "manifest.json"

_SINCE_3 = {"notes": True, "bands": {"__all__": {"numbers"}}, "statistics": {"__all__": {"quantiles"}}}
"""What older manifests do not have, and are not called by."""

PACK_HINT = "Pack an archive with `landsweep data ingest SOURCE OUT`."


class BandColumn(Settings):
    """One band of the dataset: its name, its own resolution as the side of a patch, and what its numbers are."""

    name: str
    size: int = Field(gt=0, description="pixels a side")
    numbers: Encoding = Field(default=Encoding(), description="how they are stored, and what they mean")


class Part(Settings):
    """One Parquet file: the patches it holds, and what proves it: its size, its checksum and that of its footer."""

    file: str = Field(description="path relative to the dataset folder")
    rows: int
    bytes: int
    sha256: str
    footer: str = Field(description="SHA-256 of the Parquet footer")


class Statistics(Settings):
    """One band's mean and standard deviation (of the population): what a net subtracts, and divides by."""

    mean: float = Field(description="of the stored numbers, over the training split, without what is no data")
    std: float
    quantiles: dict[str, float] = Field(default={}, description="percent to the number that so many are below")


class Manifest(Settings):
    """What a dataset folder holds; the hash of its JSON names the dataset."""

    format: int = FORMAT_VERSION
    source: dict[str, str] = Field(description="name, layout and checksum of the archive")
    bands: list[BandColumn]
    label_names: list[str]
    splits: dict[str, list[Part]]
    statistics: dict[str, Statistics]
    label_counts: dict[str, dict[str, int]] = Field(description="split to class to patches")
    country_counts: dict[str, dict[str, int]] = Field(description="split to country to patches; '' where unknown")
    dropped: dict[str, list[str]] = Field(description="reason to ids of the patches left out")
    unmapped: dict[str, int] = Field(description="source class that has no class here, to patches that had it")
    notes: dict[str, int] = Field(default={}, description="what was done to files so that all mean the same, to files")
    settings: dict[str, Any]
    versions: dict[str, str]

    @property
    def band_names(self) -> tuple[str, ...]:
        """In the order in which they were packed."""
        return tuple(band.name for band in self.bands)

    @property
    def hash(self) -> str:
        """SHA-256 of its JSON, in hexadecimal: what bundles, runs and statistics call the dataset."""
        unsaid: Any = _SINCE_3 if self.format < 3 else None
        return hashlib.sha256(self.model_dump_json(exclude=unsaid).encode()).hexdigest()

    def rows(self, split: str) -> int:
        """Patches of a split; 0 of one that the dataset has not."""
        return sum(part.rows for part in self.splits.get(split, ()))

    def column(self, band: str) -> BandColumn:
        """What is said of one band.

        Raises:
            BandError: the dataset has no such band.
        """
        columns = {column.name: column for column in self.bands}
        if band not in columns:
            raise BandError(f'the dataset has no band "{band}"', hint=nearest(band, columns))
        return columns[band]

    def size_of(self, band: str) -> int:
        """Pixels a side of one band.

        Raises:
            BandError: the dataset has no such band.
        """
        return self.column(band).size

    def known(self, band: str) -> Known:
        """What an upload's numbers of one band are held against.

        Raises:
            BandError: the dataset has no such band.
        """
        numbers = self.column(band).numbers.model_dump()
        return Known(**numbers, quantiles=self.statistics[band].quantiles)

    def parts(self, split: str) -> list[Part]:
        """A split's parts.

        Raises:
            ShardError: the split has no rows.
        """
        parts = self.splits.get(split)
        if not parts:
            raise ShardError(f'the dataset has no patches in split "{split}"', hint="Ingest more.")
        return parts


def open_dataset(folder: Location | str) -> Manifest:
    """Read a dataset's manifest; on a disk, check also that its parts are there with their sizes.

    Raises:
        ShardError: no dataset there, one of another format, or one whose files do not match its manifest.
        SettingsError: see `locate`.
        ServiceError: the object store does not answer.
    """
    folder = locate(folder)
    reach(folder)
    path = folder / MANIFEST
    if not path.is_file():
        what = "no such dataset folder" if not folder.is_dir() else f"not a dataset: {MANIFEST} is missing"
        raise ShardError(what, where=str(folder), hint=PACK_HINT)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.get("format") if isinstance(values, dict) else None
        if version not in READ:
            known = " and ".join(map(str, READ))
            raise ShardError(f"format {version}, this version reads {known}", where=str(path), hint=PACK_HINT)
        manifest = _with_meaning(Manifest.model_validate(values))
    except (ValueError, ValidationError):
        raise ShardError("manifest is damaged", where=str(path), hint=PACK_HINT) from None
    if is_local(folder):
        for part in _all_parts(manifest):
            _check_size(folder / part.file, part)
    return manifest


def _with_meaning(manifest: Manifest) -> Manifest:
    """What an older manifest leaves unsaid: BigEarthNet's numbers are reflectance × 10,000."""
    if manifest.format >= 3 or not manifest.source.get("kind", "").startswith("BigEarthNet"):
        return manifest
    return manifest.model_copy(
        update={"bands": [band.model_copy(update={"numbers": REFLECTANCE}) for band in manifest.bands]}
    )


def check_dataset(folder: Location | str) -> Manifest:
    """Prove a dataset whole: every part's checksum as well as what `open_dataset` checks.

    Raises:
        ShardError: naming the first part that differs; or see `open_dataset`.
        SettingsError, ServiceError: see `open_dataset`.
    """
    folder = locate(folder)
    manifest = open_dataset(folder)

    def check(part: Part) -> None:
        _check_size(folder / part.file, part)
        if sha256_of(folder / part.file) != part.sha256:
            raise ShardError("part's checksum differs", where=str(folder / part.file), hint=PACK_HINT)

    with ThreadPoolExecutor() as threads:
        _drain(threads.map(check, _all_parts(manifest)))
    return manifest


def _check_size(file: Location, part: Part) -> None:
    if not file.is_file() or file.stat().st_size != part.bytes:
        raise ShardError("part is missing or cut off", where=str(file), hint=PACK_HINT)


def _all_parts(manifest: Manifest) -> Iterator[Part]:
    return (part for parts in manifest.splits.values() for part in parts)


def _drain(results: Iterable[None]) -> None:
    for _ in results:
        pass
