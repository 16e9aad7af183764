"""What is known of a family of nets before anything was tried: rates, decays and drop paths that suit it.

Flows in: a model's name. Flows out: a bell for each, with where it is from. Light to import, as settings are.

All are for AdamW and batches of 32, as a run has them if nothing is said. Recipes are published for batches of a
thousand and more: their rates are brought down here by the square root of the batch, as Adam's noise grows (Malladi et
al. 2022). They are beliefs, not truths: a search draws around them at first, and less as results come in.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from models.nets.catalog import MODELS

BATCH = 32
"""Patches a step that the rates are for."""


@dataclass(frozen=True)
class Bell:
    """A normal distribution, of the number or of its logarithm.

    Args:
        centre: the number itself, where it is highest.
        spread: one standard deviation, as a number; of the logarithm, as a factor.
        log: whether it is one of the logarithm.
    """

    centre: float
    spread: float
    log: bool = True


@dataclass(frozen=True)
class Prior:
    """What suits a family; `drop_path` is None where it has no stochastic depth. `source` says how it is known."""

    source: str
    learning_rate: Bell
    weight_decay: Bell
    drop_path: Bell | None


def _published(rate: float, batch: int) -> Bell:
    """A rate that was published for larger batches, so it may be off by more."""
    return Bell(rate * sqrt(BATCH / batch), 2.5)


def _share(centre: float) -> Bell:
    return Bell(centre, 0.1, log=False)


PRIORS: dict[str, Prior] = {
    "landnet": Prior(
        "the project's own recipe, in docs/models.md; there stochastic depth of 0.1 took half a point",
        Bell(2e-3, 2), Bell(0.02, 3), _share(0),
    ),
    "resnet": Prior(
        "rate: docs/models.md, where twice as much does as well (benchmarks/results/eurosat-rates.txt); the rest: "
        "Wightman et al. 2021, procedure A2",
        Bell(1e-3, 2), Bell(0.02, 3), _share(0.05),
    ),
    "efficientnet": Prior(
        "drop path: Tan and Le 2019; their RMSProp's rate and decay mean other things to AdamW: resnet's, but wider",
        Bell(1e-3, 2.5), Bell(0.02, 4), _share(0.2),
    ),
    "densenet": Prior(
        "published with SGD alone: resnet's, but wider, without stochastic depth",
        Bell(1e-3, 2.5), Bell(0.02, 4), None,
    ),
    "vgg": Prior(
        "published with SGD alone, at a tenth of what nets with batch norm take (Simonyan and Zisserman 2014): "
        "a tenth of resnet's, but wider, without stochastic depth",
        Bell(1e-4, 3), Bell(0.02, 4), None,
    ),
    "swin": Prior(
        "Liu et al. 2021, tiny: 1e-3 for 1024 patches", _published(1e-3, 1024), Bell(0.05, 2.5), _share(0.2)
    ),
    "vit": Prior(
        "Touvron et al. 2021, small: 1e-3 for 1024 patches", _published(1e-3, 1024), Bell(0.05, 2.5), _share(0.1)
    ),
    "convnext": Prior(
        "Liu et al. 2022, tiny: 4e-3 for 4096 patches", _published(4e-3, 4096), Bell(0.05, 2.5), _share(0.1)
    ),
    "random-convolutions": Prior(
        "one linear layer is all that it learns: a guess", Bell(2e-3, 4), Bell(0.02, 4), None
    ),
}  # fmt: skip
"""By family: what a model's name, ours or timm's, begins with."""

OTHER = Prior(
    "a family that nothing is known of: a guess between the others'", Bell(5e-4, 4), Bell(0.03, 4), _share(0.1)
)

_ALSO = {"deit": "vit", "tf_efficientnet": "efficientnet", "resnext": "resnet", "wide_resnet": "resnet"}


def prior_of(model: str) -> Prior:
    """What suits a model of the zoo, or any of timm's, by the family that its name says."""
    name = (MODELS[model].timm if model in MODELS else "") or model.removeprefix("timm:")
    for start, family in {**_ALSO, **{each: each for each in PRIORS}}.items():
        if name.startswith(start):
            return PRIORS[family]
    return OTHER
