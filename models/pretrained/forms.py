"""In which form others keep weights, and how each is brought to timm's names.

    resnet, vit, dinov2     torchgeo: timm's names, and no head
    headed, timm            timm's names with a head; or of another family
    moco, mocov3            SSL4EO-S12: the trained encoder under `encoder_q.` or `base_encoder.`, its copy beside it
    dino                    SSL4EO-S12: the teacher, its encoder under `backbone.`, its projection under `head.`
    mae                     SSL4EO-S12: an encoder, and a decoder whose names begin with `decoder_`
    reben                   BigEarthNet v2's authors: timm's names after `model.vision_encoder.`
    efficientnet-pytorch    ukis-csmask and others: an encoder of a U-Net, with that package's names
    torchvision-swin        Satlas: Swin v2 by torchvision's names

Flows in: tensors by name. Flows out: the form's name, tensors by timm's names, and the names of those that are none of
the encoder's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from models.pretrained.names import from_efficientnet_pytorch, from_torchvision_swin

State = dict[str, Tensor]

_ENCODERS = {
    "moco": ("encoder_q.", "module.encoder_q."),
    "mocov3": ("base_encoder.", "module.base_encoder."),
    "dino": ("backbone.", "module.backbone."),
    "reben": ("model.vision_encoder.", "vision_encoder."),
    "efficientnet-pytorch": ("model.encoder.", "encoder."),
}
_HEADS = ("fc.weight", "head.weight", "classifier.weight", "head.fc.weight")
_FIRST = (
    "conv1.weight",
    "conv1.0.weight",
    "conv_stem.weight",
    "patch_embed.proj.weight",
    "stem.0.weight",
    "stem.conv.weight",
    "stem.conv1.weight",
    "features.conv0.weight",
    "features.0.weight",
)


@dataclass(frozen=True)
class Formed:
    """Tensors by timm's names.

    Args:
        form: its name.
        state: of the encoder.
        beside: names, as the file has them, of what is none of the encoder's.
    """

    form: str
    state: State
    beside: tuple[str, ...] = ()

    @property
    def first(self) -> Tensor | None:
        """The kernel that takes the bands: (filters, channels, h, w); None where no name tells it."""
        known = (self.state[name] for name in _FIRST if name in self.state)
        return next((each for each in known if each.ndim >= 2), None)

    @property
    def channels(self) -> int:
        """How many it takes; 0 where no name tells."""
        return 0 if self.first is None else int(self.first.shape[1])

    @property
    def classes(self) -> int:
        """Rows of its classifier; 0 where it has none."""
        return next((len(self.state[name]) for name in _HEADS if name in self.state), 0)


def to_timm(tensors: Mapping[str, Tensor]) -> Formed:
    """Tell the form of a file's tensors, and give those of its encoder timm's names."""
    for form, prefixes in _ENCODERS.items():
        for prefix in prefixes:
            inside = {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}
            if inside and (form != "efficientnet-pytorch" or "_conv_stem.weight" in inside):
                beside = tuple(name for name in tensors if not name.startswith(prefix))
                return Formed(form, from_efficientnet_pytorch(inside), beside)
    if "_conv_stem.weight" in tensors:
        return Formed("efficientnet-pytorch", from_efficientnet_pytorch(tensors))
    if "features.0.0.weight" in tensors and "features.1.0.attn.qkv.weight" in tensors:
        return Formed("torchvision-swin", from_torchvision_swin(tensors))
    if "decoder_embed.weight" in tensors:
        decoder = tuple(name for name in tensors if name.startswith("decoder_") or name == "mask_token")
        return Formed("mae", {name: each for name, each in tensors.items() if name not in decoder}, decoder)
    return Formed(_plain_form(tensors), dict(tensors))


def _plain_form(tensors: Mapping[str, Tensor]) -> str:
    if any(name in tensors for name in _HEADS):
        return "headed"
    if "conv1.weight" in tensors and "layer1.0.conv1.weight" in tensors:
        return "resnet"
    if "patch_embed.proj.weight" in tensors and "blocks.0.attn.qkv.weight" in tensors:
        return "dinov2" if "blocks.0.ls1.gamma" in tensors else "vit"
    return "timm"
