"""One job: fit a trial's net from where it stands, report at epochs and rungs, and keep its best bundle.

Flows in: a trial's number and parameters, and references to the data in the object store. Flows out: reports, each with
patches and seconds so far, and files in the trial's folder from which another job goes on, on a CPU to the last bit.

Runs on a worker that is used again for the next job, so nothing may be left behind in the process.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from ray import tune as raytune

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
from pipelines.errors import LandsweepError, TrainingError
from pipelines.feeding.rows import Rows
from pipelines.feeding.shared import Feed
from tune.checkpoints import best_path, drop_older, last_state, state_path, trial_folder
from tune.searcher import NUMBER, PARAMETERS, SPENT
from tune.settings import SearchSettings
from tune.study import TRIALS

_SMALLER = 2  # times as many parts of a batch, where a step did not fit into memory
_MOST_PARTS = 8


def run_trial(told: dict[str, Any], *, data: Feed, search: SearchSettings, rungs: tuple[int, ...]) -> None:
    """What Ray Tune calls with a job. What a trial says itself, such as that it diverged, is reported as failed and not
    retried: it would come about again. A step that does not fit into memory is tried again in parts."""
    parts = search.accumulate
    while True:
        try:
            settings = search.train_settings(told[PARAMETERS]).model_copy(update={"accumulate": parts})
            torch.set_num_threads(settings.threads or 1)
            _Job(told, data, search, settings, rungs).run()
            return
        except LandsweepError as error:
            if not _may_fit(error, parts, int(told[PARAMETERS].get("batch_size", _MOST_PARTS))):
                raytune.report({search.metric: 0.0, "best": 0.0, "failed": str(error)})
                return
            parts *= _SMALLER
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _may_fit(error: LandsweepError, parts: int, batch: int) -> bool:
    memory = isinstance(error, TrainingError) and "memory" in error.what
    return memory and parts * _SMALLER <= min(_MOST_PARTS, batch)


@dataclass
class _Best:
    """The best report so far: its net, kept in memory until it is written together with a state."""

    patches: int = 0
    epoch: int = 0
    patience: Patience = field(default_factory=Patience)
    written: int = 0
    net: ReflectanceNet | None = None
    rest: tuple[Any, ...] = ()


class _Job:
    def __init__(
        self, told: dict[str, Any], data: Feed, search: SearchSettings, settings: TrainSettings, rungs: tuple[int, ...]
    ) -> None:
        self.search, self.settings, self.rungs = search, settings, rungs
        self.number = int(told[NUMBER])
        self.folder = trial_folder(search.folder / TRIALS, self.number)
        self.manifest: Manifest = data.manifest
        bands = parse_bands(settings.bands, self.manifest.band_names)
        self.train: Rows = data.get("train", bands)
        self.validation: Rows = data.get("validation", bands)
        self.best = _Best()
        self.begun, self.spent = time.monotonic(), float(told[SPENT])
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
            self.spent = 0.0
            return fit
        restore(fit, found[1])
        known = found[1]["trial"]
        self.best = _Best(known["bundle"], known["epoch"], Patience(known["value"], known["waited"]), known["bundle"])
        self.spent = known["seconds"]
        return fit

    def run(self) -> None:
        """To the next rung, where the scheduler may end it, or to the end."""
        for epoch in self.fit.epochs(self.train, self.validation, self._after_step):
            if self._report(epoch):
                return

    def _after_step(self, fit: Fit) -> None:
        """Look and report where a rung lies inside an epoch."""
        seen = fit.seen(len(self.train))
        if any(self.reported < rung <= seen for rung in self.rungs[:-1]):
            self._report(fit.look(self.train, self.validation))

    def _report(self, epoch: EpochResult) -> bool:
        """Measure, keep, and tell Tune, which may not come back from that; returns whether the trial is over."""
        fit, search = self.fit, self.search
        seen = fit.seen(len(self.train))
        calibration, metrics = judge(epoch, self.validation.labels, self.manifest.label_names, self.settings)
        best, whole = self.best, fit.step == 0
        value = metrics[search.metric]
        if (whole or value > best.patience.best) and best.patience.better(value):  # patience is counted in epochs
            best.patches, best.epoch, best.net = seen, epoch.number, copy.deepcopy(fit.kept)
            best.rest = (calibration, {"validation": metrics})
        rung = any(self.reported < each <= seen for each in self.rungs)
        final = fit.done == self.settings.epochs or (whole and best.patience.over(self.settings.patience))
        seconds = self.spent + time.monotonic() - self.begun
        if final or rung or time.monotonic() - self.saved >= search.checkpoint_seconds:
            self._save(seen, seconds)
        self.reported = seen
        passes = fit.done if whole else round(seen / len(self.train), 3)
        curve = _curve(epoch, metrics) | {"epoch": passes, "patches": seen, "seconds": round(seconds, 3)}
        report = {search.metric: value, "patches": seen, "best": best.patience.best, "final": final}
        raytune.report(report | {"rung": rung, "curve": curve})
        return final

    def _save(self, seen: int, seconds: float) -> None:
        """The best bundle, if it is a new one, and then the state that names it."""
        best = self.best
        if best.net is not None:
            calibration, metrics = best.rest
            said = {"study": self.search.name, "number": self.number, "epoch": best.epoch, "patches": best.patches}
            config = config_of(self.settings, self.manifest, calibration, said, best.net)
            target = best_path(self.folder, best.patches)
            write_bundle(target, best.net, config, metrics, example_of(self.validation), replace=True)
            best.written, best.net = best.patches, None
        about = {"bundle": best.written, "epoch": best.epoch, "value": best.patience.best}
        about |= {"waited": best.patience.waited, "seconds": seconds}
        write_state(state_path(self.folder, seen), capture(self.fit) | {"trial": about})
        drop_older(self.folder, seen, best.written)
        self.saved = time.monotonic()


def _curve(epoch: EpochResult, metrics: dict[str, Any]) -> dict[str, Any]:
    curve = {key: metrics[key] for key in METRICS if metrics[key] is not None}
    return curve | {"train_loss": round(epoch.train_loss, 5), "validation_loss": round(epoch.validation_loss, 5)}
