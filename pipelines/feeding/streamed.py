"""Rows that stay in the shards until they are needed: for data larger than the object store.

Flows in: a dataset folder, a split, a band set. Flows out: a `Stream`, which has the face of `rows.Rows`.

An epoch goes over the row groups in an order drawn from the seed. Threads read and decode some groups ahead, into a
window; when it is full, its rows are dealt in random order, and what does not fill a batch waits for the next one.
Groups lie all over the dataset, and rows were drawn by lot when they were packed, so a window is a fair sample of the
split. Where rows are drawn by weight, that is done for the whole split before the epoch, as it is from memory: a row
drawn three times comes three times from its window, and a group of which no row was drawn is not read. Nothing here
asks Ray for anything: trials that hold every CPU of the cluster go on reading.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.dataset.manifest import PACK_HINT, BandColumn, Manifest, Part
from pipelines.dataset.part_file import OpenPart, decode_columns, open_part
from pipelines.errors import ShardError
from pipelines.feeding.epoch_order import ALL, Plan
from pipelines.feeding.rows import Chunk, Split, check_bands, check_rows
from pipelines.location import Location, locate

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
        """Read from all row groups when first asked for, without their pixels, and kept."""
        return np.concatenate([chunk["labels"] for chunk in self._columns(["labels"])])

    @cached_property
    def patch_ids(self) -> NDArray[Any]:
        """Read from all row groups when first asked for, without their pixels, and kept."""
        return np.concatenate([chunk["patch_id"] for chunk in self._columns(["patch_id"])])

    def _columns(self, names: list[str]) -> Iterator[Chunk]:
        with ThreadPoolExecutor(self.threads) as pool:
            tables = pool.map(lambda group: group.part.read(names, group.number), self.groups)
            yield from (decode_columns(table, {}) for table in tables)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """All row groups of the split, in its own order; for them, every part's footer is read and proved.

        Raises:
            ShardError: the split is empty, or a part is damaged, or has other rows than the manifest says.
            ServiceError: the object store does not answer.
        """
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
    def _described(self) -> dict[str, BandColumn]:
        return {band: self.manifest.column(band) for band in self.bands}

    def select(self, bands: Sequence[str]) -> Stream:
        """Another stream over the same split; what this one has read already is not handed on."""
        check_bands(bands, self.bands)
        return Stream(self.folder, self.manifest, self.split, tuple(bands), self.window_bytes, self.threads)

    def take(self, rows: NDArray[np.int64]) -> Chunk:
        """In the order of `rows`, which may repeat; each row group that holds some of them is read once."""
        check_rows(rows, len(self))
        starts = [group.start for group in self.groups]
        owner = np.searchsorted(starts, rows, side="right") - 1
        needed = np.unique(owner) if len(rows) else np.array([0])  # no rows have their bands and sizes too
        split = Split(self.bands, tuple(self._read(self.groups[number]) for number in needed))
        offsets = np.cumsum([0, *(self.groups[number].rows for number in needed)])
        place = np.searchsorted(needed, owner)
        return split.take(rows - np.asarray(starts)[owner] + offsets[place])

    def epoch(self, batch_size: int, seed: Sequence[int] | None, plan: Plan = ALL) -> Iterator[Chunk]:
        """The order is drawn over row groups, and then within a window of them; see the module's text."""
        rng = None if seed is None else np.random.default_rng(seed)
        drawn = None if plan.weights is None else self._drawn(plan, rng)
        order = np.arange(len(self.groups)) if rng is None else rng.permutation(len(self.groups))
        if drawn is not None:
            order = np.array([number for number in order if drawn[number].any()])
        steps, step = plan.steps(len(self), batch_size), 0
        held: tuple[Chunk, ...] = ()
        for numbers, window in self._windows(order):
            split = Split(self.bands, (*held, *window))
            rows = np.arange(len(split))
            if drawn is not None:
                before = [np.ones(len(chunk["labels"]), np.int64) for chunk in held]
                rows = rows.repeat(np.concatenate([*before, *(drawn[number] for number in numbers)]))
            if rng is not None:
                rng.shuffle(rows)
            # The last batch is dealt at the end: only then is it known that no more rows come.
            ready = min(len(rows) // batch_size, steps - 1 - step)
            for start in range(0, ready * batch_size, batch_size):
                if step >= plan.skip:
                    yield split.take(np.sort(plan.mine(rows[start : start + batch_size])))
                step += 1
            left = rows[ready * batch_size :]
            held = (split.take(left),) if len(left) else ()
        if held and step >= plan.skip:
            last = Split(self.bands, held)
            yield last.take(plan.mine(np.arange(len(last))))

    def _drawn(self, plan: Plan, rng: np.random.Generator | None) -> list[NDArray[np.int64]]:
        """How often each row of each group is drawn."""
        assert rng is not None, "drawing needs a seed"
        counts = np.bincount(plan.draw(len(self), rng), minlength=len(self))
        return np.split(counts, [group.start for group in self.groups[1:]])

    @property
    def _groups_a_window(self) -> int:
        patch = sum(band.numbers.bytes * band.size**2 for band in self._described.values())
        largest = patch * max(group.rows for group in self.groups)
        return max(1, self.window_bytes // largest)

    def _windows(self, order: NDArray[np.int64]) -> Iterator[tuple[list[int], tuple[Chunk, ...]]]:
        """Windows of row groups in the given order: their numbers, and what they hold."""
        with closing(self._read_ahead(order)) as chunks:
            for start in range(0, len(order), self._groups_a_window):
                numbers = order[start : start + self._groups_a_window].tolist()
                yield numbers, tuple(islice(chunks, len(numbers)))

    def _read_ahead(self, order: NDArray[np.int64]) -> Generator[Chunk]:
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
        return decode_columns(group.part.read([*self.bands, "labels"], group.number), self._described)


def open_stream(folder: Location | str, split: str, bands: Sequence[str], manifest: Manifest) -> Stream:
    """A stream over one split.

    Raises:
        ShardError: the split is empty.
        BandError: the dataset lacks a band.
        SettingsError: see `locate`.
    """
    manifest.parts(split)
    for band in bands:
        manifest.column(band)
    return Stream(locate(folder), manifest, split, tuple(bands))
