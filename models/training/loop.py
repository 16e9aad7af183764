"""The fit loop, in plain torch: the one place that trains.

Flows in: a net, splits, `TrainSettings`. Flows out: one `EpochResult` after each epoch, as an iterator, so that a
search can report, checkpoint or stop between epochs without the loop knowing of searches.

Steps go on bit for bit on a CPU from wherever `fit_state` captured them, within an epoch too. A last batch of one
patch, which would poison batch norm, does not come about: it is joined to the batch before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.device import autocast, own_compile_errors, own_memory_errors, tuned_kernels
from models.measure.evaluate import Evaluation, evaluate
from models.nets.build import ReflectanceNet
from models.processes import ALONE, Team
from models.settings import TrainSettings
from models.training.augment import augment
from models.training.ema import Average
from models.training.losses import create_loss
from models.training.optimizer import Schedule, create_optimizer
from models.training.sampling import sample_weights
from pipelines.errors import SettingsError, TrainingError
from pipelines.feeding.batches import Batches
from pipelines.feeding.epoch_order import Plan
from pipelines.feeding.rows import Rows

_CALM = "Lower the learning rate, and check the data with `landsweep data check`."
_HALF = "Lower the learning rate, or use --precision bf16, whose range is that of fp32."
_ROOM = "Raise --accumulate, which cuts the batch into parts (a run goes on so, with --resume); or lower --batch-size."


@dataclass(frozen=True)
class EpochResult:
    """After one epoch: its number from 1, losses, and the validation split's logits (rows, classes)."""

    number: int
    train_loss: float
    validation_loss: float
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]


@dataclass
class Fit:
    """A net being fitted: everything that changes while it learns; `fit_state` saves and restores it.

    `done` epochs are over, and `step` steps of the next one; `total` is the sum of the losses of its patches so far,
    and `noise` the state of torch's generators where an interrupted epoch goes on. `kept` is the net to evaluate and
    keep: the mean of the weights where the settings ask for one, else the net itself.
    """

    net: ReflectanceNet
    settings: TrainSettings
    size: int
    device: torch.device
    team: Team = ALONE
    done: int = 0
    step: int = 0
    optimizer: torch.optim.AdamW = field(init=False)
    schedule: Schedule = field(init=False)
    generator: torch.Generator = field(init=False)
    average: Average[ReflectanceNet] | None = field(init=False, default=None)
    total: float = field(init=False, default=0.0)
    noise: tuple[Tensor, Tensor | None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        # Channels last: 1.6 × faster on a CPU for landnet, and what tensor cores want. Patches stay as they come: a
        # convolution with such weights brings them into that order itself, and normalising is quicker before.
        self.net.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = create_optimizer(self.net, self.settings.weight_decay)
        self.schedule = Schedule(self.settings)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.settings.precision == "fp16")
        self.generator = torch.Generator().manual_seed(self.settings.seed + self.team.number * 1_000_003)
        if self.settings.ema:
            self.average = Average(self.net, self.settings.ema)
        self._pending: tuple[Tensor, int] | None = None

    @property
    def kept(self) -> ReflectanceNet:
        """The mean of the weights where the settings ask for one, else the net itself."""
        return self.average.net if self.average else self.net

    def epochs(
        self, train: Rows, validation: Rows, after_step: Callable[[Fit], None] = lambda _: None
    ) -> Iterator[EpochResult]:
        """Train from where the fit stands to the last epoch, one result an epoch.

        Args:
            train, validation: splits with the same bands.
            after_step: called after each step but an epoch's last, when the fit may be captured.

        Raises:
            TrainingError: the loss is no longer a finite number, or a step does not fit into memory.
            SettingsError: batch norm would see a single patch, or the net cannot be compiled.
        """
        for rows, what in ((train, "learn from"), (validation, "validate on")):
            if not len(rows):
                raise TrainingError(f"there are no patches to {what}", hint="Ingest more.")
        batches, loss = self._batches(train), self._loss(train)
        wrapped = self.team.wrap(self.net, self.device)
        call = torch.compile(wrapped) if self.settings.compile else wrapped
        while self.done < self.settings.epochs:
            train_loss = self._epoch(batches, loss, call, after_step)
            self.align()
            try:
                found = self._validate(validation, loss)
            except TrainingError as error:
                raise TrainingError(
                    f"{error.what} on validation after epoch {self.done + 1}", hint=error.hint
                ) from None
            self.schedule.after_epoch(found.loss)
            self.done, self.step = self.done + 1, 0
            yield EpochResult(self.done, train_loss, found.loss, found.logits, found.probabilities)

    def steps(self, rows: int) -> int:
        """Steps of an epoch over so many rows."""
        return Plan(least=2 * self.team.size).steps(rows, self.settings.batch_size)

    def seen(self, rows: int) -> int:
        """Patches seen so far, of a training split of so many rows."""
        return self.done * rows + min(self.step * self.settings.batch_size, rows)

    def look(self, train: Rows, validation: Rows) -> EpochResult:
        """How the net stands in the middle of an epoch, between two steps; it goes on as if nobody had looked.

        Raises:
            TrainingError: see `epochs`.
        """
        self.settle()
        self.align()
        found = self._validate(validation, self._loss(train))
        self.net.train()
        so_far = self.total / max(1, min(self.step * self.settings.batch_size, len(train)))
        return EpochResult(self.done + 1, so_far, found.loss, found.logits, found.probabilities)

    def _batches(self, train: Rows) -> Batches:
        settings, team = self.settings, self.team
        if settings.batch_size < team.size:
            raise SettingsError(f"{settings.batch_size} patches for {team.size} workers", where="batch_size")
        least = min(settings.batch_size, len(train)) // team.size
        if least < 2 and any(isinstance(module, _BatchNorm) for module in self.net.modules()):
            what = f"batch norm needs 2 patches a step and worker, there {'is' if least == 1 else 'are'} {least}"
            raise SettingsError(what, where="batch_size", hint="Use larger batches, or a model without batch norm.")
        plan = Plan(weights=self._weights(train), least=2 * team.size, share=(team.number, team.size))
        return Batches(train, settings.batch_size, self.size, device=self.device, shuffle_seed=settings.seed, plan=plan)

    def _loss(self, train: Rows) -> nn.Module:
        """Its weights of classes go by what the net sees: where rows are drawn by weight, by what is expected then."""
        weights = self._weights(train)
        seen = train.labels.sum(axis=0) if weights is None else weights @ train.labels * (len(train) / weights.sum())
        return create_loss(self.settings.loss, seen.tolist(), len(train)).to(self.device)

    def _weights(self, train: Rows) -> NDArray[np.float64] | None:
        return sample_weights(train.labels) if self.settings.sampling == "weighted" else None

    def _validate(self, validation: Rows, loss: nn.Module) -> Evaluation:
        """In full precision, whatever is trained in: temperature and thresholds are for the net that will be served."""
        return evaluate(self.kept, validation, self.size, self.device, loss, team=self.team)

    def _epoch(
        self, batches: Batches, loss: nn.Module, call: Callable[[Tensor], Tensor], after_step: Callable[[Fit], None]
    ) -> float:
        """The rest of an epoch, and the mean loss of all of it."""
        self.net.train()
        self._seed()
        steps = len(batches)
        batches.epoch, batches.plan = self.done, replace(batches.plan, skip=self.step)
        what = f"a step of {self.settings.batch_size} patches of {self.size} px"
        with own_memory_errors(what, _ROOM), own_compile_errors(), tuned_kernels(self.device):
            for images, labels in batches:
                for group in self.optimizer.param_groups:
                    group["lr"] = self.schedule.rate(self.done * steps + self.step, self.settings.epochs * steps)
                rows = batches.plan.size(self.step, len(batches.rows), self.settings.batch_size)
                value = self._learn(images, labels, rows, loss, call)
                # Of the step before, so that a GPU has this one to do while its number is waited for.
                self.settle()
                self._pending = value, len(images)
                self.step += 1
                if self.step < steps:
                    after_step(self)
        self.settle()
        total, self.total = self.team.sum(self.total), 0.0
        return total / len(batches.rows)

    def _learn(
        self, images: Tensor, labels: Tensor, rows: int, loss: nn.Module, call: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """One step on this worker's share of a batch of `rows` patches; returns the share's mean loss."""
        images, labels = augment(images, labels, self.settings.augment, self.generator)
        parts = min(self.settings.accumulate, max(1, len(images) // 2))
        self.optimizer.zero_grad(set_to_none=True)
        value = torch.zeros((), device=self.device)
        for number, (some, truth) in enumerate(
            zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True)
        ):
            with self.team.quiet(call) if number < parts - 1 else nullcontext():
                with autocast(self.device, self.settings.precision):
                    logits = call(some)
                mean: Tensor = loss(logits, truth)
                torch.autograd.backward(self.scaler.scale(mean * self.team.share(rows, len(some))))
            value += mean.detach() * (len(some) / len(images))
        if self.settings.clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.net.parameters(), self.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update(self.net)
        return value

    def align(self) -> None:
        """Have all members of a team the same running statistics."""
        self.team.align(self.net)
        if self.average:
            self.team.align(self.average.net)

    def settle(self) -> None:
        """Count the loss of the step before, and see that it is a number.

        Raises:
            TrainingError: it is not finite.
        """
        if self._pending is None:
            return
        (value, rows), self._pending = self._pending, None
        number = value.item()
        if not math.isfinite(number):
            what = f"loss is {number} in epoch {self.done + 1}, step {self.step}"
            raise TrainingError(what, hint=_HALF if self.settings.precision == "fp16" else _CALM)
        self.total += number * rows

    def _seed(self) -> None:
        """What dropout and the like draw from: anew for each epoch, or as it was when an epoch was interrupted."""
        if self.noise is None:
            torch.manual_seed(self.settings.seed * 100_003 + self.done + self.team.number * 1_000_003)
            return
        (cpu, gpu), self.noise = self.noise, None
        torch.set_rng_state(cpu)
        if gpu is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(gpu, self.device)
