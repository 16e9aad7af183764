"""The trials of a study that answer best together, as one bundle. Calls what can do it, and says whose members are.

Flows in: a study's settings, the bundles of its trials that are kept, and its data. Flows out: the ensemble's folder,
and what it gains and costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.feeding.shared import Feed
from tune.settings import SearchSettings

if TYPE_CHECKING:
    from models.ensemble.build import Built

ENSEMBLE = Path("checkpoints") / "ensemble"
"""In the study's folder."""


def keep_ensemble(settings: SearchSettings, kept: Mapping[int, Path], data: Feed) -> Built | None:
    """Choose members among the kept trials, and write their bundle into the study's folder.

    Args:
        settings: of the study.
        kept: number of a trial to the folder of its best bundle.
        data: the study's, with all bands that its trials use; scored are those of validation and test that are there.

    Returns:
        What was written, its `config.members` each with the number of its trial under `trial`; None, and nothing is
        written, where no mean is better than the best trial by itself.

    Raises:
        BundleError, ShardError, BandError, TrainingError, StorageError: see `best_ensemble`.
    """
    from models.device import pick_device
    from models.ensemble.ensemble import best_ensemble

    device = pick_device("auto" if settings.gpus else "cpu")
    return best_ensemble(
        list(kept.values()),
        settings.folder / ENSEMBLE,
        data,
        settings.metric,
        beta=settings.beta,
        device=device,
        trial={"study": settings.name},
        origins=[{"number": number} for number in kept],
    )
