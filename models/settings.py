"""What a training run can be told. Light to import: the command line builds its help from here.

Flows in: flags or YAML. Flows out: one frozen `TrainSettings`, which is also what a trial of a search gets.
"""

from __future__ import annotations

from pydantic import Field

from pipelines.errors import SettingsError, nearest
from pipelines.settings import Settings

MODELS: dict[str, str] = {
    "landnet": "our own CNN for multispectral patches, 0.8 M parameters",
    "resnet18": "He et al. 2015, by timm, 11 M parameters",
}
"""Name to a phrase, for listings and for checking settings without building anything."""


def check_model(name: str) -> str:
    """Return the name of a known model.

    Raises:
        SettingsError: the zoo has no such model.
    """
    if name not in MODELS:
        raise SettingsError(f'unknown model "{name}"', hint=nearest(name, MODELS))
    return name


class Augment(Settings):
    """How training patches are varied, each by its own draw; what is 0 or false is off."""

    flips: bool = Field(default=True, description="flips and quarter turns: the eight symmetries of the square")
    rotation: float = Field(default=0, ge=0, le=45, description="largest rotation in degrees, to either side")
    erasing: float = Field(default=0, ge=0, le=1, description="chance of a patch to have a rectangle erased")
    erasing_area: float = Field(
        default=0.2, gt=0, le=1, description="largest share of a patch's area that a rectangle takes"
    )
    jitter: float = Field(
        default=0, ge=0, le=0.3, description="standard deviation of the factor on each band's brightness"
    )
    mixup: float = Field(
        default=0, ge=0, le=10, description="alpha of the Beta distribution by which pairs of patches are mixed"
    )


class TrainSettings(Settings):
    """One training run: which net on which bands, and how it is fitted."""

    model: str = Field(default="landnet", description="model name; see `landsweep models list`")
    bands: str = Field(default="all", description="band set, or a comma list of bands")
    epochs: int = Field(default=10, ge=1, le=10_000, description="passes over the training split")
    batch_size: int = Field(default=32, ge=1, le=65_536, description="patches a step")
    learning_rate: float = Field(default=2e-3, gt=0, le=10, description="peak learning rate of AdamW")
    weight_decay: float = Field(default=0.02, ge=0, le=10, description="decoupled weight decay of AdamW")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps over which the rate rises")
    augment: Augment = Field(default=Augment(), description="how training patches are varied")
    seed: int = Field(default=0, ge=0, description="weights, order and augmentation follow from it")
    device: str = Field(default="auto", description="cpu, cuda, cuda:1, …; auto takes a GPU if there is one")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 leaves torch's own choice")
