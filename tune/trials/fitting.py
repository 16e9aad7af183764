"""A trial's net, fitted from where it stands: measured at epochs and rungs, its best bundle kept, its state saved.

Flows in: a trial's settings, its folder, and rows. Flows out: a report at each epoch and rung, with patches and seconds
so far, and files from which another process goes on, on a CPU to the last bit.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.bundle.weights import write_bundle
from models.device import pick_device
from models.metric_keys import METRICS
from models.nets.build import ReflectanceNet
from models.settings import TrainSettings
from models.training.checkpoint import write_state
from models.training.fit_state import capture, restore
from models.training.fresh_net import fresh_net, image_size
from models.training.kept_bundle import config_of, example_of
from models.training.loop import EpochResult, Fit
from models.training.patience import Patience
from models.training.score_epoch import judge
from pipelines.bands import parse_bands
from pipelines.dataset.manifest import Manifest
from pipelines.feeding.rows import Rows
from pipelines.feeding.shared import Feed
from tune.trials.checkpoints import best_path, drop_older, last_state, state_path
from tune.trials.costs import costs_of

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Course:
    """How a trial is run, whatever its net.

    Args:
        folder: what it keeps.
        said: what its bundles say of where they come from.
        rungs: patches at which it reports, and saves, within an epoch too; the last one is its end.
        checkpoint_seconds: between two states, but for those at rungs.
        report: called with each report, after what it counts is saved; need not come back.
        reported: patches of the last report that is known of; a later one that stands in a state is made again.
        costs: what its net is asked for beside quality, see `costs_of`; told with each report that is saved.
    """

    folder: Path
    said: dict[str, Any]
    rungs: tuple[int, ...]
    checkpoint_seconds: float
    report: Report
    reported: int = 0
    costs: frozenset[str] = frozenset()


@dataclass
class _Best:
    """The best report so far: its net, kept in memory until it is written together with a state."""

    patches: int = 0
    epoch: int = 0
    patience: Patience = field(default_factory=Patience)
    written: int = 0
    net: ReflectanceNet | None = None
    rest: tuple[Any, ...] = ()


class TrialFit:
    """A trial that is being fitted, begun anew or from its last state.

    Args:
        settings: which net, and how it is fitted.
        course: how the trial is run.
        data: its rows.

    Raises:
        SettingsError, BandError, ServiceError: see `fresh_net`.
        TrainingError: its state is of another net.
    """

    def __init__(self, settings: TrainSettings, course: Course, data: Feed) -> None:
        self.settings, self.course, self.folder = settings, course, course.folder
        self.manifest: Manifest = data.manifest
        self.bands = parse_bands(settings.bands, self.manifest.band_names)
        self.train: Rows = data.get("train", self.bands)
        self.validation: Rows = data.get("validation", self.bands)
        self.best = _Best()
        self.costs: dict[str, float] = {}
        self.told: dict[str, Any] = {}
        self.begun, self.spent = time.monotonic(), 0.0
        self.fit = self._fit()
        self.saved = time.monotonic()
        self.reported = self.fit.seen(len(self.train))

    def _fit(self) -> Fit:
        """A fit at its beginning, or where the last job left it: then weights to start from are not read again."""
        settings, size, device = self.settings, image_size(self.manifest), pick_device(self.settings.device)
        found = last_state(self.folder)
        begun = settings if found is None else settings.model_copy(update={"pretrained": ""})
        fit = Fit(fresh_net(begun, self.manifest)[0], settings, size, device)
        if found is None:
            return fit
        restore(fit, found[1])
        known = found[1]["trial"]
        self.best = _Best(known["bundle"], known["epoch"], Patience(known["value"], known["waited"]), known["bundle"])
        self.spent, self.told = known["seconds"], known["report"]
        self.costs = self.told.get("costs", {})
        return fit

    def run(self) -> None:
        """Fit to the end, unless a report does not come back.

        Raises:
            TrainingError: see `Fit.epochs`.
            StorageError: the disk is full.
        """
        if self.told and self.told["patches"] > self.course.reported:
            self.course.report(self.told)
        if self.told.get("final"):
            return
        for epoch in self.fit.epochs(self.train, self.validation, self._after_step):
            if self._report(epoch):
                return

    def _after_step(self, fit: Fit) -> None:
        """Look and report where a rung lies inside an epoch."""
        seen = fit.seen(len(self.train))
        if any(self.reported < rung <= seen for rung in self.course.rungs[:-1]):
            self._report(fit.look(self.train, self.validation))

    def _report(self, epoch: EpochResult) -> bool:
        """Measure, keep, and tell Tune, which may not come back from that; returns whether the trial is over."""
        fit, metric = self.fit, self.settings.metric
        seen = fit.seen(len(self.train))
        calibration, metrics = judge(epoch, self.validation.labels, self.manifest.label_names, self.settings)
        best, whole = self.best, fit.step == 0
        value = metrics[metric]
        if (whole or value > best.patience.best) and best.patience.better(value):  # patience is counted in epochs
            best.patches, best.epoch, best.net = seen, epoch.number, copy.deepcopy(fit.kept)
            best.rest = (calibration, {"validation": metrics})
        rung = any(self.reported < each <= seen for each in self.course.rungs)
        final = fit.done == self.settings.epochs or (whole and best.patience.over(self.settings.patience))
        seconds = self.spent + time.monotonic() - self.begun
        passes = fit.done if whole else round(seen / len(self.train), 3)
        curve = _curve(epoch, metrics) | {"epoch": passes, "patches": seen, "seconds": round(seconds, 3)}
        self.told = {metric: value, "patches": seen, "best": best.patience.best, "final": final, "rung": rung}
        self.told["curve"] = curve
        if final or rung or time.monotonic() - self.saved >= self.course.checkpoint_seconds:
            self._save(seen, seconds)
        self.reported = seen
        self.course.report(self.told)
        return final

    def _save(self, seen: int, seconds: float) -> None:
        """The best bundle, if it is a new one, what it costs, and then the state that names it."""
        best = self.best
        if best.net is not None:
            calibration, metrics = best.rest
            said = {**self.course.said, "epoch": best.epoch, "patches": best.patches}
            config = config_of(self.settings, self.manifest, calibration, said, best.net)
            target = best_path(self.folder, best.patches)
            write_bundle(target, best.net, config, metrics, example_of(self.validation), replace=True)
            best.written, best.net = best.patches, None
        self._measure(best.written)
        about: dict[str, Any] = {"bundle": best.written, "epoch": best.epoch, "value": best.patience.best}
        about |= {"waited": best.patience.waited, "seconds": seconds, "report": self.told}
        write_state(state_path(self.folder, seen), capture(self.fit) | {"trial": about})
        drop_older(self.folder, seen, best.written)
        self.saved = time.monotonic()

    def _measure(self, bundle: int) -> None:
        """What the net costs, once: it is the same net at every report."""
        if bundle and not self.course.costs <= self.costs.keys():
            folder = best_path(self.folder, bundle)
            self.costs = costs_of(self.course.costs, self.fit.kept, len(self.bands), self.fit.size, folder)
        if self.costs:
            self.told["costs"] = self.costs


def _curve(epoch: EpochResult, metrics: dict[str, Any]) -> dict[str, Any]:
    curve = {key: metrics[key] for key in METRICS if metrics[key] is not None}
    return curve | {"train_loss": round(epoch.train_loss, 5), "validation_loss": round(epoch.validation_loss, 5)}
