"""Splits by places: whole blocks of the map are dealt, so that neighbours never sit in different splits.

Flows in: where patches lie (`places`), their labels, the side of a block. Flows out: each row's split, and the rows
that are left out because they touch a patch of another split.

A patch is much like the one beside it: of splits that are dealt patch by patch, the test split is partly known from
training. Here the map is cut into blocks, in rows of equal latitude; patches that touch and fill no more than a block
together are one, wherever the borders lie. Blocks are dealt so that splits come near their shares, and every class's
frequency is as even as whole blocks allow. Where patches lie without a gap, some on either side of a border touch: of
two splits the one that has more to spare gives them up, training before validation, and test none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.archives.catalogue import SPLITS
from pipelines.archives.places import RADIUS, Places
from pipelines.archives.quotas import Ints
from pipelines.errors import SettingsError

REACH = 1.5
"""Sides of a patch from centre to centre, up to which two are neighbours: those that touch by a corner have 1.41."""

PASSES, TRIES = 30, 8
"""How often all blocks are looked at for a better split, at most, and orders in which they are first dealt."""

_SIZE = 3.0  # what a split's size counts beside one class
_MISSING, _EMPTY = 10.0, 1e6  # what a class that a part lacks costs, and a part without patches


@dataclass(frozen=True)
class Dealt:
    """A split by places.

    Args:
        splits: each row's, as its place in `SPLITS`; -1 of rows that are left out.
        blocks: how many were dealt.
    """

    splits: Ints
    blocks: int


def deal_blocks(
    places: Places,
    labels: NDArray[np.uint8],
    side: float,
    shares: Sequence[float],
    seed: int,
    roles: Sequence[int] = range(len(SPLITS)),
) -> Dealt:
    """Deal whole blocks, the same for one seed.

    Args:
        places: of the rows; those that cannot be read go to training, and are left out when they are packed.
        labels: (rows, classes), 0 or 1.
        side: of a block, in metres.
        shares: of each part that is dealt: a split, or a fold.
        seed: of what is drawn.
        roles: what each part is, as a place in `SPLITS`; of folds, several are training.

    Raises:
        SettingsError: a block is smaller than a patch, or there are too few blocks, or nothing of a split is left.
    """
    if side < 2 * places.side:
        what = f"blocks of {metres(side)} hold no two patches of {metres(places.side)} side by side"
        raise SettingsError(what, where="block", hint="Make them larger.")
    known = np.flatnonzero(places.known)
    block = blocks_of(places, known, side)
    count = int(block.max(initial=-1)) + 1
    if count < len(shares):
        what = (
            f"the patches lie in {count} block{'s' * (count != 1)} of {metres(side)}, too few for {len(shares)} parts"
        )
        raise SettingsError(what, where="block", hint="Make blocks smaller, or use --split balanced.")
    shown = np.concatenate([labels[known], np.ones((len(known), 1), np.uint8)], axis=1).astype(np.float64)
    table = np.zeros((count, shown.shape[1]))
    np.add.at(table, block, shown)
    splits = np.zeros(len(labels), np.int64)
    part = _deal(table, np.asarray(shares, np.float64), np.random.default_rng([seed, 2]))
    splits[known] = np.asarray(roles)[part][block]
    splits[known[_touching(places.points[known], splits[known], REACH * places.side)]] = -1
    if lost := [name for number, name in enumerate(SPLITS) if not (splits[known] == number).any()]:
        what = f"all patches of {lost[0]} touch those of other splits"
        raise SettingsError(what, where="block", hint="Make blocks larger.")
    return Dealt(splits, count)


def metres(length: float) -> str:
    """A length as people write it."""
    return f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"


def blocks_of(places: Places, rows: Ints, side: float) -> Ints:
    """The block of each of these rows, counted from 0: that of its centre, or of all that touch if they fill no more
    than one together."""
    points, latitude, longitude = places.points[rows], places.latitude[rows], places.longitude[rows]
    group = _groups(points, REACH * places.side)
    middle = np.stack([np.bincount(group, axis) for axis in points.T], 1) / np.bincount(group)[:, None]
    away = np.zeros(len(middle))
    np.maximum.at(away, group, np.linalg.norm(points - middle[group], axis=1))
    small = (away <= side / 2)[group]
    middle *= RADIUS / np.linalg.norm(middle, axis=1, keepdims=True)
    latitude = np.where(small, np.degrees(np.arcsin((middle[:, 2] / RADIUS).clip(-1, 1)))[group], latitude)
    longitude = np.where(small, np.degrees(np.arctan2(middle[:, 1], middle[:, 0]))[group], longitude)
    step = np.degrees(side / RADIUS)
    row = np.floor(latitude / step)
    around = np.maximum(1, np.floor(360 * np.cos(np.radians((row + 0.5) * step)).clip(0) / step))  # blocks in a row
    column = np.floor((longitude + 180) / 360 * around) % around
    return np.unique(np.stack([row, column], 1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _groups(points: NDArray[np.float64], reach: float) -> Ints:
    """Rows that touch, or are linked by others that do, have one number, counted from 0."""
    from sklearn.neighbors import radius_neighbors_graph

    links = radius_neighbors_graph(points, reach, n_jobs=1).tocoo() if len(points) > 1 else None
    first = np.arange(len(points))
    while links is not None:
        before = first.copy()
        np.minimum.at(first, links.row, before[links.col])
        first = first[first]
        if (first == before).all():
            break
    return np.unique(first, return_inverse=True)[1].astype(np.int64)


def _touching(points: NDArray[np.float64], splits: Ints, reach: float) -> NDArray[np.bool_]:
    """Rows within reach of one of a later split that stays."""
    from sklearn.neighbors import KDTree

    gone = np.zeros(len(points), np.bool_)
    for split in (1, 0):
        mine, later = np.flatnonzero(splits == split), np.flatnonzero((splits > split) & ~gone)
        if len(mine) and len(later):
            distance = KDTree(points[later]).query(points[mine], k=1)[0][:, 0]
            gone[mine[distance <= reach]] = True
    return gone


def _deal(table: NDArray[np.float64], shares: NDArray[np.float64], rng: np.random.Generator) -> Ints:
    """The part of each block: the best of some tries.

    Args:
        table: (blocks, classes + 1): patches of each class, and in the last column all.
        shares: (parts,).
    """
    tries = max(1, min(TRIES, 20_000 // len(table)))
    found = [_try(table, shares, rng) for _ in range(tries)]
    return min(found, key=lambda each: each[1])[0]


def _try(table: NDArray[np.float64], shares: NDArray[np.float64], rng: np.random.Generator) -> tuple[Ints, float]:
    """Large blocks first, each to where it does most good; then each again, until none does better elsewhere."""
    expected = np.maximum(shares[:, None] * table.sum(0), 1e-9)
    weight = np.ones(table.shape[1])
    weight[-1] = _SIZE
    weight = weight * (table.sum(0) > 0)

    def cost(held: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of each part: squared shares by which classes and size are off."""
        off = (((held / expected - 1) ** 2 + _MISSING * (held == 0)) * weight).sum(1)
        costs: NDArray[np.float64] = off + _EMPTY * (held[:, -1] == 0)
        return costs

    drawn = rng.permutation(len(table))
    order = drawn[np.argsort(-table[drawn, -1], kind="stable")]
    where, held = np.full(len(table), -1), np.zeros_like(expected)
    for turn in range(PASSES):
        moved = False
        for block in order if turn == 0 else rng.permutation(len(table)):
            before = where[block]
            if before >= 0:
                held[before] -= table[block]
            gain = cost(held + table[block]) - cost(held)
            best = int(gain.argmin())
            if before >= 0 and gain[best] >= gain[before] - 1e-12:
                best = before
            held[best] += table[block]
            where[block] = best
            moved = moved or best != before
        if not moved:
            break
    return where, float(cost(held).sum())
