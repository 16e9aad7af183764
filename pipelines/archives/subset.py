"""A part of a dataset that shows what the whole shows: every class, what is seen together, and where.

Flows in: how much is wanted, as people write it ("10%", "0.5%", "5000"); labels, groups (splits) and places
(countries) by row. Flows out: the rows to keep, the same for one seed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import product

import numpy as np
from numpy.typing import NDArray

from pipelines.archives.quotas import Bools, Codes, Ints, Strata, apportion, proportional, stratify
from pipelines.errors import InputError, SettingsError

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%")
_COUNT = re.compile(r"[0-9]{1,18}")
_HINT = 'Write a percentage above 0% and up to 100%, such as "10%" or "0.5%", or a number of patches, such as "5000".'


@dataclass(frozen=True)
class Subset:
    """A share of all patches (`percent`, above 0 and up to 100) or a number of them (`count`, from 1): one is set."""

    percent: Decimal | None = None
    count: int | None = None

    def size_of(self, total: int) -> int:
        """Patches to draw from `total`: a share is rounded half up, and is one patch at least.

        Raises:
            SettingsError: more patches are asked for than there are.
        """
        if self.count is not None:
            wanted = self.count
        else:
            wanted = max(1, int(Fraction(self.percent or 0) * total / 100 + Fraction(1, 2)))
        if wanted > total:
            raise SettingsError(f"{self} asks for {wanted} patches, there are {total}", where="subset", hint=_HINT)
        return wanted

    def __str__(self) -> str:
        return str(self.count) if self.percent is None else f"{self.percent.normalize():f}%"


def parse_subset(text: str) -> Subset:
    """Read a percentage in (0, 100] or a whole number of patches.

    Raises:
        SettingsError: it is neither, or out of range.
    """
    given = text.strip()
    if found := _PERCENT.fullmatch(given):
        percent = Decimal(found[1])
        if 0 < percent <= 100:
            return Subset(percent=percent)
        raise SettingsError(f"{given} is not above 0% and up to 100%", where="subset", hint=_HINT)
    if not _COUNT.fullmatch(given):
        shown = given if len(given) <= 40 else f"{given[:39]}…"
        raise SettingsError(f'"{shown}" is neither a percentage nor a whole number', where="subset", hint=_HINT)
    if int(given) == 0:
        raise SettingsError("a subset of 0 patches is none", where="subset", hint=_HINT)
    return Subset(count=int(given))


def draw_subset(
    labels: NDArray[np.uint8] | Bools, groups: Codes, size: int, seed: int, *, within: Codes | None = None
) -> Ints:
    """Draw `size` rows, stratified by group and label combination.

    Exact:
    - `size` rows, and of each group its proportional share by largest remainder, so within 1 of it.
    - A group whose share has as many rows as the group has classes keeps them all. If all groups have all classes,
      `size` rows as there are classes are enough to keep every class somewhere.
    - A label combination of a group has its proportional share rounded up or down. Exceptions are made only so that
      no class goes missing: a combination that is kept for a class's sake, and those that give way to it.

    As near as exchanges bring it, without a promise: frequencies of classes and of pairs of classes in each group.
    Each place's share is kept the same way, last of all: of each label combination within 1, in all nearly so.
    With fewer rows than classes, a greedy cover keeps as many classes as it finds (the best is hard to find); where
    groups compete for the same class, the first group keeps it.

    Args:
        labels: (rows, classes), 0 or 1.
        groups: (rows,), one code a row, such as its split's; the lowest code comes first where there is a choice.
        size: rows to draw.
        seed: 0 or above.
        within: (rows,), codes of what else to keep in proportion in each group, such as the country; none by default.

    Returns:
        (size,) int64, rows in ascending order.

    Raises:
        InputError: fewer rows than `size`, or the arrays' lengths differ.
    """
    rows = len(labels)
    if not 1 <= size <= rows:
        raise InputError(f"{size} patches asked for, there are {rows}", where="subset", hint="Ask for fewer.")
    places: Codes = np.zeros(rows, np.int64) if within is None else within
    if not len(groups) == len(places) == rows:
        raise InputError(f"{rows} rows of labels, {len(groups)} of groups, {len(places)} of places", where="subset")
    rng = np.random.default_rng(seed)
    strata = stratify(labels, groups)
    of_group = np.bincount(strata.group, weights=strata.sizes).astype(np.int64)
    seats = apportion(of_group, size)
    forced = cover(strata, seats, sure=strata.sizes * seats[strata.group] >= of_group[strata.group])
    kinds, places = np.unique(places, return_inverse=True)
    there = np.bincount(strata.of_row * len(kinds) + places, minlength=len(strata.sizes) * len(kinds))
    there = there.reshape(-1, len(kinds)).astype(np.int64)
    taken = np.zeros_like(there)
    for group, wanted in enumerate(seats):
        mine = strata.group == group
        counts = proportional(strata.labels[mine], strata.sizes[mine], int(wanted), forced[mine], rng)
        taken[mine] = _spread(there[mine], counts, rng)
    return _rows_of(strata, places, taken, rng)


def cover(strata: Strata, seats: Ints, sure: Bools) -> Ints:
    """Strata of which one patch must be taken so that no class goes missing, in (strata,) int64 of 0 and 1.

    First every class somewhere, then every class in every group, the first group first, within each group's `seats`.
    Of three greedy rules the one that keeps most: the rarest class first, from `sure` strata (those that are drawn
    anyway) if one has it, of those the one with most new classes; the same from all strata; or most new classes.

    Args:
        strata: of all groups.
        seats: (groups,), patches that each group may have.
        sure: (strata,), bool.
    """

    def kept(chosen: Bools) -> tuple[int, int]:
        codes = np.unique(strata.group[chosen])
        somewhere = int(strata.labels[chosen].any(axis=0).sum())
        return somewhere, sum(int(strata.labels[chosen & (strata.group == code)].any(axis=0).sum()) for code in codes)

    likely: list[Bools | None] = [sure, np.ones_like(sure), None]
    return max((_greedy(strata, seats, preferred) for preferred in likely), key=kept).astype(np.int64)


def _greedy(strata: Strata, seats: Ints, preferred: Bools | None) -> Bools:
    """One run of `cover`: the rarest class first, out of preferred strata; or, without these, most new classes."""
    present: list[Bools] = [strata.labels[strata.group == group].any(axis=0) for group in range(len(seats))]
    frequency = (strata.labels * strata.sizes[:, None]).sum(axis=0)
    rarest_first = np.lexsort((frequency, np.sum(present, axis=0)))  # what only one group has cannot wait
    chosen, left = np.zeros(len(strata.sizes), np.bool_), seats.copy()

    def fill(scope: Bools, missing: Bools) -> None:
        new = strata.labels[:, missing].sum(axis=1)
        while (reachable := np.where(scope & (left[strata.group] > 0), new, 0)).any():
            best = _most_new(strata.labels, reachable, rarest_first[missing[rarest_first]], preferred)
            gained = missing & strata.labels[best]
            new, missing = new - strata.labels[:, gained].sum(axis=1), missing & ~gained
            chosen[best] = True
            left[strata.group[best]] -= 1

    fill(np.ones_like(chosen), np.any(present, axis=0))
    for group, classes in enumerate(present):
        mine = strata.group == group
        fill(mine, classes & ~strata.labels[chosen & mine].any(axis=0))
    return chosen


def _most_new(labels: Bools, new: Ints, wanted: NDArray[np.intp], preferred: Bools | None) -> int:
    """The stratum that brings most new classes, among those with the first of `wanted` that any of them has."""
    if preferred is None:
        return int(new.argmax())
    for label in wanted:
        having = np.where(labels[:, label], new, 0)
        if having.any():
            likely = np.where(preferred, having, 0)
            return int((likely if likely.any() else having).argmax())
    raise AssertionError("something is new, so a wanted class is in it")


def _spread(there: Ints, counts: Ints, rng: np.random.Generator) -> Ints:
    """Divide what is taken of each stratum among places, (strata, places), each its share rounded up or down.

    Which places are rounded up is random first; then strata pass extra patches from places that have too many in
    all to places that have too few.

    Args:
        there: (strata, places), patches there are.
        counts: (strata,), patches to take.
        rng: decides.
    """
    sizes, total = there.sum(axis=1), int(there.sum())
    starts = rng.integers(0, sizes)
    ends = (np.cumsum(there, axis=1) * counts[:, None] + starts[:, None]) // sizes[:, None]
    taken: Ints = np.diff(ends, axis=1, prepend=0)
    whole, part = np.divmod(there * counts[:, None], sizes[:, None])
    excess = taken.sum(axis=0) * total - there.sum(axis=0) * int(counts.sum())  # in 1 / total patches
    moved = True
    while moved:  # each move makes the sum of squares smaller, so this ends
        moved = False
        for giving, having in product(np.argsort(-excess, kind="stable"), np.argsort(excess, kind="stable")):
            moves = int(excess[giving] - excess[having] + total - 1) // (2 * total)
            if moves <= 0:
                continue
            can_give = taken[:, giving] > whole[:, giving]
            can_have = (part[:, having] > 0) & (taken[:, having] == whole[:, having])
            strata = rng.permutation(np.flatnonzero(can_give & can_have))[:moves]
            taken[strata, giving] -= 1
            taken[strata, having] += 1
            excess[giving] -= len(strata) * total
            excess[having] += len(strata) * total
            moved = moved or len(strata) > 0
    return taken


def _rows_of(strata: Strata, places: Codes, taken: Ints, rng: np.random.Generator) -> Ints:
    """Rows at random, in ascending order: as many of each stratum and place as `taken`, (strata, places), says."""
    cell = strata.of_row * taken.shape[1] + places
    shuffled = rng.permutation(len(cell))
    by_cell = shuffled[np.argsort(cell[shuffled], kind="stable")]
    first = np.searchsorted(cell[by_cell], np.arange(taken.size))
    nth = np.arange(len(cell)) - first[cell[by_cell]]
    rows: Ints = np.sort(by_cell[nth < taken.ravel()[cell[by_cell]]])
    return rows
