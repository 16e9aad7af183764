"""Proportional seats, exactly: what drawing a subset and dealing splits have in common.

Flows in: multi-hot labels. Flows out: strata (patches with the same labels in the same group), and how many patches
of each to take so that classes, and pairs of classes, stay as frequent as they were.

Rounding each stratum's proportional share up or down leaves a choice. It is made in two steps: systematic sampling
(Madow 1949) along an order in which neighbours share their rarest classes, then exchanges of one stratum's extra
patch for another's, as long as the class and pair counts come nearer to their proportional values. All of it is
exact, in integers, so that every machine draws the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.integer[Any]]

MOST_EXCHANGES = 1000
"""A bound for odd sets. BigEarthNet's 480,038 patches take fewer than 150 a split."""
MOST_WORK = 2**25
"""Strata × classes² that exchanges weigh at the start (0.1 s); of more strata, a random part takes part."""

_NEVER = np.int64(2**61)


@dataclass(frozen=True)
class Strata:
    """Patches with the same labels in the same group; by group, and in each by label combination, rarest class first.

    Attributes:
        labels: (strata, classes) bool.
        group: (strata,) int64, position of the stratum's group among the sorted group codes.
        sizes: (strata,) int64, patches.
        of_row: (rows,) int64, each patch's stratum.
    """

    labels: Bools
    group: Ints
    sizes: Ints
    of_row: Ints


def stratify(labels: NDArray[np.uint8] | Bools, groups: Codes) -> Strata:
    """Strata of labels (rows, classes), uint8 or bool, in groups (rows,), any integer codes."""
    marks = labels.astype(bool)
    rarest_first = np.argsort(marks.sum(axis=0), kind="stable")
    packed = np.packbits(marks[:, rarest_first], axis=1)
    padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    words = np.ascontiguousarray(padded).view(">u8").astype(np.uint64)  # big-endian: the numbers sort as the bits do
    order = np.lexsort((*words.T[::-1], groups))
    sorted_words, sorted_groups = words[order], groups[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (sorted_words[1:] != sorted_words[:-1]).any(axis=1) | (sorted_groups[1:] != sorted_groups[:-1])
    of_row = np.empty(len(order), np.int64)
    of_row[order] = np.cumsum(begins) - 1
    first = order[begins]
    group = np.unique(groups[first], return_inverse=True)[1].astype(np.int64)
    return Strata(marks[first], group, np.bincount(of_row).astype(np.int64), of_row)


def apportion(weights: Ints, seats: int) -> Ints:
    """Split `seats` in proportion to integer weights, by largest remainder; of equals the first gets the seat.

    Up to the weights' own sum, nobody gets more seats than its weight. No weight at all, no seats.
    """
    total = max(1, int(weights.sum()))
    shares, rest = np.divmod(weights * seats, total)
    left = int(rest.sum()) // total
    shares[np.argsort(-rest, kind="stable")[:left]] += 1
    return shares


def proportional(
    labels: Bools, sizes: Ints, seats: int, forced: Ints, rng: np.random.Generator, held: Ints | None = None
) -> Ints:
    """How many patches of each stratum to take so that `seats` patches show what all of them show.

    Args:
        labels: (strata, classes), neighbours alike.
        sizes: (strata,), patches there are.
        seats: patches to take; at most what is there and not held.
        forced: (strata,), patches that must be taken at least; `seats` in all at most.
        rng: decides which strata are rounded up.
        held: (strata,), patches that may not be taken, for they are promised elsewhere.

    Returns:
        (strata,) int64 with the sum `seats`. Each is the stratum's proportional share rounded up or down. Only what
        is forced or held makes exceptions: of the stratum that it concerns, and of others where it leaves no choice.
    """
    free = sizes if held is None else sizes - held
    unit = int(sizes.sum())
    whole, part = np.divmod(sizes * seats, max(1, unit))
    counts: Ints = np.maximum(np.minimum(whole, free), forced)
    left = seats - int(counts.sum())
    if left <= 0:
        return counts - apportion(counts - forced, -left)
    can_grow = np.flatnonzero((part > 0) & (counts == whole) & (counts < free))
    grown = _systematic(part[can_grow], left, rng)
    counts[can_grow] += grown
    over = apportion(free - counts, seats - int(counts.sum()))  # nothing, unless much is held
    counts += over
    error = _together(labels, counts) * unit - _together(labels, sizes) * seats
    can_grow, grown = can_grow[over[can_grow] == 0], grown[over[can_grow] == 0]
    counts[can_grow] += _exchange(labels[can_grow], grown, error, unit, rng).astype(np.int64) - grown
    return counts


def _systematic(weights: Ints, seats: int, rng: np.random.Generator) -> Bools:
    """Choose `seats` places in proportion to integer weights, evenly along their order, from a random start.

    Fewer are chosen if a weight is more than a seat's worth, for no place is chosen twice.
    """
    total = max(1, int(weights.sum()))
    ends = (np.cumsum(weights) * seats + int(rng.integers(total))) // total
    chosen: Bools = np.diff(ends, prepend=0) > 0
    return chosen


def _together(labels: Bools, counts: Ints) -> Ints:
    """How many patches show two classes together, (classes, classes); on the diagonal, each class."""
    shown = np.flatnonzero(counts)
    marks = labels[shown].astype(np.float64)  # exact, and far quicker than in integers
    return ((marks * counts[shown, None]).T @ marks).astype(np.int64)


def _exchange(labels: Bools, raised: Bools, error: Ints, unit: int, rng: np.random.Generator) -> Bools:
    """Move extra patches between strata while the sum of squared errors of the class and pair counts falls.

    Each step takes the best stratum to come in, and then the best one to go. Two strata that share n classes change
    n (n + 1) / 2 of the same counts: so the whole table of pairs is heeded at the price of the classes alone.

    Args:
        labels: (strata, classes) of those that may have an extra patch.
        raised: (strata,), those that have it now.
        error: (classes, classes), by how much the counts are too high, in units of 1 / `unit` patches.
        unit: patches in all.
        rng: gives equals equal chances.

    Returns:
        (strata,), those that have it at last; as many as before.
    """
    if not len(labels):
        return raised
    order = rng.permutation(len(labels))[: MOST_WORK // len(error) ** 2 + 1]
    marks = np.ascontiguousarray(labels[order].T.astype(np.int64))
    taken = raised[order]
    cost = unit * _pairs(marks.sum(axis=0))
    gain = (marks * ((error + np.diag(np.diag(error))) @ marks)).sum(axis=0)
    for _ in range(MOST_EXCHANGES):
        coming = np.where(taken, _NEVER, gain + cost)
        comes = int(coming.argmin())
        changed = gain + 2 * unit * _pairs(marks[marks[:, comes] > 0].sum(axis=0))
        going = np.where(taken, cost - changed, _NEVER)
        goes = int(going.argmin())
        if coming[comes] + going[goes] >= 0:
            break
        gain = changed - 2 * unit * _pairs(marks[marks[:, goes] > 0].sum(axis=0))
        taken[comes], taken[goes] = True, False
    final = raised.copy()
    final[order] = taken
    return final


def _pairs(classes: Ints) -> Ints:
    """Pairs among so many classes, each with itself included."""
    return classes * (classes + 1) // 2
