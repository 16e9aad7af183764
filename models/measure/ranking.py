"""How well each row's own classes are ranked before the others: the four metrics of label ranking.

Flows in: scores and labels (rows, classes). Flows out: means over rows under the project's keys.

torchmetrics (1.9) has three of them, and none will do: its ranking loss breaks ties at random (with equal scores it
depends on the order of the classes), its label ranking average precision is a Python loop over rows that adds up in
float32, and its coverage adds up in float32 too. Here all four come from one sort of each row.

Written with rank(j), the number of classes that score as high as class j or higher, so that ties count against the
net, as in scikit-learn, whose conventions for rows without any class or with all of them are kept too:

- `coverage`: largest rank among the row's own classes (Tsoumakas et al. 2010, and 1 more); 0 where it has none.
- `ranking_loss`: share of pairs of an own class and another in which the other scores as high or higher (Schapire and
  Singer 2000); 0 where there are no such pairs.
- `lrap`: mean over the row's own classes of the share of own ones among those up to its rank; 1 where it has none.
- `one_error`: 1 where a class that scores highest is not the row's own (Schapire and Singer 2000), so also where it
  has none; 0 else. Not in scikit-learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CELLS = 1 << 20
"""Decisions sorted at a time: some 50 MB."""


def rank_labels(scores: NDArray[np.floating[Any]], labels: NDArray[np.uint8]) -> dict[str, float]:
    """Mean over rows of `coverage`, `ranking_loss`, `lrap` and `one_error`.

    Args:
        scores: (rows, classes), finite, at least one of each.
        labels: (rows, classes) of 0 and 1.
    """
    rows, classes = labels.shape
    step = max(1, CELLS // classes)
    parts = [_of_rows(scores[start : start + step], labels[start : start + step]) for start in range(0, rows, step)]
    return {key: sum(part[key] for part in parts) / rows for key in parts[0]}


def _of_rows(scores: NDArray[np.floating[Any]], labels: NDArray[np.uint8]) -> dict[str, float]:
    """Sums over rows."""
    rows, classes = labels.shape
    order = np.argsort(-scores, axis=1)
    ranked, own = np.take_along_axis(scores, order, 1), np.take_along_axis(labels, order, 1) == 1
    place = np.tile(np.arange(1, classes + 1, dtype=np.int32), (rows, 1))
    place[:, :-1][ranked[:, 1:] == ranked[:, :-1]] = classes  # not the last of its ties
    rank = np.minimum.accumulate(place[:, ::-1], axis=1)[:, ::-1]
    hits = np.take_along_axis(np.cumsum(own, axis=1, dtype=np.int32), rank - 1, 1)
    owned = own.sum(axis=1)
    pairs = owned * (classes - owned)
    shares = np.where(own, hits / rank, 0).sum(axis=1) / np.maximum(owned, 1)
    return {
        "coverage": float(np.where(own, rank, 0).max(axis=1).sum()),
        "ranking_loss": float((np.where(own, rank - hits, 0).sum(axis=1) / np.maximum(pairs, 1)).sum()),
        "lrap": float(np.where(owned > 0, shares, 1).sum()),
        "one_error": float((rank[:, 0] > hits[:, 0]).sum()),
    }
