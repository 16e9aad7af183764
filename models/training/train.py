"""One training run, from a dataset to a folder with everything that came of it: `landsweep train`.

Flows in: `RunSettings`. Flows out: the folder that `models.training.run_folder` describes. A run that was
killed anywhere goes on with `resume`, on a CPU to the very same numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch

from models.bundle.config import EXAMPLE
from models.bundle.locate import BEST_ACC, RESULTS
from models.bundle.weights import load_bundle, write_bundle
from models.device import pick_device
from models.nets.build import plan
from models.pretrained.adapt import LoadReport
from models.pretrained.load import whole_path
from models.processes import ALONE, Team
from models.results.score_split import headline, score_splits, write_results
from models.settings import RunSettings
from models.training.after_epoch import Course
from models.training.checkpoint import drop_states, has_state
from models.training.fresh_net import fresh_net, image_size
from models.training.logs import Log
from models.training.loop import Fit
from models.training.run_folder import Run, begin, folder_of, now, open_run, reopen
from pipelines.bands import parse_bands
from pipelines.dataset.manifest import Manifest, open_dataset
from pipelines.errors import InputError, ServiceError, SettingsError, ShardError, TrainingError
from pipelines.feeding.open_rows import choose, open_rows
from pipelines.files import check_out, exclusive
from pipelines.location import locate
from pipelines.pixels.patch import read_stack

Progress = Callable[[int, int], None]
Tell = Callable[[str], None]


class FitRun(Protocol):
    """What trains a run: `fit_run` in this process, or several of it together (see `tune.distributed`)."""

    def __call__(self, run: Run, *, progress: Progress, tell: Tell) -> None: ...


def train(
    settings: RunSettings,
    *,
    resume: bool = False,
    progress: Progress = lambda *_: None,
    tell: Tell = lambda _: None,
    fit: FitRun | None = None,
) -> dict[str, Any]:
    """Train a net, keep its best bundles, and score the best one; returns what the command line prints.

    Args:
        settings: the run; with `resume`, only those count that were set, and they must be those it was begun with.
        resume: go on with a run that was interrupted.
        progress: called with steps done, and of how many.
        tell: gets a line an epoch, and whatever should be known of the run.
        fit: what trains it; `fit_run` if not given.

    Raises:
        SettingsError: settings do not fit each other, the dataset or the run; see `begin` and `reopen`.
        ShardError: there is no such dataset, or its training or validation split is empty.
        BandError: the dataset lacks a band.
        BundleError: weights are to be taken from a bundle that is damaged.
        ServiceError: the object store, or the hub that weights are to come from, does not answer.
        BusyError: another process trains this run.
        TrainingError: training diverged, or ran out of memory. What was reached before is kept.
        StorageError: the disk is full. Likewise.
    """
    settings = _with_whole_paths(settings)
    folder = folder_of(settings)
    there = folder.exists()
    if resume:
        open_run(folder)  # before a lock would make the folder
    else:
        check(settings)
        check_out(folder)
    with exclusive(folder / ".lock", f"the run in {folder}"):
        run = _reopen(settings, folder, tell) if resume else _begin(settings, folder)
        try:
            (fit or fit_run)(run, progress=progress, tell=tell)
        except KeyboardInterrupt:
            tell(f"Interrupted. Go on with: landsweep train --out {folder} --resume")
            raise
        except TrainingError as error:
            hint = " ".join(filter(None, (error.hint, _kept(run))))
            raise TrainingError(error.what, where=error.where, hint=hint) from None
        except (InputError, ServiceError):  # of the latter, the hub's: where weights should come from
            if not resume and not run.checkpoints.is_dir():
                run.forget(keep_folder=there)
            raise
        return _finish(run, tell)


def _with_whole_paths(settings: RunSettings) -> RunSettings:
    """A run may go on from another working directory. What was not given stays so."""
    whole = {"data": str(locate(settings.data))} if settings.data else {}
    whole |= {"pretrained": whole_path(settings.pretrained)} if settings.pretrained else {}
    return settings.model_copy(update=whole)


def _kept(run: Run) -> str:
    """What is left of a run that went wrong, as a sentence."""
    if not run.checkpoints.is_dir():
        return ""
    best = run.checkpoints / BEST_ACC
    also = f"; another run can begin from its best epoch, with --pretrained {best}" if best.is_dir() else ""
    return f"What was reached before is kept in {run.checkpoints}{also}."


def check(settings: RunSettings) -> Manifest:
    """Refuse what only the dataset and the zoo know, before anything is written; returns the dataset's manifest.

    Raises:
        SettingsError: no dataset is given, there is no such model or device, the model cannot take such patches, or the
            run would be lost with the temporary folder of a job.
        ShardError: there is no such dataset, or its training or validation split is empty.
        BandError: the dataset lacks a band.
        ServiceError: the object store does not answer.
    """
    if not settings.data:
        raise SettingsError("no dataset is given", where="data", hint="Name its folder with --data.")
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and not folder_of(settings).is_absolute():
        what = f'"{folder_of(settings)}" would lie in the job\'s temporary folder and be lost'
        raise SettingsError(what, where="out", hint="Give an absolute path that every node can reach.")
    manifest = open_dataset(settings.data)
    parse_bands(settings.bands, manifest.band_names)
    for split in ("train", "validation"):
        manifest.parts(split)
    plan(settings.model, image_size(manifest), dropout=settings.dropout, drop_path=settings.drop_path)
    if settings.workers == 1:
        pick_device(settings.device)
    return manifest


def _begin(settings: RunSettings, folder: Path) -> Run:
    """Where the data is kept is settled here: a run that goes on with less memory must not see another order."""
    manifest = check(settings)
    bands = parse_bands(settings.bands, manifest.band_names)
    feed = choose(manifest, ("train", "validation"), bands, settings.feed, settings.workers)
    return begin(settings.model_copy(update={"feed": feed}), folder, manifest)


def _reopen(given: RunSettings, folder: Path, tell: Tell) -> Run:
    run, notes = reopen(given, folder)
    for note in notes:
        tell(f"{note} Numbers may differ from those of a run that was not interrupted.")
    if check(run.settings).hash != run.record.data:
        hint = "Give the one that the run was begun with, or begin another run."
        raise ShardError("this is another dataset than the run's", where=run.settings.data, hint=hint)
    return run.write()


def fit_run(run: Run, *, progress: Progress, tell: Tell, team: Team = ALONE) -> None:
    """Train a run to its last epoch, from wherever it stands, as one of a team or alone.

    Raises:
        TrainingError: training diverged, ran out of memory, or goes on from a checkpoint that is damaged.
        SettingsError, ShardError, BandError, BundleError, ServiceError, StorageError: see `train`.
    """
    settings = run.settings
    if settings.threads:
        torch.set_num_threads(settings.threads)
    manifest = open_dataset(settings.data)
    bands = parse_bands(settings.bands, manifest.band_names)
    splits = open_rows(settings.data, manifest, ("train", "validation"), bands, settings.feed)
    learned, validation = splits
    # A run that goes on has all its weights from its checkpoint: those it began with may be gone.
    begun = settings.model_copy(update={"pretrained": ""}) if has_state(run.checkpoints) else settings
    net, loaded = fresh_net(begun, manifest)
    fit = Fit(net, settings, image_size(manifest), pick_device(settings.device), team)
    course = Course(run, fit, validation, manifest)
    course.resume()
    steps = fit.steps(len(learned))

    def after_step(fit: Fit) -> None:
        progress(fit.done * steps + fit.step, settings.epochs * steps)
        course.after_step(fit)

    with Log(run.folder, course.rows, tell) if team.leads else nullcontext() as log:
        if log:
            _introduce(log, course, loaded, len(learned), len(validation))
        try:
            for epoch in () if course.over else fit.epochs(learned, validation, after_step):
                progress(fit.done * steps, settings.epochs * steps)
                course.after_epoch(epoch, log)
                if course.over:
                    break
        except TrainingError as error:
            if log:
                log.note(f"ended: {error}")
            raise


def _introduce(log: Log, course: Course, loaded: LoadReport | None, learned: int, validation: int) -> None:
    fit, settings = course.fit, course.run.settings
    count = sum(each.numel() for each in fit.net.parameters())
    log.say(
        f"{settings.model} with {count:,} parameters on {settings.bands}; {learned:,} patches to learn from, "
        f"{validation:,} to validate on; {fit.device}, {settings.precision}"
    )
    for remark in course.remarks:
        log.say(remark)
    if loaded:
        log.say(str(loaded))
    if fit.done or fit.step:
        log.say(f"going on after epoch {fit.done}, step {fit.step} of the next")
    log.settings(settings.dump_yaml())


def scoring_device(settings: RunSettings) -> torch.device:
    """That of training; but a cluster's head, whose workers have trained on their nodes' GPUs, may have none.

    Raises:
        SettingsError: see `pick_device`.
    """
    try:
        return pick_device(settings.device)
    except SettingsError:
        if settings.workers == 1:
            raise
        return pick_device("auto")


def _finish(run: Run, tell: Tell) -> dict[str, Any]:
    """Score the best bundle, write the results down, and let go of what only a run under way needs."""
    settings, target = run.settings, run.checkpoints / BEST_ACC
    tell("Scoring the best epoch, and drawing its report.")
    bundle = load_bundle(target, scoring_device(settings))
    splits = ("train", "validation", *(["test"] if settings.test else []))
    found = score_splits(bundle, settings.data, splits, tell)
    metrics = {each.predictions.split: each.metrics for each in found}
    kept = {split: values for split, values in metrics.items() if split != "train"}
    example = read_stack((target / EXAMPLE).read_bytes(), wanted=bundle.config.bands)
    write_bundle(target, bundle.net, bundle.config, kept, example, replace=True)
    files = write_results(run.folder / RESULTS, bundle, found, settings.data, settings.explain, tell)
    run.write(ended=now())
    drop_states(run.checkpoints)
    return {
        "run": str(run.folder),
        "bundle": str(target),
        "results": files,
        "metrics": {split: headline(values) for split, values in metrics.items()},
    }
