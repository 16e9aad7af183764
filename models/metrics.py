"""Metrics over a whole split, never averaged over batches; torchmetrics does the sums.

Flows in: probabilities (rows, classes) float32 and multi-hot labels. Flows out: a dict under the project's metric
keys, with `per_class` by label name.

A class without a positive in the split has no average precision: it is None in `per_class` and is left out of the
macro average, which `classes_scored` counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_average_precision,
    multilabel_average_precision,
    multilabel_fbeta_score,
    multilabel_hamming_distance,
    multilabel_precision,
    multilabel_recall,
)

METRICS: dict[str, str] = {
    "ap_macro": "mean over classes of average precision",
    "ap_micro": "average precision over all decisions together",
    "f1_macro": "mean over classes of F1",
    "f1_micro": "F1 over all decisions together",
    "f2_macro": "mean over classes of F2, which counts recall twice",
    "f2_micro": "F2 over all decisions together",
    "precision_macro": "mean over classes of precision",
    "precision_micro": "precision over all decisions together",
    "recall_macro": "mean over classes of recall",
    "recall_micro": "recall over all decisions together",
    "hamming_loss": "share of decisions that are wrong",
}
"""Key to meaning. All but `hamming_loss` are better when higher."""


def score(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.uint8],
    label_names: Sequence[str],
    thresholds: Sequence[float] | None = None,
) -> dict[str, Any]:
    """All metrics of one split.

    Args:
        probabilities: (rows, classes) float32 from 0 to 1.
        labels: (rows, classes) of 0 and 1.
        label_names: one a column.
        thresholds: one a column; a class is predicted from there up. 0.5 where not given.
    """
    scores, target = torch.from_numpy(probabilities), torch.from_numpy(labels.astype(np.int64))
    limits = torch.tensor(thresholds if thresholds is not None else [0.5] * len(label_names))
    decisions = (scores >= limits).to(torch.int64)
    count = len(label_names)
    result: dict[str, Any] = {}
    for average in ("micro", "macro"):
        result[f"precision_{average}"] = multilabel_precision(decisions, target, count, average=average)
        result[f"recall_{average}"] = multilabel_recall(decisions, target, count, average=average)
        for beta in (1, 2):
            key = f"f{beta}_{average}"
            result[key] = multilabel_fbeta_score(decisions, target, float(beta), count, average=average)
    result["hamming_loss"] = multilabel_hamming_distance(decisions, target, count)
    present = target.sum(0) > 0
    precisions = _average_precisions(scores, target, present)
    result["ap_macro"] = precisions[present].mean() if present.any() else torch.tensor(0.0)
    result["ap_micro"] = multilabel_average_precision(scores, target, count, average="micro")
    values: dict[str, Any] = {key: round(float(result[key]), 6) for key in METRICS}
    values["classes_scored"] = int(present.sum())
    values["per_class"] = _per_class(decisions, target, precisions, present, label_names)
    return values


def _average_precisions(scores: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """Average precision of each class; 0 where it has none (see `present`)."""
    return torch.stack(
        [
            binary_average_precision(scores[:, i], target[:, i]) if present[i] else torch.tensor(0.0)
            for i in range(len(present))
        ]
    )


def _per_class(
    decisions: Tensor, target: Tensor, precisions: Tensor, present: Tensor, label_names: Sequence[str]
) -> dict[str, dict[str, float | int | None]]:
    count = len(label_names)
    f1 = multilabel_fbeta_score(decisions, target, 1.0, count, average="none").reshape(-1)
    f2 = multilabel_fbeta_score(decisions, target, 2.0, count, average="none").reshape(-1)
    return {
        name: {
            "ap": round(float(precisions[i]), 6) if present[i] else None,
            "f1": round(float(f1[i]), 6),
            "f2": round(float(f2[i]), 6),
            "support": int(target[:, i].sum()),
        }
        for i, name in enumerate(label_names)
    }
