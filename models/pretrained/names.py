"""Names that other packages give to a net's tensors, to timm's.

Flows in: tensors by the names of efficientnet-pytorch or of torchvision's Swin v2. Flows out: the same by timm's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from torch import Tensor

_REPEATS, _DEPTHS = (1, 2, 2, 3, 3, 4, 1), (1.0, 1.1, 1.4, 1.8, 2.2, 2.6, 3.1)
"""Blocks a stage of EfficientNet-B0, and by what they are multiplied in B0, B1 and B2, B3 … B7 (Tan and Le 2019)."""


def from_efficientnet_pytorch(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm's names for those of efficientnet-pytorch, if it is that; numbers of 16 bits as 32."""
    if "_conv_stem.weight" not in tensors:
        return dict(tensors)
    numbers = {int(found[1]) for name in tensors if (found := re.match(r"_blocks\.(\d+)\.", name))}
    places = _places(len(numbers))
    return {_efficientnet(name, places): each.float() if each.is_floating_point() else each
            for name, each in tensors.items()}  # fmt: skip


def _places(count: int) -> list[tuple[int, int]]:
    """Stage and block of each block, of as many as one of B0 … B7 has; none of any other number."""
    for depth in _DEPTHS:
        stages = [math.ceil(depth * repeats) for repeats in _REPEATS]
        if sum(stages) == count:
            return [(stage, block) for stage, blocks in enumerate(stages) for block in range(blocks)]
    return []


_ENDS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_FIRST_STAGE = _EXPANDED | {"_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Blocks of the first stage have no expansion."""


def _efficientnet(name: str, places: list[tuple[int, int]]) -> str:
    if not name.startswith("_blocks."):
        layer, _, rest = name.partition(".")
        return f"{_ENDS.get(layer, layer)}.{rest}"
    _, number, layer, rest = name.split(".", 3)
    if int(number) >= len(places):
        return name
    stage, block = places[int(number)]
    names = _EXPANDED if stage else _FIRST_STAGE
    return f"blocks.{stage}.{block}.{names.get(layer, layer)}.{rest}"


_SWIN: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"features\.0\.0\.", lambda _: "patch_embed.proj."),
    (r"features\.0\.2\.", lambda _: "patch_embed.norm."),
    (r"features\.(\d*[13579])\.", lambda found: f"layers.{int(found[1]) // 2}.blocks."),
    (r"features\.(\d*[02468])\.", lambda found: f"layers.{int(found[1]) // 2}.downsample."),
    (r"(?<=blocks\.)(\d+)\.mlp\.0\.", lambda found: f"{found[1]}.mlp.fc1."),
    (r"(?<=blocks\.)(\d+)\.mlp\.3\.", lambda found: f"{found[1]}.mlp.fc2."),
    (r"^head\.", lambda _: "head.fc."),
)


def from_torchvision_swin(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm's names; the bias of queries, keys and values is one there, and that of keys is nothing here."""
    state: dict[str, Tensor] = {}
    for name, each in tensors.items():
        for pattern, new in _SWIN:
            name = re.sub(pattern, new, name)
        if name.endswith("attn.qkv.bias"):
            query, _, value = each.chunk(3)
            state |= {name.replace("qkv.bias", "q_bias"): query, name.replace("qkv.bias", "v_bias"): value}
        else:
            state[name] = each
    return state
