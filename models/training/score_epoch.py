"""How good a net is after an epoch, and the calibration that this is measured with.

Flows in: what it says of the validation split. Flows out: a `Calibration` to keep with it, and all metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from models.measure.calibrate import Calibration, fit_calibration
from models.measure.metrics import score
from models.settings import FitSettings
from models.training.loop import EpochResult
from pipelines.errors import TrainingError


def judge(
    epoch: EpochResult, labels: NDArray[Any], label_names: Sequence[str], settings: FitSettings
) -> tuple[Calibration, dict[str, Any]]:
    """Fit temperature and thresholds, and score with them.

    Args:
        epoch: its logits are of the validation split, (rows, classes).
        labels: (rows, classes) of 0 and 1.

    Raises:
        TrainingError: the metric that epochs are chosen by has no value.
    """
    calibration = fit_calibration(epoch.logits, labels, settings.beta)
    metrics = score(calibration.probabilities(epoch.logits), labels, label_names, calibration.thresholds)
    if metrics[settings.metric] is None:
        hint = "Take more patches into it, or another metric."
        raise TrainingError(f"{settings.metric} has no value", where="validation split", hint=hint)
    return calibration, metrics
