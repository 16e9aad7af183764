"""The runs of a study that answer best together, as one bundle beside the winner's.

Flows in: a study, the bundles of it that are kept anyway, and its data. Flows out: the ensemble's folder, and what it
gains over the best of them and costs. It is offered, not registered: whether a gain is worth its time is the user's to
say.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipelines.feeding.shared import Feed
from tune.outcome.winner import Tell, where_trials_run
from tune.settings import SearchSettings
from tune.study import ENSEMBLE, FINALS, TRIALS, Study
from tune.trials.checkpoints import best_bundle, trial_folder


def keep_ensemble(settings: SearchSettings, study: Study, data: Feed, tell: Callable[[str], None]) -> None:
    """Choose members among the bundles of trials and finals, and write the bundle that they make, if it gains anything.

    Args:
        data: with all bands that the trials use, and the splits to score.

    Raises:
        BundleError, ShardError, BandError, TrainingError, StorageError: see `best_ensemble`.
    """
    sources = kept_bundles(settings, study)
    if settings.finals.ensemble > 1 and len(sources) > 1:
        where_trials_run(settings, partial(_write, settings, sources, data), tell)


def kept_bundles(settings: SearchSettings, study: Study) -> list[Path]:
    """Bundles that there are, of trials that ended well and of the finals, each once; with several objectives or
    constraints, of the trials that may win and of their finals."""
    rows = [row for row in study.trials if row.value is not None]
    if settings.costs or settings.bounds:
        rows = study.ranked()
    folders = [trial_folder(settings.folder / TRIALS, row.number) for row in rows]
    finals = sorted((settings.folder / FINALS).glob("*-*/"))
    numbers = {row.number for row in rows}
    folders += [folder for folder in finals if int(folder.name.partition("-")[0]) in numbers]
    return [found for folder in folders if (found := best_bundle(folder))]


def _write(settings: SearchSettings, sources: list[Path], data: Feed, tell: Tell) -> None:
    from models.device import pick_device
    from models.ensemble.ensemble import best_ensemble

    built = best_ensemble(
        sources,
        settings.folder / ENSEMBLE,
        data,
        settings.metric,
        size=settings.finals.ensemble,
        beta=settings.beta,
        device=pick_device("auto" if settings.gpus else "cpu"),
        trial={"study": settings.name},
    )
    if built is None:
        tell(f"Ensemble: no mean of the {len(sources)} kept bundles is better than the best one.")
        return
    gain = ", ".join(f"{value:+.3f} on {split}" for split, value in built.said["gain"].items())
    size = len(built.config.members)
    tell(f"Ensemble of {size}: {settings.metric} {gain}, beside the best of them. {_cost(built.said)}")
    tell(f"It is kept in {settings.folder / ENSEMBLE}, a bundle like any other.")


def _cost(said: dict[str, object]) -> str:
    cost = said["cost"]
    assert isinstance(cost, dict)
    return f"A patch takes {cost['ms']:.1f} ms, the best one's {cost['best_ms']:.1f}."
