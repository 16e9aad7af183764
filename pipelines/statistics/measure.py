"""Statistics of a packed dataset: its labels and its pixels, by split and country.

Flows in: a dataset folder. Flows out: `DatasetStatistics`, every number keyed by the name of what it counts.

Each row group is read once, by one of a few threads (pyarrow and numpy let go of Python's lock), and only its counts
are kept: memory stays the same however large the dataset is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import add

import numpy as np
from pydantic import Field

from pipelines.dataset.manifest import PACK_HINT, BandColumn, Manifest, Part, open_dataset
from pipelines.dataset.part_file import decode_columns, open_part
from pipelines.errors import ShardError
from pipelines.location import Location, locate
from pipelines.settings import Settings
from pipelines.statistics.counts import BandCounts, Bins, Counts, bins_of, count_rows

Found = dict[str, Counts]
"""Country to what its patches add up to."""

Bands = Mapping[str, tuple[BandColumn, Bins]]
"""Each band that is read, and where its histogram lies."""


class BandStatistics(Settings):
    """One band's pixels that were measured, in stored numbers."""

    pixels: int
    mean: float
    std: float = Field(description="of the population")
    min: float
    max: float
    low: float = Field(description="where the first bin begins")
    width: float = Field(description="of a bin")
    histogram: list[int] = Field(description="pixels in each bin")
    below: int = Field(description="pixels below the first bin")
    above: int = Field(description="pixels above the last bin")

    @property
    def edges(self) -> list[float]:
        """Bin i holds the numbers from edge i to below edge i + 1."""
        return [self.low + self.width * edge for edge in range(len(self.histogram) + 1)]


class GroupStatistics(Settings):
    """Some patches."""

    patches: int
    label_counts: dict[str, int] = Field(description="class to patches that have it")
    labels_per_patch: dict[int, int] = Field(description="number of labels to patches that have so many")
    co_occurrence: dict[str, dict[str, int]] = Field(description="class to class to patches that have both")
    bands: dict[str, BandStatistics] = Field(description="empty where pixels were not read or not there")


class DatasetStatistics(Settings):
    """All patches, and by split and country; splits without patches are absent."""

    dataset: str = Field(description="hash of the manifest")
    whole: GroupStatistics
    splits: dict[str, GroupStatistics]
    countries: dict[str, dict[str, GroupStatistics]] = Field(description="split to country; '' where unknown")

    @property
    def label_names(self) -> tuple[str, ...]:
        """In the dataset's order."""
        return tuple(self.whole.label_counts)

    @property
    def band_names(self) -> tuple[str, ...]:
        """In the dataset's order; none where pixels were not read."""
        return tuple(self.whole.bands)


def measure(
    folder: Location | str,
    progress: Callable[[int, int], None] | None = None,
    *,
    pixels: bool = True,
    threads: int = 0,
) -> DatasetStatistics:
    """Count everything once.

    Args:
        folder: the dataset.
        progress: called with patches done and patches in all.
        pixels: whether to read the bands; labels alone take seconds.
        threads: how many row groups are read at a time, a few tens of MB each; 0 takes one a core.

    Raises:
        ShardError: no dataset there, one without patches, or a damaged part.
        SettingsError, ServiceError: see `open_dataset`.
    """
    folder = locate(folder)
    manifest = open_dataset(folder)
    read = manifest.bands if pixels else []
    bands = {band.name: (band, bins_of(band, manifest.statistics[band.name])) for band in read}
    rows = sum(manifest.rows(split) for split in manifest.splits)
    if not rows:
        raise ShardError("the dataset has no patches", where=str(folder), hint=PACK_HINT)
    groups: dict[str, Found] = {split: {} for split in manifest.splits if manifest.rows(split)}
    done = 0
    for split, part, found in _count_parts(folder, manifest, bands, threads or os.cpu_count() or 1):
        _merge(groups[split], found.items())
        done += part.rows
        if progress:
            progress(done, rows)
    return statistics_of(manifest.hash, manifest.label_names, groups)


def _count_parts(folder: Location, manifest: Manifest, bands: Bands, threads: int) -> Iterator[tuple[str, Part, Found]]:
    parts = [(split, part) for split, parts in manifest.splits.items() for part in parts]
    pool = ThreadPoolExecutor(threads, thread_name_prefix="statistics")
    try:
        counted = pool.map(lambda each: _count_part(folder, each[1], bands), parts)
        for (split, part), found in zip(parts, counted, strict=True):
            yield split, part, found
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _count_part(folder: Location, part: Part, bands: Bands) -> Found:
    opened = open_part(folder, part)
    columns = {name: column for name, (column, _) in bands.items()}
    bins = {name: each for name, (_, each) in bands.items()}
    found: Found = {}
    for group in range(len(opened.groups)):
        read = decode_columns(opened.read([*bands, "country", "labels"], group), columns)
        _merge(found, count_rows(read, bins))
    return found


def _merge(into: Found, counts: Iterable[tuple[str, Counts]]) -> None:
    for country, more in counts:
        into[country] = into[country] + more if country in into else more


def statistics_of(dataset: str, names: Sequence[str], groups: Mapping[str, Mapping[str, Counts]]) -> DatasetStatistics:
    """Add up what was counted.

    Args:
        dataset: hash of the manifest.
        names: the classes, in the order of the counts.
        groups: split to country to counts; no split is empty.
    """
    splits = {split: reduce(add, found.values()) for split, found in groups.items()}
    return DatasetStatistics(
        dataset=dataset,
        whole=_group(reduce(add, splits.values()), names),
        splits={split: _group(counts, names) for split, counts in splits.items()},
        countries={
            split: {country: _group(counts, names) for country, counts in sorted(found.items())}
            for split, found in groups.items()
        },
    )


def _group(counts: Counts, names: Sequence[str]) -> GroupStatistics:
    pairs = counts.pairs.tolist()
    most = int(np.flatnonzero(counts.sizes).max())
    return GroupStatistics(
        patches=counts.patches,
        label_counts={name: pairs[place][place] for place, name in enumerate(names)},
        labels_per_patch=dict(enumerate(counts.sizes[: most + 1].tolist())),
        co_occurrence={name: dict(zip(names, row, strict=True)) for name, row in zip(names, pairs, strict=True)},
        bands={band: _band(pixels) for band, pixels in counts.bands.items() if pixels.sums.pixels},
    )


def _band(counts: BandCounts) -> BandStatistics:
    below, *histogram, above = counts.bins.tolist()
    return BandStatistics(
        pixels=counts.sums.pixels,
        mean=counts.sums.mean,
        std=counts.sums.std,
        min=counts.lowest,
        max=counts.highest,
        low=counts.where.low,
        width=counts.where.width,
        histogram=histogram,
        below=below,
        above=above,
    )
