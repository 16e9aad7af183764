"""AdamW and its learning rate: a linear warmup, then a cosine to zero, or steps down wherever learning stands still.

Flows in: a net and `TrainSettings`. Flows out: the optimizer, and a rate for each step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from models.settings import TrainSettings
from models.training.patience import Patience


def create_optimizer(net: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2017) over what can be learned; its rate is set before each step."""
    # Fused: one pass over the weights in place of a dozen; of the zoo, vgg19 has 140 million.
    return torch.optim.AdamW(_groups(net, weight_decay), lr=0.0, fused=True)


def _groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels only: decaying biases, norms and scales pulls them off their start for nothing. So it
    does embeddings of positions, which are matrices: timm's nets name these themselves."""
    parameters = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    spared = {
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in net.named_modules()
        if callable(names := getattr(module, "no_weight_decay", None))
        for name in names()
    }
    decayed = {name for name, each in parameters.items() if each.squeeze().ndim > 1} - spared
    return [
        {"params": [each for name, each in parameters.items() if name in decayed], "weight_decay": weight_decay},
        {"params": [each for name, each in parameters.items() if name not in decayed], "weight_decay": 0.0},
    ]


@dataclass
class Schedule:
    """The learning rate of each step; see `TrainSettings.schedule`. A plateau is one of the validation loss.

    The cosine is that of Loshchilov and Hutter, "SGDR", 2016, without restarts.
    """

    settings: TrainSettings
    falls: int = 0
    patience: Patience = field(default_factory=Patience)

    def rate(self, step: int, steps: int) -> float:
        """Of the step `step` (from 0) of `steps` in the whole fit."""
        peak = self.settings.learning_rate
        warmup = max(1, round(self.settings.warmup * steps))
        if step < warmup:
            return peak * (step + 1) / warmup
        if self.settings.schedule == "plateau":
            return peak * self.settings.plateau_factor**self.falls
        progress = (step - warmup) / max(1, steps - warmup)
        return peak * (1 + math.cos(math.pi * progress)) / 2

    def after_epoch(self, validation_loss: float) -> None:
        """Take note of how an epoch ended."""
        if not self.patience.better(-validation_loss) and self.patience.waited >= self.settings.plateau_patience:
            self.falls += 1
            self.patience.waited = 0

    def state_dict(self) -> dict[str, float]:
        """What `load_state_dict` needs to go on from here: plateaus so far, and the wait for the next."""
        return {"falls": self.falls, "best": self.patience.best, "waited": self.patience.waited}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from what `state_dict` gave."""
        self.falls = int(state["falls"])
        self.patience = Patience(float(state["best"]), int(state["waited"]))
