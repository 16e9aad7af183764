"""What there is to pack: the one form that every kind of archive is brought to before its pixels are read.

Flows in: rows from a reader of tables or folders. Flows out: a `Catalogue` of the patches to pack, and every patch
that is left out with its reason; nothing is dropped without being counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.archives.patch_files import Layout
from pipelines.location import Location

SPLITS = ("train", "validation", "test")

Dropped = dict[str, list[str]]
"""Reason to the ids of the patches left out for it."""


@dataclass(frozen=True)
class Catalogue:
    """The patches of an archive.

    `rows`: patch_id, place (below `root`), split ("" where the archive has none), country ("" where unknown).
    `labels`: (rows, classes) uint8, multi-hot in the order of `label_names`.
    `unmapped`: class of the archive that has no class here, to the number of patches that had it.
    `others`: ids of patches that are well and that a subset does without.
    `notes`: what was taken for what, assumed, or passed over, a sentence each without its full stop.
    `several`: whether a patch may have several classes, or none.
    `checksum`: SHA-256 over the archive's tables. `root`: a folder, or the tar that holds it where `in_tar`.
    """

    kind: str
    root: Location
    layout: Layout
    rows: pd.DataFrame
    labels: NDArray[np.uint8]
    label_names: tuple[str, ...]
    checksum: str
    dropped: Dropped = field(default_factory=dict)
    unmapped: dict[str, int] = field(default_factory=dict)
    in_tar: bool = False
    others: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    several: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: NDArray[np.intp]) -> Catalogue:
        """The catalogue of these rows, in this order."""
        return replace(self, rows=self.rows.iloc[rows].reset_index(drop=True), labels=self.labels[rows])

    def with_splits(self, splits: NDArray[np.str_]) -> Catalogue:
        """The same patches in other splits."""
        return replace(self, rows=self.rows.assign(split=splits))

    def telling(self, *notes: str) -> Catalogue:
        """The same, with more to be told."""
        return replace(self, notes=(*self.notes, *notes))


def drop(dropped: Dropped, reason: str, ids: Iterable[str]) -> None:
    """Count patches as left out; an empty list leaves no trace."""
    ids = [str(each) for each in ids]
    if ids:
        dropped.setdefault(reason, []).extend(ids)
