"""Which classes go together: in truth, in what the model says, and where the two part.

Flows in: labels or decisions (rows, classes) of 0 and 1. Flows out: shares and figures. A model that has learnt that
beaches lie by the sea, and sees beaches by every sea, shows here and in no score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.report.matrix import draw_matrix
from pipelines.drawing.canvas import thousands

_NOTE = "empty: never together; grey: the class itself, or no patch has the row's class"


def conditional(marks: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(classes, classes): of the rows that have one class, the share that have the other; NaN on the diagonal, and in
    rows of classes that nothing has."""
    exact = marks.astype(np.float64)
    pairs = exact.T @ exact
    own = np.diag(pairs)[:, None]
    shares = np.full_like(pairs, np.nan)
    np.divide(pairs, own, out=shares, where=own > 0)
    np.fill_diagonal(shares, np.nan)
    return shares


def draw_together(marks: NDArray[np.uint8], names: Sequence[str], what: str, of: str) -> Figure:
    """What is together in labels, or in predictions: `what` says which."""
    heading = f"Of 100 patches with the row's class, how many have the column's as well: {what} ({of})"
    return draw_matrix(conditional(marks), _counted(names, marks), names, heading=heading, note=_NOTE)


def draw_difference(decisions: NDArray[np.uint8], labels: NDArray[np.uint8], names: Sequence[str], of: str) -> Figure:
    """Predictions less labels, in percentage points."""
    shares = conditional(decisions) - conditional(labels)
    heading = f"Together more often (+) or less often (−) in predictions than in labels, in percentage points ({of})"
    note = (
        "empty: as often; 0: by less than half a point; "
        "grey: the class itself, or nothing has the row's class in labels or in predictions"
    )
    return draw_matrix(shares, list(names), names, heading=heading, note=note, difference=True)


def _counted(names: Sequence[str], marks: NDArray[np.uint8]) -> list[str]:
    counts = marks.sum(axis=0, dtype=np.int64)
    return [f"{name} ({thousands(count)})" for name, count in zip(names, counts, strict=True)]
