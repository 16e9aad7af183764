"""Models by name: our own and timm's, all with the same face.

Flows in: a model's name, band statistics, number of classes.
Flows out: a `ReflectanceNet`: digital numbers in, logits out. Normalisation lies inside it, so a bundle cannot be
served with other statistics than it was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.landnet import LandNet
from models.settings import check_model


class ReflectanceNet(nn.Module):
    """A net on reflectance: subtracts each band's mean, divides by its deviation, and runs the backbone.

    Args:
        backbone: takes normalised float32 (batch, bands, size, size), gives logits (batch, classes).
        mean, std: digital numbers, one a band, in the order of the channels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.backbone = backbone
        # Not in the weights file: config.json holds them by band name, and is the only place they live.
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).clamp_min(1.0).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.backbone((images - self.mean) / self.std)
        return logits


def create_net(
    name: str, *, mean: Sequence[float], std: Sequence[float], num_classes: int, seed: int | None = None
) -> ReflectanceNet:
    """Build a net with fresh weights, drawn from `seed` without touching the global generator if one is given.

    Raises:
        SettingsError: the zoo has no such model.
    """
    check_model(name)
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        return ReflectanceNet(_backbone(name, len(mean), num_classes), mean, std)


def _backbone(name: str, in_chans: int, num_classes: int) -> nn.Module:
    if name == "landnet":
        return LandNet(in_chans, num_classes)
    import timm  # takes 2 s, which landnet alone need not pay

    backbone: nn.Module = timm.create_model(name, in_chans=in_chans, num_classes=num_classes)
    return backbone


def cam_layer(name: str, net: ReflectanceNet) -> nn.Module:
    """The layer whose activations Grad-CAM weighs: the last one with a spatial grid."""
    layer = net.backbone.features[-1] if name == "landnet" else net.backbone.layer4[-1]  # type: ignore[index]  # a Module to mypy
    assert isinstance(layer, nn.Module)
    return layer
