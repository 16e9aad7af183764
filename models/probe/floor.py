"""What a probe itself has to beat: nearest neighbours on its features, a regression on each band's mean and deviation,
and the training frequencies.

Flows in: rows and features of each split. Flows out: metrics of each, all with thresholds that were fitted on the
validation split, as the probe's own are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.measure.calibrate import fit_calibration
from models.measure.metrics import score
from models.measure.thresholds import fit_thresholds
from models.probe.fit import Features, fit, scale_of
from models.probe.neighbours import Neighbours
from models.results.baselines import band_statistics, constant
from pipelines.errors import TrainingError
from pipelines.feeding.rows import Rows

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Choice:
    """By what is chosen: a metric on the validation split.

    Args:
        labels: of that split, (rows, classes).
        names: the classes.
        metric: its key.
        beta: of the F-beta that thresholds are fitted for.
    """

    labels: NDArray[np.uint8]
    names: Sequence[str]
    metric: str
    beta: float

    def of_logits(self, logits: NDArray[np.float32]) -> float:
        """Of logits, after calibration.

        Raises:
            TrainingError: see `of`.
        """
        return self.of(fit_calibration(logits, self.labels, self.beta).probabilities(logits))

    def of(self, probabilities: Probabilities) -> float:
        """Of probabilities, with the thresholds that fit them best.

        Raises:
            TrainingError: the metric has no value.
        """
        value = score(probabilities, self.labels, self.names, self.thresholds(probabilities))[self.metric]
        if value is None:
            hint = "Take more patches into it, or another metric."
            raise TrainingError(f"{self.metric} has no value", where="validation split", hint=hint)
        return float(value)

    def thresholds(self, probabilities: Probabilities) -> list[float]:
        """One a class, for probabilities of the validation split."""
        return fit_thresholds(probabilities, self.labels, self.beta)


def floor(
    splits: Mapping[str, Rows], features: Mapping[str, Features], choice: Choice
) -> tuple[int, dict[str, dict[str, dict[str, Any]]]]:
    """Metrics of each, by split, of validation and of what comes after it.

    Args:
        splits: train, validation, and maybe test.
        features: the probe's, of each.
        choice: by what neighbours and the regression's strength are chosen.

    Returns:
        How many neighbours were chosen, and name to split to metrics.

    Raises:
        TrainingError: see `Choice.of`.
    """
    asked = [split for split in splits if split != "train"]
    scale = scale_of(features["train"])
    known = Neighbours(scale(features["train"]), splits["train"].labels)
    count = known.choose(scale(features["validation"]), choice.of)
    train, seen = splits["train"], {split: band_statistics(splits[split]).astype(np.float32) for split in splits}
    regression = fit(seen["train"], train.labels, seen["validation"], choice.of_logits)
    calibration = fit_calibration(regression.logits(seen["validation"]), choice.labels, choice.beta)
    found = {
        "nearest neighbours": {split: known.probabilities(scale(features[split]), count) for split in asked},
        "band statistics": {split: calibration.probabilities(regression.logits(seen[split])) for split in asked},
        "training frequencies": {split: constant(train, splits[split]) for split in asked},
    }
    return count, {name: _scored(each, splits, choice) for name, each in found.items()}


def _scored(
    found: Mapping[str, Probabilities], splits: Mapping[str, Rows], choice: Choice
) -> dict[str, dict[str, Any]]:
    limits = choice.thresholds(found["validation"])
    return {split: score(each, splits[split].labels, choice.names, limits) for split, each in found.items()}
