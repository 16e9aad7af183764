"""An ensemble of bundles that are there anyway, as one bundle: chosen, built, and told of.

Flows in: folders of bundles of one dataset, and that dataset. Flows out: a bundle with the same contract as any other;
or word that no mean of them is better than the best one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.ensemble.build import SPLITS, Built, build
from models.ensemble.candidates import candidates
from models.ensemble.choose import Metric, choose
from models.measure.evaluate import BATCH
from models.measure.metrics import score
from models.measure.thresholds import fit_thresholds
from pipelines.errors import BundleError, TrainingError
from pipelines.feeding.shared import Feed

SIZE = 10
"""Bundles in the mean, those that are taken again counted again, at most: each costs its own time at every answer."""

CHOSEN_ON = 20_000
"""Patches of validation that members are chosen on, at most, spread evenly: choosing scores a hundred means."""


def best_ensemble(
    sources: Sequence[Path],
    out: Path,
    data: Feed,
    metric: str,
    *,
    size: int = SIZE,
    beta: float = 1.0,
    device: torch.device | None = None,
    batch_size: int = BATCH,
    splits: Sequence[str] = SPLITS,
    trial: Mapping[str, Any] | None = None,
    origins: Sequence[Mapping[str, Any]] = (),
) -> Built | None:
    """Choose members on the validation split, and write the bundle that they make.

    Args:
        sources: bundles that are there.
        out: the ensemble's folder; one that is there is replaced.
        data: what they were trained on, with all their bands, and the splits that are to be scored.
        metric: key of what to choose by, one of `models.metric_keys.GOALS`.
        size: bundles in the mean at most.
        beta: of the F-beta that thresholds are fitted for.
        splits: what to score, validation among them; those that are empty are left out.
        trial: what else is to be said of where it comes from.
        origins: the same of each source, if there is something.

    Returns:
        The bundle, its heaviest member first; None, and nothing is written, where no mean is better than one bundle.

    Raises:
        BundleError: a source is damaged, or is not of this dataset; or there is none.
        ShardError, BandError: see `Feed.get`.
        TrainingError: a patch does not fit into memory, a net gives no numbers, or the metric has no value.
        StorageError: the disk is full.
    """
    if not sources:
        raise BundleError("there are no bundles to make an ensemble of", hint="Keep those of some trials.")
    device = device or torch.device("cpu")
    found = list(candidates(sources, data, device, batch_size))
    labels = data.get("validation", found[0].config.bands).labels
    rows = np.unique(np.linspace(0, len(labels) - 1, min(CHOSEN_ON, len(labels))).astype(np.int64))
    judge = goal(metric, data.manifest.label_names, beta)
    counts = choose([each.probabilities[rows] for each in found], labels[rows], judge, size)
    places = sorted(np.flatnonzero(counts).tolist(), key=lambda place: (-counts[place], place))
    if len(places) < 2:
        return None
    return build(
        [sources[place] for place in places],
        [counts[place] for place in places],
        out,
        data,
        metric=metric,
        beta=beta,
        device=device,
        batch_size=batch_size,
        splits=splits,
        trial=trial,
        origins=[origins[place] for place in places] if origins else (),
        said={"candidates": len(sources), "patches": len(rows)},
    )


def goal(key: str, label_names: Sequence[str], beta: float) -> Metric:
    """The metric of a key, decisions being made with the thresholds that fit best.

    Raises:
        TrainingError: when it is called, and has no value on the labels.
    """

    def judge(probabilities: NDArray[np.float64], labels: NDArray[Any]) -> float:
        value = score(probabilities, labels, label_names, fit_thresholds(probabilities, labels, beta))[key]
        if value is None:
            hint = "Take more patches into it, or another metric."
            raise TrainingError(f"{key} has no value", where="validation split", hint=hint)
        return float(value)

    return judge
