"""Who is taken for whom: right and wrong decisions of each class, and one matrix over all classes.

Flows in: decisions and labels (rows, classes) of 0 and 1. Flows out: counts and figures.

Where a patch has several classes there is no one matrix that says it all. Ours lets each label of a patch count once:
a class that is there and predicted counts in the diagonal; one that is there and missed is shared equally among the
classes that are predicted and not there (the rule for that case of Krstinić, Braović, Šerić and Božić-Štulić,
"Multi-label classifier performance evaluation with confusion matrix", 2020, doi:10.5121/csit.2020.100801), or counts
in the column "nothing in its place" if there are none; and a class that is predicted and not there, where none is
missed, counts in the row "nothing missed". So a row adds up to the patches that have the class, the diagonal's share
of it is the class's recall, and where each patch has one class and one prediction, it is the usual confusion matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.report.matrix import draw_matrix
from pipelines.drawing.canvas import thousands

NOTHING_INSTEAD, NOTHING_MISSED = "(nothing in its place)", "(nothing missed)"


def count_decisions(decisions: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(classes, 2, 2): rows are the truth and columns the prediction, yes before no."""
    hits = (decisions & labels).sum(axis=0, dtype=np.int64)
    predicted, true = decisions.sum(axis=0, dtype=np.int64), labels.sum(axis=0, dtype=np.int64)
    rest = len(labels) - predicted - true + hits
    return np.stack([hits, true - hits, predicted - hits, rest], axis=1).reshape(-1, 2, 2)


def confusion_matrix(decisions: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(classes + 1, classes + 1); see the module's text. The last row and column are those of "nothing"."""
    classes = labels.shape[1]
    hits, missed, extra = decisions & labels, labels & ~decisions, decisions & ~labels
    extras = extra.sum(axis=1)
    swapped, alone = extras > 0, missed.sum(axis=1) == 0
    shared = extra[swapped] / extras[swapped, None]
    matrix = np.zeros((classes + 1, classes + 1))
    matrix[:classes, :classes] = missed[swapped].astype(np.float64).T @ shared + np.diag(hits.sum(axis=0))
    matrix[:classes, classes] = missed[~swapped].sum(axis=0)
    matrix[classes, :classes] = extra[alone].sum(axis=0)
    return matrix


def draw_confusion(decisions: NDArray[np.uint8], labels: NDArray[np.uint8], names: Sequence[str], of: str) -> Figure:
    """The matrix over all classes, each row in shares of the patches that have its class."""
    matrix = confusion_matrix(decisions, labels)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.full_like(matrix, np.nan)
    np.divide(matrix, totals, out=shares, where=totals > 0)
    *counts, extra = totals[:, 0].tolist()
    rows = [f"{name} ({thousands(count)})" for name, count in zip(names, counts, strict=True)]
    rows.append(f"{NOTHING_MISSED} {thousands(extra)} {'label' if extra == 1 else 'labels'}")
    heading = f"Of 100 patches that have the row's class, how many are given it,\nand what others in its place ({of})"
    note = (
        "rows: truth, and how often; columns: prediction. A missed class is shared among the patch's wrong ones. "
        "Last row: of 100 labels that are wrongly given where nothing is missed. Grey: there is no such patch."
    )
    return draw_matrix(shares, rows, [*names, NOTHING_INSTEAD], heading=heading, note=note)
