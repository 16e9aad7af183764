"""The zoo's short names: what each model is, how large, and what timm calls it. Light to import, as settings are.

Flows in: a name. Flows out: its row, or the complaint that no model can be called so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.errors import SettingsError, nearest

ENSEMBLE = "ensemble"
"""What bundles of several trained nets have in place of an architecture; see `models.nets.ensemble`."""

_TIMM_NAME = re.compile(r"(timm:)?[a-z][a-z0-9_]*(\.[a-z0-9_]+)?")


@dataclass(frozen=True)
class Architecture:
    """One row of the zoo.

    Args:
        what: a phrase for listings.
        parameters: for 12 bands, 120 px and 19 classes.
        timm: timm's name of it; empty for what is our own.
    """

    what: str
    parameters: int
    timm: str = ""


MODELS: dict[str, Architecture] = {
    "landnet-s": Architecture("our own CNN for multispectral patches, small", 349_571),
    "landnet": Architecture("our own CNN for multispectral patches", 805_651),
    "landnet-l": Architecture("our own CNN for multispectral patches, large: a tenth of resnet50", 2_281_651),
    "random-convolutions": Architecture("one layer of random kernels, pooled: the usual probe's", 86_803),
    "resnet18": Architecture("residual CNN, 18 layers (He et al. 2015)", 11_214_483, "resnet18"),
    "resnet50": Architecture("residual CNN, 50 layers (He et al. 2015)", 23_575_187, "resnet50"),
    "resnet101": Architecture("residual CNN, 101 layers (He et al. 2015)", 42_567_315, "resnet101"),
    "vgg16": Architecture("plain CNN, 16 layers (Simonyan and Zisserman 2014)", 134_343_571, "vgg16"),
    "vgg19": Architecture("plain CNN, 19 layers (Simonyan and Zisserman 2014)", 139_653_267, "vgg19"),
    "densenet121": Architecture("densely connected CNN (Huang et al. 2016)", 7_001_555, "densenet121"),
    "efficientnet_b0": Architecture("CNN scaled evenly (Tan and Le 2019)", 4_034_479, "efficientnet_b0"),
    "efficientnetv2_m": Architecture("CNN made to train fast (Tan and Le 2021)", 52_884_639, "tf_efficientnetv2_m"),
    "swin": Architecture(
        "transformer with shifted windows, tiny (Liu et al. 2021)", 27_547_069, "swin_tiny_patch4_window7_224"
    ),
    "vit": Architecture("vision transformer, small (Dosovitskiy et al. 2020)", 22_507_027, "vit_small_patch16_224"),
    "convnext": Architecture("CNN after transformers, tiny (Liu et al. 2022)", 27_848_563, "convnext_tiny"),
}
"""Short names. Any other classification model of timm goes by timm's name, with or without `timm:` before it."""


def check_model(name: str) -> str:
    """Return a name that can be a model's: one of `MODELS`, or one that timm may know.

    Whether timm does know it is said by `models.nets.build.plan`, which loads timm.

    Raises:
        SettingsError: it cannot be a model's name, or it is that of several nets.
    """
    if name == ENSEMBLE:
        what = "an ensemble is made of nets that are trained already"
        raise SettingsError(what, where="model", hint="Name one of its members' models.")
    if name not in MODELS and not _TIMM_NAME.fullmatch(name):
        raise SettingsError(f'unknown model "{name}"', hint=nearest(name, MODELS))
    return name
