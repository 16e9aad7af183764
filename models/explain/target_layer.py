"""Where Grad-CAM looks: the last layer of a net that still has a grid, and how to read what it gives.

Flows in: a net of the zoo. Flows out: a layer, and a function to (batch, channels, h, w) where the layer gives
channels last (Swin) or tokens (ViT).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from models.nets.landnet import SIZES
from models.nets.random_convolutions import NAME as RANDOM
from pipelines.errors import SettingsError

if TYPE_CHECKING:
    from models.nets.build import ReflectanceNet

Reshape = Callable[[Tensor], Tensor]

_LAYERS = {
    "resnet": "layer4",
    "densenet": "features.norm5",
    "efficientnet": "bn2",
    "convnext": "stages",
}
"""Family to the module that gives the last grid, channels first."""


def cam_target(architecture: str, net: ReflectanceNet) -> tuple[nn.Module, Reshape | None]:
    """The layer whose activations Grad-CAM weighs.

    Returns:
        The layer, and what brings its output to (batch, channels, h, w) if it is not of that form. The grid lies on
        what `net.prepare` gives: run the method on `net.backbone`, and `net.crop` the maps that come out.

    Raises:
        SettingsError: no layer of the net has a grid.
    """
    backbone = net.backbone
    if architecture in SIZES or architecture == RANDOM:
        return backbone.get_submodule("features"), None
    from models.nets.families import family

    kind = family(net.recipe.timm)
    if kind in _LAYERS:
        return backbone.get_submodule(_LAYERS[kind]), None
    if kind == "vgg":
        return cast(nn.Sequential, backbone.features)[-2], None  # before the last pooling
    if kind == "swin_transformer":
        return backbone.get_submodule("norm"), _from_channels_last
    blocks, prefix = getattr(backbone, "blocks", None), getattr(backbone, "num_prefix_tokens", None)
    if isinstance(blocks, nn.Sequential | nn.ModuleList) and isinstance(prefix, int) and hasattr(blocks[-1], "norm1"):
        # A class token sees the patch's tokens as the last block reads them, not as it leaves them.
        return blocks[-1].get_submodule("norm1"), partial(_from_tokens, prefix=prefix)
    return _last_grid(net)


def _from_tokens(tokens: Tensor, prefix: int = 0) -> Tensor:
    """(batch, prefix + h·w, channels) to (batch, channels, h, w), of square grids; the prefix may come in later blocks.

    Raises:
        ValueError: the tokens are of no square grid.
    """
    count = tokens.shape[1]
    for skipped in (prefix, 0):
        side = math.isqrt(max(0, count - skipped))
        if side * side == count - skipped:
            return _from_channels_last(tokens[:, skipped:].reshape(len(tokens), side, side, -1))
    raise ValueError(f"{count} tokens are no square grid")


def _from_channels_last(maps: Tensor) -> Tensor:
    return maps.permute(0, 3, 1, 2)


def _last_grid(net: ReflectanceNet) -> tuple[nn.Module, Reshape | None]:
    """The last module to finish with a grid of more than one cell; found by running the net once on zeros."""
    last: list[tuple[nn.Module, Reshape | None]] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            last.extend((module, reshape) for reshape in _readings(output.shape))

    hooks = [module.register_forward_hook(note) for module in net.backbone.modules()]
    side, training = net.recipe.image_size or 128, net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, net.mean.shape[1], side, side, device=net.mean.device))
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    if not last:
        raise SettingsError("no layer of this model has a grid to look at", hint="Explain another model.")
    return last[-1]


def _readings(shape: torch.Size) -> list[Reshape | None]:
    """What brings an output of this shape, of one patch, to a grid with channels first; none if it has no grid."""
    if len(shape) == 4 and shape[1] == shape[2] > 1 and shape[3] != shape[2]:
        return [_from_channels_last]
    if len(shape) == 4 and shape[2] == shape[3] > 1:
        return [None]
    if len(shape) == 3 and shape[0] == 1 and shape[1] > 1 and math.isqrt(shape[1]) ** 2 == shape[1]:
        return [_from_tokens]
    return []
