"""The search job: Ray Tune runs trials, Optuna draws them, the weak pause, the best go on, and one is kept.

Flows in: `SearchSettings` and a dataset. Flows out: `experiments/<name>/` with the resolved settings, the study,
the trials, and what `winner` keeps of the best one.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import optuna
from optuna.exceptions import ExperimentalWarning
from rich.console import Console

from pipelines.bands import parse_bands
from pipelines.cluster import ray_cluster
from pipelines.dataset.manifest import Manifest, open_dataset
from pipelines.errors import SettingsError, StudyError
from pipelines.files import exclusive, write_whole
from pipelines.location import locate
from tune.drawing.history import earlier
from tune.drawing.samplers import sampler
from tune.objectives import directions
from tune.outcome.ensemble import keep_ensemble
from tune.outcome.finals import play_finals
from tune.outcome.measure_floor import floor
from tune.outcome.winner import SPLITS, keep_winner
from tune.schedule.record import Record
from tune.schedule.rungs import levels
from tune.settings import SearchSettings
from tune.space import distributions
from tune.study import FROM, RUNGS, SETTINGS, WINNERS, Study, open_storage, open_study

if TYPE_CHECKING:
    from pipelines.feeding.shared import Feed

_ELSEWHERE = "Put them back, or search under another name, with this study among those it is `from`."
_STOPPING = "Stopping. Trials under way go on from their checkpoints when the search is resumed."


def run_search(
    settings: SearchSettings, console: Console, *, resume: bool = False, clock: Callable[[], float] = time.monotonic
) -> Study:
    """Run a search, or the trials that an interrupted one still owes, and return its study.

    Args:
        clock: seconds, by which its time budget goes.

    Raises:
        SettingsError: a model is unknown or cannot be built so, or more resources are asked for than there are.
        ShardError: there is no such dataset, or a split of it is empty.
        BandError: the dataset lacks a band.
        StudyError: the study exists already, or not yet when it is to be resumed, or has drawn from other choices.
        BusyError: another process runs the same study, or Ray does not come up.
        BundleError: weights to start from are damaged.
        ServiceError: the object store, or timm's hub, does not answer.
        TrainingError: no trial came to a result.
        StorageError: the disk is full.
    """
    settings = _with_whole_paths(settings)
    manifest = open_dataset(settings.data)
    bands = _check(settings, manifest)
    settings = settings.model_copy(update={"experiments": settings.experiments.resolve()})  # jobs have folders to be in
    folder = settings.folder
    _check_name(settings, resume)
    tell = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    with exclusive(folder / ".lock", f'study "{settings.name}"'):
        storage = open_storage(settings, folder)
        held = _create_study(settings, storage, resume)
        _check_choices(settings, held)
        write_whole(folder / SETTINGS, settings.dump_yaml())
        rungs = rungs_of(settings, manifest)
        held.set_user_attr(RUNGS, rungs)
        _take_over(settings, held, tell)
        record = Record(settings, storage, sampler(settings, len(held.trials)))
        with ray_cluster():
            from pipelines.feeding.shared import feed
            from tune.schedule.budget import Budget, stopping
            from tune.schedule.run_jobs import run_jobs

            _check_resources(settings)
            data = feed(settings.data, SPLITS, bands, settings.feed)
            floor(settings, data, folder, tell)
            with stopping(partial(tell, _STOPPING)) as stopped:
                run_jobs(record, data, rungs, Budget(settings.time_budget, clock, stopped), console)
            try:
                if stopped.is_set():
                    raise KeyboardInterrupt
                _conclude(settings, held, data, rungs[-1], tell)
            except (KeyboardInterrupt, SystemExit):  # the latter is Ray's, of SIGTERM
                tell(f"Go on with: landsweep search resume {settings.name} --experiments {settings.experiments}")
                raise KeyboardInterrupt from None
    return open_study(settings.experiments, settings.name)


def _conclude(
    settings: SearchSettings, held: optuna.study.Study, data: Feed, end: int, tell: Callable[[str], None]
) -> None:
    """Finals, winner, ensemble. What of the finals was run before is not run again."""
    study = open_study(settings.experiments, settings.name)
    finalists = play_finals(settings, study, data, end, tell)
    held.set_user_attr(WINNERS, [each.kept for each in finalists])
    keep_winner(settings, study, finalists, tell)
    keep_ensemble(settings, study, data, tell)


def _take_over(settings: SearchSettings, held: optuna.study.Study, tell: Callable[[str], None]) -> None:
    """Trials of earlier studies as history, once."""
    if not settings.earlier or any(FROM in trial.user_attrs for trial in held.get_trials(deepcopy=False)):
        return
    found = earlier(settings)
    held.add_trials(found.trials)
    said = [f"{len(found.trials)} trials taken over", f"{len(found.points)} points to try first"]
    said += [f"{count} left out, {why}" for why, count in found.left_out.items()]
    said += [f"of {name} the points alone, as its values mean something else" for name in found.incomparable]
    tell(f"From earlier studies: {'; '.join(said)}.")


def _with_whole_paths(settings: SearchSettings) -> SearchSettings:
    """Trials have working directories of their own."""
    from models.pretrained.load import whole_path

    space = settings.space.with_weights(whole_path)
    return settings.model_copy(update={"data": str(locate(settings.data)), "space": space})


def _check_name(settings: SearchSettings, resume: bool) -> None:
    """A study that has trials is resumed, not run anew; one that failed before its first may be run again."""
    there = (settings.folder / SETTINGS).is_file()
    if resume and not there:
        raise StudyError("no such study", where=str(settings.folder), hint="Start it with `search run`.")
    if there and not resume and (known := open_study(settings.experiments, settings.name)).trials:
        more = f" --trials {settings.trials}" if settings.trials > known.settings.trials else ""
        hint = f"Go on with `landsweep search resume {settings.name}{more}`, or choose another name."
        raise StudyError("the study exists already", where=str(settings.folder), hint=hint)


def _create_study(settings: SearchSettings, storage: optuna.storages.BaseStorage, resume: bool) -> optuna.study.Study:
    """Only a study of this folder, or one whose database is in it, may be there already."""
    wanted = [*settings.objectives] or [settings.metric]
    create = partial(optuna.create_study, storage=storage, study_name=settings.name, directions=directions(wanted))
    try:
        study = create(load_if_exists=resume or not settings.storage or (settings.folder / SETTINGS).is_file())
    except optuna.exceptions.DuplicatedStudyError:
        raise StudyError(
            f'the storage has a study "{settings.name}" already', where="storage", hint="Choose another name."
        ) from None
    if study.get_trials(deepcopy=False):
        _check_objectives(settings, study.metric_names or [settings.metric], wanted)
        return study
    if len(study.directions) != len(wanted):
        optuna.delete_study(study_name=settings.name, storage=storage)
        study = create()
    if len(wanted) > 1:  # for whoever shows it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # since 2022
            study.set_metric_names(wanted)
    return study


def _check_objectives(settings: SearchSettings, held: list[str], wanted: list[str]) -> None:
    """What values a study's trials are told with cannot change."""
    if held != wanted:
        raise StudyError(
            f"a study's objectives cannot change: {', '.join(held)} before, {', '.join(wanted)} now",
            where=str(settings.folder / SETTINGS),
            hint=_ELSEWHERE,
        )


def _check_choices(settings: SearchSettings, study: optuna.study.Study) -> None:
    """What a study has drawn from is what it goes on to draw from: another list would fail every trial to come."""
    drawn = {name: each for trial in study.get_trials(deepcopy=False) for name, each in trial.distributions.items()}
    for name, new in distributions(settings.space).items():
        try:
            optuna.distributions.check_distribution_compatibility(drawn.get(name, new), new)
        except ValueError:
            raise StudyError(
                f"a study's choices cannot change, and those of {name} have: {_said(drawn[name])} were drawn from, "
                f"{_said(new)} are asked for",
                where=str(settings.folder / SETTINGS),
                hint=_ELSEWHERE,
            ) from None


def _said(distribution: optuna.distributions.BaseDistribution) -> str:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return ", ".join(map(str, distribution.choices))
    return f"numbers {'evenly over their logarithm' if getattr(distribution, 'log', False) else 'evenly'}"


def _check(settings: SearchSettings, manifest: Manifest) -> tuple[str, ...]:
    """Check what only the dataset, the zoo and the environment know; returns all bands that any trial may ask for."""
    from models.nets.build import plan
    from models.training.fresh_net import fresh_net, image_size

    union = dict.fromkeys(band for choice in settings.space.bands for band in parse_bands(choice, manifest.band_names))
    for model in settings.space.model:
        plan(model, image_size(manifest), dropout=settings.dropout, drop_path=settings.drop_path)
    for model in settings.space.model:
        for weights in filter(None, settings.space.weights(model)):
            drawn = {"model": model, "pretrained": weights, "bands": settings.space.bands[0]}
            fresh_net(settings.train_settings(drawn), manifest)  # says what does not fit, or that no hub answers
    if 0 < settings.scheduler.grace < min(settings.space.batch_size):
        what = f"a grace of {settings.scheduler.grace} patches is no batch; it was counted in epochs before"
        raise SettingsError(what, where="scheduler.grace", hint="Give patches, or 0 for what suits the dataset.")
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and not settings.experiments.is_absolute():
        raise SettingsError(
            f'"{settings.experiments}" would lie in the job\'s temporary folder and be lost',
            where="experiments",
            hint="Give an absolute path that every node can reach.",
        )
    return tuple(union)


def rungs_of(settings: SearchSettings, manifest: Manifest) -> tuple[int, ...]:
    """Rungs in patches seen; the end of a trial alone where all run to it.

    Raises:
        ShardError: the dataset has no such splits.
    """
    rows = manifest.rows("train")
    total = rows * settings.epochs
    if settings.scheduler.name == "fifo":
        return (total,)
    grace = settings.scheduler.grace or min(rows, max(rows // 3, manifest.rows("validation") // 2, 1))
    return levels(grace, settings.scheduler.reduction, total)


def _check_resources(settings: SearchSettings) -> None:
    """Refuse what this machine cannot have; a cluster that was joined may still grow."""
    import ray

    if os.environ.get("RAY_ADDRESS"):
        return
    largest = {kind: max(node["Resources"].get(kind, 0) for node in ray.nodes()) for kind in ("CPU", "GPU")}
    for kind, wanted in (("CPU", settings.cpus), ("GPU", settings.gpus)):
        if wanted > largest[kind]:
            raise SettingsError(
                f"a trial asks for {wanted:g} {kind}, no machine here has more than {largest[kind]:g}",
                where="cpus" if kind == "CPU" else "gpus",
                hint="Ask for less, or run on a cluster.",
            )
