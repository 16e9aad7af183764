"""What a run does after each epoch: measure, keep the best bundles and a checkpoint, write it down, decide whether to
go on.

Flows in: a fit's `EpochResult`s. Flows out: bundles, checkpoints and logs in the run's folder, all of which a killed
run finds whole: bundles are written before the checkpoint that counts them, and written again, the same, where that
did not come about.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from models.bundle.config import BundleConfig
from models.bundle.locate import BEST_ACC, BEST_LOSS, FINAL
from models.bundle.weights import recover_bundle, write_bundle
from models.metric_keys import METRICS
from models.training.checkpoint import PREVIOUS, STATE, drop_asides, push_state, read_state
from models.training.fit_state import capture, restore
from models.training.kept_bundle import config_of, example_of
from models.training.logs import Log
from models.training.loop import EpochResult, Fit
from models.training.patience import Patience
from models.training.run_folder import Run
from models.training.score_epoch import judge
from pipelines.dataset.manifest import Manifest
from pipelines.errors import TrainingError
from pipelines.feeding.rows import Rows


class Course:
    """A run between its epochs. All members of a team have one; the first alone writes.

    Args:
        run, fit: what is trained, and where it is kept.
        validation: the split that epochs are measured on.
        manifest: of the dataset.
        clock: seconds, for the time between checkpoints.
    """

    def __init__(
        self,
        run: Run,
        fit: Fit,
        validation: Rows,
        manifest: Manifest,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run, self.fit, self.validation, self.manifest = run, fit, validation, manifest
        self.rows: list[dict[str, Any]] = []
        self.best, self.lowest = Patience(), Patience()
        self.remarks: list[str] = []
        self._damaged = False
        self._clock = clock
        self._saved = self._begun = clock()

    @property
    def over(self) -> bool:
        """Whether there is nothing more to train."""
        settings = self.run.settings
        return self.fit.done >= settings.epochs or self.best.over(settings.patience)

    def resume(self) -> None:
        """Go on from the last checkpoint, or the one before where its bytes are damaged; begin anew where none is.

        Raises:
            TrainingError: all that are there are damaged, or one is of other settings.
        """
        if self.fit.team.leads:
            bundles = (BEST_ACC, BEST_LOSS, FINAL)
            for name in bundles:
                recover_bundle(self.run.checkpoints / name)
            drop_asides(self.run.checkpoints, (*bundles, STATE))
        there = [name for name in (STATE, PREVIOUS) if (self.run.checkpoints / name).is_file()]
        for position, name in enumerate(there):
            try:
                state = read_state(self.run.checkpoints / name)
            except TrainingError as error:
                if position == len(there) - 1:
                    hint = "Begin the run anew, in another folder."
                    raise TrainingError(error.what, where=error.where, hint=hint) from None
                self.remarks.append(f"{error}. Going on from the one before.")
                self._damaged = True
                continue
            restore(self.fit, state["fit"])
            self.rows = state["rows"]
            self.best, self.lowest = Patience(*state["best"]), Patience(*state["lowest"])
            return

    def after_step(self, fit: Fit) -> None:
        """Write a checkpoint if it is time for one. A team goes by steps alone, which its members count alike.

        Raises:
            TrainingError, StorageError: see `checkpoint`.
        """
        settings = self.run.settings
        late = fit.team.size == 1 and self._clock() - self._saved >= settings.checkpoint_seconds
        if late or (settings.checkpoint_steps and fit.step % settings.checkpoint_steps == 0):
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write all that an interrupted run needs to go on from here.

        Raises:
            TrainingError: see `capture`.
            StorageError: the disk is full; the checkpoint before is kept.
        """
        state = capture(self.fit)
        if self.fit.team.leads:
            patience = {name: [each.best, each.waited] for name, each in (("best", self.best), ("lowest", self.lowest))}
            push_state(self.run.checkpoints, {"fit": state, "rows": self.rows} | patience, keep=not self._damaged)
            self._damaged = False
        self._saved = self._clock()

    def after_epoch(self, epoch: EpochResult, log: Log | None) -> None:
        """Measure an epoch, and keep what it is worth.

        Raises:
            TrainingError: the metric that epochs are chosen by has no value on the validation split; or see `capture`.
            StorageError: the disk is full; the bundles and the checkpoint before are kept.
        """
        settings = self.run.settings
        calibration, metrics = judge(epoch, self.validation.labels, self.manifest.label_names, settings)
        self.rows.append(self._row(epoch, metrics))
        kept = [BEST_ACC] if self.best.better(metrics[settings.metric]) else []
        kept += [BEST_LOSS] if self.lowest.better(-epoch.validation_loss) else []
        kept += [FINAL] if self.over else []
        if self.fit.team.leads:
            config = config_of(settings, self.manifest, calibration, {"epoch": epoch.number}, self.fit.net)
            self._keep(kept, config, metrics)
        self.checkpoint()
        if log:
            log.epoch(self.rows)
            log.say(self._line(self.rows[-1], BEST_ACC in kept))

    def _keep(self, names: list[str], config: BundleConfig, metrics: dict[str, Any]) -> None:
        example = example_of(self.validation) if names else None
        for name in names:
            assert example is not None
            target = self.run.checkpoints / name
            write_bundle(target, self.fit.kept, config, {"validation": metrics}, example, replace=True)

    def _row(self, epoch: EpochResult, metrics: dict[str, Any]) -> dict[str, Any]:
        seconds, self._begun = self._clock() - self._begun, self._clock()
        row = {"epoch": epoch.number, "train_loss": epoch.train_loss, "validation_loss": epoch.validation_loss}
        row |= {"learning_rate": float(self.fit.optimizer.param_groups[0]["lr"]), "seconds": round(seconds, 3)}
        return row | {key: metrics[key] for key in METRICS}

    def _line(self, row: dict[str, Any], best: bool) -> str:
        settings = self.run.settings
        return (
            f"epoch {row['epoch']}/{settings.epochs}: training loss {row['train_loss']:.4f}, validation loss "
            f"{row['validation_loss']:.4f}, {settings.metric} {row[settings.metric]:.4f}{' (best)' if best else ''}, "
            f"{row['seconds']:.1f} s"
        )
