"""Splits dealt anew, so that each shows every class as often as the others do.

Flows in: labels. Flows out: each row's split, the same for one seed.

Dealt splits know nothing of places: patches side by side may land in different splits, and scores come out better
than on an archive's own splits, which keep whole areas apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.archives.catalogue import SPLITS
from pipelines.archives.quotas import Bools, Ints, Strata, apportion, proportional, stratify
from pipelines.errors import SettingsError

SHARES = (0.70, 0.15, 0.15)

_PARTS = 10**9
"""Shares are taken as whole billionths, so that sizes are exact."""


def deal_splits(labels: NDArray[np.uint8] | Bools, seed: int, shares: Sequence[float] = SHARES) -> NDArray[np.str_]:
    """Deal rows to training, validation and test, with every class's frequency as even as exchanges bring it.

    Exact: the splits' sizes by largest remainder; a label combination's test rows are its proportional share rounded
    up or down, and of what is left so are its validation rows, unless a class would go missing; with one class a row
    each class is divided like that. A class with at least three rows is in all three splits if no rarer class needs
    the same rows (and always if it has three rows a class, and no split fewer rows than classes).

    Args:
        labels: (rows, classes), 0 or 1.
        seed: 0 or above.
        shares: of training, validation and test; above 0, with the sum 1.

    Returns:
        (rows,) of "train", "validation" and "test".

    Raises:
        SettingsError: shares that are not three, not above 0, or not 1 in all.
    """
    if len(shares) != len(SPLITS):
        raise _refused(shares)
    return np.array(SPLITS)[deal_parts(labels, seed, shares)]


def deal_parts(labels: NDArray[np.uint8] | Bools, seed: int, shares: Sequence[float]) -> Ints:
    """The same for any number of parts, such as folds: each row's part, counted from 0, as (rows,) int64.

    Raises:
        SettingsError: shares that are not above 0, or not 1 in all.
    """
    weights = np.array([round(share * _PARTS) for share in shares], np.int64)
    weights[0] += _PARTS - weights.sum() if abs(_PARTS - weights.sum()) < len(weights) else 0  # of thirds
    if weights.min() <= 0 or weights.sum() != _PARTS:
        raise _refused(shares)
    rng = np.random.default_rng(seed)
    strata = stratify(labels, np.zeros(len(labels), np.int64))
    seats = apportion(weights, len(labels))
    held = _hold(strata, seats)
    left, counts = strata.sizes, np.zeros_like(held)
    for part in range(len(seats) - 1, 0, -1):
        promised = held[:part].sum(axis=0)
        counts[part] = proportional(strata.labels, left, int(seats[part]), held[part], rng, promised)
        left = left - counts[part]
    return _deal(strata, counts, rng)


def _refused(shares: Sequence[float]) -> SettingsError:
    shown = ", ".join(f"{share:g}" for share in shares)
    return SettingsError(f"shares {shown} are not three above 0 with the sum 1", where="splits")


def _hold(strata: Strata, seats: Ints) -> Ints:
    """One patch of every class for every split, (splits, strata), as far as patches and `seats` go.

    The rarest class first; from strata that every split gets a patch of anyway if one has the class; with as few as
    possible of the classes that run short, and then with most new classes.
    """
    held = np.zeros((len(seats), len(strata.sizes)), np.int64)
    stock, room = strata.sizes.copy(), seats.copy()
    frequency = (strata.labels * stock[:, None]).sum(axis=0)
    supply = frequency.copy()
    covered = np.zeros((len(seats), len(frequency)), np.bool_)
    common = strata.sizes * seats.min() >= strata.sizes.sum()
    for label in np.argsort(frequency, kind="stable"):
        for split in range(len(seats)):
            having = np.flatnonzero(strata.labels[:, label] & (stock > 0))
            if covered[split, label] or not len(having) or not room[split]:
                continue
            marks = strata.labels[having]
            short = covered[split] & (supply <= (~covered).sum(axis=0))
            wasted, new = (marks & short).sum(axis=1), (marks & ~covered[split]).sum(axis=1)
            best = having[np.lexsort((-new, ~common[having], wasted))[0]]
            held[split, best] += 1
            stock[best] -= 1
            supply -= strata.labels[best]
            room[split] -= 1
            covered[split] |= strata.labels[best]
    return held


def _deal(strata: Strata, counts: Ints, rng: np.random.Generator) -> Ints:
    """Each stratum's rows in random order: the first ones to the last part, the next ones to that before it, the rest
    to the first. `counts` are (parts, strata); those of the first part do not matter."""
    shuffled = rng.permutation(len(strata.of_row))
    by_stratum = shuffled[np.argsort(strata.of_row[shuffled], kind="stable")]
    stratum = strata.of_row[by_stratum]
    nth = np.arange(len(stratum)) - (np.cumsum(strata.sizes) - strata.sizes)[stratum]
    parts = np.zeros(len(stratum), np.int64)
    ends = np.cumsum(counts[:0:-1], axis=0)
    parts[by_stratum] = sum((nth < each[stratum]).astype(np.int64) for each in ends)
    return parts
