"""Training loops of one model to be timed side by side: `models.training.loop.Fit`, and plain ones of the same weights.

Flows in: a model's name, rows in memory, a batch size, a device. Flows out: loops that do some steps and say how long
these took.

Ours is the fit as `landsweep train` runs it: native uint16 gathered and brought to one grid by a thread beside the net,
normalised and padded in the net, the loss with its weights, clipping, AdamW with its schedule. Augmentation is off, as
the plain loops have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import cycle, islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.operations import wait
from benchmarks.plain_loop import Batch, Plain, Stacked, loading, lying_ready
from benchmarks.rounds import Clock, Run
from models.device import DTYPES
from models.nets.build import ReflectanceNet, create_net
from models.settings import Augment, TrainSettings
from models.training.loop import Fit
from pipelines.bands import ALL_BANDS, PATCH_SIZE, SENTINEL2
from pipelines.dataset.part_file import ROWS_PER_GROUP
from pipelines.feeding.batches import AHEAD, assemble
from pipelines.feeding.rows import Chunk, Split

OURS, READY, LOADER = "ours", "plain", "DataLoader"
CLASSES = 19
MEAN, DEVIATION = 5_000.0, 2_887.0  # of what `make_rows` makes


class Target(NamedTuple):
    """Where nets run, and in what: fp32 or bf16."""

    device: torch.device
    precision: str

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES.get(self.precision, torch.float32)


class Loop(Protocol):
    """Does `warm` steps, then times `steps` more."""

    def run(self, warm: int, steps: int) -> Run: ...


class _EnoughError(Exception):
    """Ends an epoch after the steps that are timed."""


class Ours:
    """A fit; each call of `run` does the beginning of an epoch."""

    def __init__(self, name: str, chunks: Sequence[Chunk], batch: int, target: Target) -> None:
        given: dict[str, Any] = {"model": name, "batch_size": batch, "precision": target.precision}
        self.fit = Fit(new_net(name), TrainSettings(**given, augment=Augment(flips=False)), PATCH_SIZE, target.device)
        self.chunks, self.batch = chunks, batch

    def run(self, warm: int, steps: int) -> Run:
        # The epoch goes on after what is timed: the thread that makes batches has as much to do in the last step.
        count = -(-(warm + steps + AHEAD + 2) * self.batch // ROWS_PER_GROUP)
        rows = Split(ALL_BANDS, tuple(islice(cycle(self.chunks), count)))
        clocks, found = list[Clock](), list[Run]()

        def after_step(fit: Fit) -> None:
            if fit.step == warm:
                wait(fit.device)
                clocks.append(Clock())
            elif fit.step == warm + steps:
                wait(fit.device)
                found.append(clocks[0].stop(steps * self.batch))
                raise _EnoughError

        self.fit.step = 0
        with suppress(_EnoughError):
            next(self.fit.epochs(rows, rows, after_step))
        return found[0]


class Theirs:
    """A plain loop. It has cuDNN try which of its kernels is quickest, as everybody does whose batches are alike."""

    def __init__(self, plain: Plain, batch: int) -> None:
        self.plain, self.batch = plain, batch

    def run(self, warm: int, steps: int) -> Run:
        torch.backends.cudnn.benchmark = True
        try:
            for _ in range(warm):
                self.plain.step()
            wait(self.plain.device)
            clock = Clock()
            for _ in range(steps):
                self.plain.step()
            wait(self.plain.device)
            return clock.stop(steps * self.batch)
        finally:
            torch.backends.cudnn.benchmark = False


def make_rows(patches: int) -> list[Chunk]:
    """Row groups of made-up patches in all bands, at least so many patches, as `read_split` has them."""
    random, rows = np.random.default_rng(0), ROWS_PER_GROUP

    def group() -> Chunk:
        found: Chunk = {"labels": random.integers(0, 2, (rows, CLASSES), np.uint8)}
        for band in ALL_BANDS:
            side = SENTINEL2[band].size
            found[band] = random.integers(0, 10_000, (rows, side, side), np.uint16)
        return found

    return [group() for _ in range(-(-patches // rows))]


def new_net(name: str) -> ReflectanceNet:
    """A net of the zoo for what `make_rows` makes, always with the same weights."""
    mean, std = [MEAN] * len(ALL_BANDS), [DEVIATION] * len(ALL_BANDS)
    return create_net(name, mean=mean, std=std, bands=ALL_BANDS, num_classes=CLASSES, image_size=PATCH_SIZE, seed=0)


def plain_net(ours: ReflectanceNet, name: str) -> nn.Module:
    """The same backbone with the same weights, as one makes it without us: by timm, for patches that are padded to the
    same size; landnet, which timm does not have, by its class."""
    import timm

    recipe = ours.recipe
    net: nn.Module
    if recipe.timm:
        given = {"img_size": recipe.padded(recipe.image_size)} if recipe.image_size else {}
        given |= {"window_size": recipe.window} if recipe.window else {}
        net = timm.create_model(recipe.timm, in_chans=len(ALL_BANDS), num_classes=CLASSES, **given)
    else:
        net = new_net(name).backbone
    net.load_state_dict(ours.backbone.state_dict())
    return net


def loops(name: str, chunks: Sequence[Chunk], batch: int, target: Target) -> tuple[ReflectanceNet, dict[str, Loop]]:
    """The net of ours, and all loops: ours, a plain one that finds its batches ready, and one that has a DataLoader, as
    no memory holds every split made ready.

    Raises:
        RuntimeError: the nets give other logits than each other.
    """
    ours = Ours(name, chunks, batch, target)
    net, split = ours.fit.net, Split(ALL_BANDS, tuple(chunks))
    taken = split.take(np.arange(len(split)))
    labels = torch.from_numpy(taken["labels"]).to(target.device, torch.float32)
    digital = assemble(taken, ALL_BANDS, PATCH_SIZE, target.device)
    with torch.no_grad():
        ready = net.prepare(digital)

    def plain(batches: Iterator[Batch]) -> Theirs:
        backbone = plain_net(net, name)
        found = Theirs(Plain(backbone, batches, target.device, target.dtype), batch)
        check(net, digital[:4], backbone, ready[:4])
        return found

    found: dict[str, Loop] = {OURS: ours, READY: plain(lying_ready(ready, labels, batch))}
    stacked = Stacked(digital.to("cpu", torch.uint16), labels.cpu())
    found[LOADER] = plain(loading(stacked, batch, net.prepare, target.device))
    return net, found


@torch.no_grad()
def check(ours: nn.Module, digital: Tensor, theirs: nn.Module, ready: Tensor) -> None:
    """Both give the same logits of the same patches, but for rounding.

    Raises:
        RuntimeError: they do not.
    """
    one, other = ours.eval()(digital), theirs.eval()(ready)
    theirs.train()
    if not torch.allclose(one, other, rtol=1e-2, atol=1e-2):
        raise RuntimeError(f"the plain loop's net gives other logits, by up to {(one - other).abs().max():.3g}")
