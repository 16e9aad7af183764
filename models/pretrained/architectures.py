"""Which of timm's nets tensors seem to be of, by how many and how wide they are.

Flows in: tensors by timm's names. Flows out: a model's name, or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from models.pretrained.forms import Formed


def guess_model(formed: Formed) -> str:
    """timm's name of the net that the tensors seem to be of; empty where nothing tells."""
    state = formed.state
    if formed.form == "efficientnet-pytorch":
        return _efficientnet_of(state)
    if formed.form == "torchvision-swin":
        widths = {96: "swinv2_tiny_window8_256", 128: "swinv2_base_window8_256"}
        return widths.get(_length(state, "patch_embed.norm.weight"), "")
    if "layer1.0.conv1.weight" in state and "conv1.weight" in state:
        return _resnet_of(state)
    if "blocks.0.attn.qkv.weight" in state and formed.first is not None:
        size = {192: "tiny", 384: "small", 768: "base", 1024: "large"}.get(len(formed.first), "")
        side = int(formed.first.shape[-1])
        return f"vit_{size}_patch{side}_{'dinov2' if 'blocks.0.ls1.gamma' in state else '224'}" if size else ""
    return ""


def _resnet_of(state: Mapping[str, Tensor]) -> str:
    blocks = [_count(state, rf"layer{stage}\.(\d+)\.") for stage in (1, 2, 3, 4)]
    deep = "layer1.0.conv3.weight" in state
    layers = {"2222": "18", "3463": "50" if deep else "34", "34233": "101", "38363": "152"}
    found = layers.get("".join(map(str, blocks)), "")
    return f"resnet{found}" if found and deep == (found not in ("18", "34")) else ""


def _efficientnet_of(state: Mapping[str, Tensor]) -> str:
    widths = {(32, 16): "0", (32, 23): "1", (40, 26): "3", (48, 32): "4", (48, 39): "5", (56, 45): "6", (64, 55): "7"}
    blocks = sum(_count(state, rf"blocks\.{stage}\.(\d+)\.") for stage in range(7))
    found = widths.get((_length(state, "conv_stem.weight"), blocks), "")
    if found == "1" and _length(state, "blocks.6.0.conv_pwl.weight") == 352:
        found = "2"  # as deep as B1, and wider
    return f"tf_efficientnet_b{found}" if found else ""


def _count(names: Iterable[str], pattern: str) -> int:
    return len({found[1] for name in names if (found := re.match(pattern, name))})


def _length(state: Mapping[str, Tensor], name: str) -> int:
    return len(state.get(name, torch.empty(0)))
