"""What each of timm's families needs so that every pixel of a patch counts, whatever the patch's size.

Flows in: timm's name of a model, a patch size. Flows out: a `Recipe` that timm can build, and the net built from it.

    ResNet, EfficientNet                  any size: their padded convolutions reach over pixels that a stride leaves out
    VGG, DenseNet                         so do theirs; but there is no last grid under 32 px: padded to that
    ConvNeXt                              its stem and its strides have no padding: padded to a multiple of 32
    ViT                                   built for the patch size, padded to a multiple of its own patches (16 px)
    Swin                                  built for the patch size, padded to a multiple of 4; windows of 8 tokens in
                                          place of 7 where that fits better: 120 px is a grid of 30, 15, 8 and 4
    any other                             padded to a multiple of 32, or of its own patches; tried before it is built

timm takes 2 s to import, so that happens where it is needed.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import nn

from models.nets.catalog import MODELS
from models.nets.recipe import Recipe
from pipelines.errors import SettingsError

STRIDE = 32
"""Pixels a side that one cell of the last grid stands for, in nearly every family."""

_LEAST = {"resnet": 1, "efficientnet": 1, "vgg": STRIDE, "densenet": STRIDE}


def recipe(name: str, size: int, *, dropout: float | None = None, drop_path: float | None = None) -> Recipe:
    """How to build timm's `name` for patches of `size` px.

    Raises:
        SettingsError: timm does not know the name, or cannot build it for such patches.
    """
    tried = list(_candidates(timm_name(name), size))
    for found in tried:
        if found.padding(size)[1] >= size:
            continue  # a reflection cannot be longer than what it reflects
        if len(tried) == 1 or _runs(found, size):
            return found.model_copy(update={"dropout": dropout, "drop_path": drop_path})
    raise SettingsError(
        f'"{name}" cannot be built for patches of {size} px', hint="Choose another model, or larger patches."
    )


def build(plan: Recipe, in_chans: int, num_classes: int) -> nn.Module:
    """The net of a recipe with fresh weights, drawn from the global generator.

    Raises:
        SettingsError: timm cannot build it so.
    """
    import timm

    given: dict[str, Any] = {"drop_rate": plan.dropout, "drop_path_rate": plan.drop_path}
    given |= {"img_size": plan.padded(plan.image_size) if plan.image_size else None, "window_size": plan.window or None}
    given = {key: value for key, value in given.items() if value is not None}
    try:
        net: nn.Module = timm.create_model(timm_name(plan.timm), in_chans=in_chans, num_classes=num_classes, **given)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "drop_path_rate" in reason:
            raise SettingsError(f'"{plan.timm}" has no stochastic depth', where="drop_path") from None
        raise SettingsError(f'timm cannot build "{plan.timm}" ({reason})', where="model") from None
    return net


def timm_name(name: str) -> str:
    """timm's name of a model, as `timm:NAME` or plain, with or without the tag of its weights.

    Raises:
        SettingsError: timm has no such model, or no such weights of it.
    """
    import timm

    plain = name.removeprefix("timm:")
    base, _, tag = plain.partition(".")
    if base not in _names():
        close = difflib.get_close_matches(base, sorted({*MODELS, *_names()}), n=3, cutoff=0.6)
        other = "See `landsweep models list`; any classification model of timm goes by its name."
        meant = " or ".join(f'"{each}"' for each in close)
        hint = f"Did you mean {meant}?" if close else other
        raise SettingsError(f'unknown model "{name}"', hint=hint)
    tags = timm.list_pretrained(f"{base}.*") if tag else []
    if tag and plain not in tags:
        hint = f"Known: {', '.join(tags)}." if tags else "timm has no weights of this model."
        raise SettingsError(f'"{base}" has no weights "{tag}"', where="model", hint=hint)
    return plain


@cache
def _names() -> frozenset[str]:
    import timm

    return frozenset(timm.list_models())


def family(name: str) -> str:
    """timm's module that a model is in: `resnet`, `vision_transformer`, …"""
    import timm

    return str(timm.model_entrypoint(name).__module__).rpartition(".")[2]


def _candidates(name: str, size: int) -> Iterator[Recipe]:
    """Recipes to be tried in turn; only one where it is known to work."""
    kind = family(name)
    if kind in _LEAST:
        yield Recipe(timm=name, least=_LEAST[kind])
    elif kind == "convnext":
        yield Recipe(timm=name, multiple=STRIDE)
    elif kind == "swin_transformer" and "_patch4_window7_" in name:
        yield Recipe(timm=name, image_size=size, multiple=4, window=_window(-(-size // 4)))
    else:
        patch, fixed = _own_patches(name)
        if not fixed:
            yield Recipe(timm=name, multiple=STRIDE)
        for multiple in (patch, STRIDE) if patch else (STRIDE,):
            yield Recipe(timm=name, image_size=size, multiple=multiple)


def _own_patches(name: str) -> tuple[int, bool]:
    """Side in pixels of the patches that a transformer cuts, or 0; and whether it is built for one size only."""
    import timm

    net = _on_meta(Recipe(timm=name))
    found = getattr(getattr(net, "patch_embed", None), "patch_size", 0)
    side = int(max(found) if isinstance(found, tuple) else found)
    # Patches of 1 or 2 are cut from what a stem has folded already.
    return side if side > 2 else 0, bool(timm.get_pretrained_cfg(name).fixed_input_size)


def _window(grid: int) -> int:
    """7 as published, or 8 if that leaves fewer tokens of the four stages' grids to be padded."""

    def waste(window: int) -> float:
        sides = [-(-grid // step) for step in (1, 2, 4, 8)]
        return sum((math.ceil(side / window) * window / side) ** 2 for side in sides if side > window)

    return min((7, 8), key=waste)


def _on_meta(plan: Recipe, in_chans: int = 3) -> nn.Module:
    with torch.device("meta"):
        return build(plan, in_chans, 2).eval()


def _runs(plan: Recipe, size: int) -> bool:
    """Whether it can be built and gives one logit a class; tried without memory for its weights."""
    side = plan.padded(size)
    try:
        net = _on_meta(plan)
        with torch.no_grad():
            logits = net(torch.empty(2, 3, side, side, device="meta"))
    except Exception:  # whatever a family of timm's raises on sizes it cannot take
        return False
    return isinstance(logits, torch.Tensor) and logits.shape == (2, 2)
