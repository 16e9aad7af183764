"""Predictions made up for tests: of a model that is often right, on classes that go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.measure.predictions import Predictions


def made_up(
    names: Sequence[str], rows: int = 120, *, never: Sequence[int] = (), always: Sequence[int] = (), **more: Any
) -> Predictions:
    """Classes whose number is in `never` have no patch, those in `always` have every patch."""
    rng = np.random.default_rng(rows)
    causes = rng.normal(size=(rows, 4)) @ rng.normal(size=(4, len(names)))
    logits = causes + rng.normal(size=(rows, len(names))) - rng.uniform(0, 2, len(names))
    labels = (logits > 0).astype(np.uint8)
    labels[:, list(never)] = 0
    labels[:, list(always)] = 1
    said = 1 / (1 + np.exp(-logits - rng.normal(size=logits.shape)))
    ids = np.array([f"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_{row:02d}_57" for row in range(rows)])
    given: dict[str, Any] = {"patch_ids": ids, "thresholds": (0.4,) * len(names), "split": "test"} | more
    return Predictions(said.astype(np.float32), labels, tuple(names), **given)


def permuted(predictions: Predictions, order: NDArray[np.int64]) -> Predictions:
    """The same rows in another order."""
    return replace(
        predictions,
        probabilities=predictions.probabilities[order],
        labels=predictions.labels[order],
        patch_ids=None if predictions.patch_ids is None else predictions.patch_ids[order],
    )
