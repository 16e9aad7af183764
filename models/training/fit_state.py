"""What a fit knows at a moment, as tensors and plain values, and back: what a checkpoint holds.

Flows in: a `Fit` between two steps. Flows out: a mapping from which another `Fit` with the same settings goes on as if
nothing had been, on a CPU to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.training.checkpoint import read_state, write_state
from models.training.loop import Fit
from pipelines.errors import TrainingError


def capture(fit: Fit) -> dict[str, Any]:
    """Everything that `restore` needs; a team's members have to call it together.

    Raises:
        TrainingError: the loss or the weights are no finite numbers.
    """
    fit.settle()
    fit.align()
    if not all(bool(each.isfinite().all()) for each in fit.net.state_dict().values()):
        hint = "Lower the learning rate, and check the data with `landsweep data check`."
        raise TrainingError(f"weights are no numbers after step {fit.step} of epoch {fit.done + 1}", hint=hint)
    gpu = torch.cuda.get_rng_state(fit.device) if fit.device.type == "cuda" else None
    own = {"augment": fit.generator.get_state(), "cpu": torch.get_rng_state(), "gpu": gpu, "total": fit.total}
    return {
        "net": fit.net.state_dict(),
        "statistics": fit.net.statistics,
        "optimizer": fit.optimizer.state_dict(),
        "schedule": fit.schedule.state_dict(),
        "scaler": fit.scaler.state_dict(),
        "average": fit.average.state_dict() if fit.average else None,
        "workers": fit.team.gather(own),
        "done": fit.done,
        "step": fit.step,
    }


def restore(fit: Fit, state: Mapping[str, Any]) -> None:
    """Go on from where `capture` was called.

    Raises:
        TrainingError: the state is of another net, or of other settings.
    """
    try:
        own = state["workers"][fit.team.number]
        fit.net.load_state_dict(state["net"])
        # Of pretrained weights, which a run that goes on does not read again; states of before have none.
        for net in (fit.net, fit.kept) if "statistics" in state else ():
            net.normalise_by(*state["statistics"])
        fit.optimizer.load_state_dict(state["optimizer"])
        fit.schedule.load_state_dict(state["schedule"])
        fit.scaler.load_state_dict(state["scaler"])
        if fit.average:
            fit.average.load_state_dict(state["average"])
        fit.generator.set_state(own["augment"].cpu())
        gpu = None if own["gpu"] is None else own["gpu"].cpu()
        fit.done, fit.step, fit.total = int(state["done"]), int(state["step"]), float(own["total"])
        fit.noise = (own["cpu"].cpu(), gpu) if fit.step else None
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        what = f"checkpoint does not fit these settings ({type(error).__name__})"
        raise TrainingError(what, hint="Go on with the settings that it was made with.") from None


def save(fit: Fit, path: Path) -> None:
    """Write what `load` needs to go on from here.

    Raises:
        TrainingError: see `capture`.
        StorageError: the disk is full.
    """
    write_state(path, capture(fit))


def load(fit: Fit, path: Path) -> None:
    """Go on from a file that `save` wrote.

    Raises:
        TrainingError: the file is damaged, or of another net.
    """
    restore(fit, read_state(path))
