"""Rows that stay in the shards until they are needed: for data larger than the object store.

Flows in: a dataset folder, a split, a band set. Flows out: a `Stream`, which has the face of `feed.Rows`.

An epoch goes over the row groups in an order drawn from the seed. Threads read and decode some groups ahead, into a
window; when it is full, its rows are dealt in random order, and what does not fill a batch waits for the next one.
Groups lie all over the dataset, and rows were drawn by lot when they were packed, so a window is a fair sample of the
split. Nothing here asks Ray for anything: trials that hold every CPU of the cluster go on reading.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ShardError
from pipelines.feed import Chunk, Split, check_bands
from pipelines.location import Location, locate
from pipelines.manifest import PACK_HINT, Manifest, Part
from pipelines.shards import OpenPart, decode_columns, open_part

WINDOW_BYTES = 64 * 2**20
"""Native pixels of one window: 410 patches of all bands, 750 of RGB. A stream holds up to two of them."""

THREADS = 2
"""Readers of a stream. Two keep up with a GPU that takes 5,000 patches a second."""


class Group(NamedTuple):
    """One row group: its part, its number in it, and the split's rows that it holds."""

    part: OpenPart
    number: int
    start: int
    rows: int


@dataclass(frozen=True)
class Stream:
    """Rows in the shards; see the module's text."""

    folder: Location
    manifest: Manifest
    split: str
    bands: tuple[str, ...]
    window_bytes: int = WINDOW_BYTES
    threads: int = THREADS

    def __len__(self) -> int:
        return self.manifest.rows(self.split)

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        return np.concatenate([chunk["labels"] for chunk in self._columns(["labels"])])

    @cached_property
    def patch_ids(self) -> NDArray[Any]:
        return np.concatenate([chunk["patch_id"] for chunk in self._columns(["patch_id"])])

    def _columns(self, names: list[str]) -> Iterator[Chunk]:
        with ThreadPoolExecutor(self.threads) as pool:
            tables = pool.map(lambda group: group.part.read(names, group.number), self.groups)
            yield from (decode_columns(table, {}) for table in tables)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """All row groups of the split, in its own order."""
        found: list[Group] = []
        start = 0
        with ThreadPoolExecutor(self.threads) as pool:
            for opened in pool.map(self._open, self.manifest.parts(self.split)):
                for number, rows in enumerate(opened.groups):
                    found.append(Group(opened, number, start, rows))
                    start += rows
        return tuple(found)

    def _open(self, part: Part) -> OpenPart:
        opened = open_part(self.folder, part)
        if sum(opened.groups) != part.rows:
            what = f"part has {sum(opened.groups)} rows, the manifest says {part.rows}"
            raise ShardError(what, where=part.file, hint=PACK_HINT)
        return opened

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return {band: self.manifest.size_of(band) for band in self.bands}

    def select(self, bands: Sequence[str]) -> Stream:
        check_bands(bands, self.bands)
        return Stream(self.folder, self.manifest, self.split, tuple(bands), self.window_bytes, self.threads)

    def take(self, rows: NDArray[np.int64]) -> Chunk:
        starts = [group.start for group in self.groups]
        owner = np.searchsorted(starts, rows, side="right") - 1
        needed = np.unique(owner)
        split = Split(self.bands, tuple(self._read(self.groups[number]) for number in needed))
        offsets = np.cumsum([0, *(self.groups[number].rows for number in needed)])
        place = np.searchsorted(needed, owner)
        return split.take(rows - np.asarray(starts)[owner] + offsets[place])

    def epoch(self, batch_size: int, seed: Sequence[int] | None) -> Iterator[Chunk]:
        rng = None if seed is None else np.random.default_rng(seed)
        order = np.arange(len(self.groups)) if rng is None else rng.permutation(len(self.groups))
        held: tuple[Chunk, ...] = ()
        for window in _windows(self._read_ahead(order), self._groups_a_window):
            split = Split(self.bands, (*held, *window))
            rows = np.arange(len(split))
            if rng is not None:
                rng.shuffle(rows)
            whole = len(rows) - len(rows) % batch_size
            for start in range(0, whole, batch_size):
                yield split.take(rows[start : start + batch_size])
            held = (split.take(rows[whole:]),) if whole < len(rows) else ()
        if held:
            yield held[0]

    @property
    def _groups_a_window(self) -> int:
        largest = max(group.rows for group in self.groups) * sum(2 * size * size for size in self._sizes.values())
        return max(1, self.window_bytes // largest)

    def _read_ahead(self, order: NDArray[np.int64]) -> Iterator[Chunk]:
        """Groups in the given order, with as many under way as make up the next window."""
        waiting: deque[Future[Chunk]] = deque()
        numbers = iter(order.tolist())
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="stream")
        try:
            for number in islice(numbers, self._groups_a_window):
                waiting.append(pool.submit(self._read, self.groups[number]))
            while waiting:
                chunk = waiting.popleft().result()
                for number in islice(numbers, 1):
                    waiting.append(pool.submit(self._read, self.groups[number]))
                yield chunk
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, group: Group) -> Chunk:
        return decode_columns(group.part.read([*self.bands, "labels"], group.number), self._sizes)


def open_stream(folder: Location | str, split: str, bands: Sequence[str], manifest: Manifest) -> Stream:
    """A stream over one split.

    Raises:
        ShardError: the split is empty.
        BandError: the dataset lacks a band.
    """
    manifest.parts(split)
    for band in bands:
        manifest.size_of(band)
    return Stream(locate(folder), manifest, split, tuple(bands))


def _windows(chunks: Iterator[Chunk], size: int) -> Iterator[tuple[Chunk, ...]]:
    while window := tuple(islice(chunks, size)):
        yield window
