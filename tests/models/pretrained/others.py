"""Files of weights as others publish them, made up of tiny nets: a writer a form."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import timm
import torch
from onnx import helper, numpy_helper
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2

from tests.models.nets.net_suite import smaller

TEN = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12", "B8A")
SIX = ("blue", "green", "red", "nir", "swir16", "swir22")


def _slim(pretrained: bool = False, **given: Any) -> nn.Module:
    make = timm.models.efficientnet._gen_efficientnet
    net: nn.Module = make("tf_efficientnet_b0", channel_multiplier=0.25, pad_type="same", **given)
    return net


def _transformer(base: str, name: str, **changes: Any) -> str:
    """One whose sizes timm knows, as it knows the large one's."""
    known = sys.modules[timm.model_entrypoint(base).__module__].default_cfgs
    known[name] = known[base]
    return smaller(base, name, **changes)


_SMALL = {"embed_dim": 24, "num_heads": 2, "depth": 2}
_STAGES = {"embed_dim": 24, "depths": (2, 1, 1, 1), "num_heads": (1, 2, 3, 4)}
TINY = {
    "resnet": smaller("resnet18", "others_resnet", layers=(1, 1, 1, 1), channels=(8, 8, 16, 16)),
    "vit": _transformer("vit_small_patch16_224", "others_vit", **_SMALL),
    "dinov2": _transformer("vit_small_patch14_dinov2", "others_dinov2", **_SMALL),
    "swin": _transformer("swinv2_tiny_window8_256", "others_swin", **_STAGES),
    "efficientnet": smaller("tf_efficientnet_b0", "others_efficientnet", make=_slim),
}
"""Family to timm's name of a small net of it, whose first and last layers are called as the large ones' are."""


def lively(net: nn.Module, seed: int = 0) -> nn.Module:
    """Statistics and scales that are not those of a fresh net, so that a wrong one shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.is_floating_point() and tensor.squeeze().ndim <= 1:
                tensor.uniform_(0.5, 1.5, generator=generator)
    return net.eval()


def net_of(kind: str, channels: int, **more: Any) -> nn.Module:
    """A tiny net of a family for so many channels, without a head."""
    torch.manual_seed(channels)
    return lively(timm.create_model(TINY[kind], in_chans=channels, **({"num_classes": 0} | more)))


@dataclass(frozen=True)
class Other:
    """A form: its name in `models.pretrained.forms`, the family, how a file of it is called, its bands, how it is
    written, and what their numbers were divided by: of each band the mean and the deviation in digital numbers."""

    form: str
    kind: str
    file: str
    bands: tuple[str, ...]
    write: Callable[[nn.Module, Path], None]
    mean: float = 0.0
    std: float = 10_000.0
    size: int = 64


def plain(net: nn.Module, path: Path) -> None:
    torch.save(net.state_dict(), path)


def moco(net: nn.Module, path: Path) -> None:
    """Both encoders with their projections, the queue, and the optimiser's state."""
    state = net.state_dict()
    both = {f"module.encoder_{which}.{name}": each.clone() for which in "kq" for name, each in state.items()}
    for name in state:
        both[f"module.encoder_k.{name}"] += 1
    heads = {f"module.encoder_q.fc.{layer}.weight": torch.zeros(4, 4) for layer in (0, 2)}
    rest = {"module.queue": torch.zeros(4, 9), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    torch.save({"epoch": 99, "arch": "resnet50", "state_dict": both | heads | rest, "optimizer": {"state": {}}}, path)


def moco_v3(net: nn.Module, path: Path) -> None:
    named = {f"module.base_encoder.{name}": each for name, each in net.state_dict().items()}
    named |= {f"module.momentum_encoder.{name}": each + 1 for name, each in net.state_dict().items()}
    torch.save({"epoch": 99, "state_dict": named}, path)


def dino(net: nn.Module, path: Path) -> None:
    """The teacher, a student that differs, and the settings of the program that wrote it."""
    teacher = {f"module.backbone.{name}": each for name, each in net.state_dict().items()}
    teacher |= {"module.head.mlp.0.weight": torch.zeros(3, 3)}
    student = {name: each + 1 for name, each in teacher.items()}
    torch.save({"student": student, "teacher": teacher, "epoch": 99, "args": Namespace(arch="vit_small")}, path)


def mae(net: nn.Module, path: Path) -> None:
    decoder = {"mask_token": torch.zeros(1, 1, 8), "decoder_embed.weight": torch.zeros(8, 24)}
    decoder |= {"decoder_blocks.0.attn.qkv.weight": torch.zeros(24, 8), "decoder_pred.weight": torch.zeros(8, 8)}
    torch.save({"model": net.state_dict() | decoder, "epoch": 99, "args": Namespace(norm_pix_loss=True)}, path)


def reben(net: nn.Module, path: Path, **config: Any) -> None:
    """Mean and deviation by band in digital numbers, as its config has them."""
    save_file({f"model.vision_encoder.{name}": each for name, each in net.state_dict().items()}, path)
    said = {"bands": list(TEN), "means": dict.fromkeys(TEN, 500.0), "stds": dict.fromkeys(TEN, 250.0)}
    values = {"channels": len(TEN), "timm_model_name": "resnet50"} | said | config
    path.with_name("config.json").write_text(json.dumps({"config": values, "lr": 0.001}))


def csmask(net: nn.Module, path: Path) -> None:
    """Initialisers of 16 bits by the names of efficientnet-pytorch, beside a decoder's; statistics in reflectance."""
    named = {f"model.encoder.{name}": each for name, each in efficientnet_pytorch(net).items()}
    named |= {"model.decoder.blocks.0.conv1.0.weight": torch.zeros(3, 3)}
    write_onnx(path, {name: each.half() for name, each in named.items()})
    statistics = {"img": [[0.05] * len(SIX), [0.1] * len(SIX)], "band_names": list(SIX)}
    said = {"data": {"in_channels": 6, "dataset_statistics": statistics}, "model": {"encoder_name": "efficientnet-b4"}}
    path.with_suffix(".json").write_text(json.dumps(said))


def write_onnx(path: Path, tensors: dict[str, Tensor]) -> None:
    """A file with these initialisers, and no node."""
    kept = [numpy_helper.from_array(each.numpy(), name) for name, each in tensors.items()]
    onnx.save(helper.make_model(helper.make_graph([], "net", [], [], kept)), str(path))


def efficientnet_pytorch(net: nn.Module) -> dict[str, Tensor]:
    """timm's tensors by the names of efficientnet-pytorch, by where modules stand: an encoder has no head."""
    found = {"_conv_stem": net.conv_stem, "_bn0": net.bn1}
    for number, block in enumerate(block for stage in net.blocks for block in stage):
        inside = {"_depthwise_conv": block.conv_dw, "_se_reduce": block.se.conv_reduce}
        inside["_se_expand"] = block.se.conv_expand
        if hasattr(block, "conv_pwl"):
            inside |= {"_expand_conv": block.conv_pw, "_bn0": block.bn1, "_bn1": block.bn2}
            inside |= {"_project_conv": block.conv_pwl, "_bn2": block.bn3}
        else:
            inside |= {"_bn1": block.bn1, "_project_conv": block.conv_pw, "_bn2": block.bn2}
        found |= {f"_blocks.{number}.{name}": module for name, module in inside.items()}
    named = {f"{name}.{key}": each for name, module in found.items() for key, each in module.state_dict().items()}
    return {name: each for name, each in named.items() if not name.endswith("num_batches_tracked")}


def torchvision_swin(channels: int) -> nn.Module:
    """torchvision's own, of the size of the tiny one."""
    torch.manual_seed(channels)
    net = SwinTransformer(
        patch_size=[4, 4],
        embed_dim=24,
        depths=[2, 1, 1, 1],
        num_heads=[1, 2, 3, 4],
        window_size=[8, 8],
        block=SwinTransformerBlockV2,
        downsample_layer=PatchMergingV2,
    )
    net.features[0][0] = nn.Conv2d(channels, 24, 4, 4)
    net.head = nn.Identity()
    return net.eval()
