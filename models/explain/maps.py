"""Where in the patch the net saw a class: class activation maps, by pytorch-grad-cam.

Flows in: a loaded bundle, a batch of images, a class. Flows out: for each patch, a heat map from 0 to 1, and whether
there was any positive evidence at all.

    gradcam       the last grid's channels, weighed by the class's gradient: one pass forward and one back a class
                  (Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
                  localization", 2017)
    ablationcam   weighed by how much the class loses without them: no gradient; see `ablation_cam` for its cost

The maps of all classes are scaled to a peak of 1, each for itself: they say where, not how much. An ensemble's map is
the mean of its members', so scaled, by their shares in its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.bundle.weights import Bundle
from models.device import own_memory_errors
from models.explain.target_layer import cam_target
from models.nets.build import ReflectanceNet
from models.nets.ensemble import EnsembleNet
from pipelines.errors import BundleError, LabelError, SettingsError, nearest, shown

Maps = NDArray[np.float32]

GRADCAM, ABLATIONCAM = "gradcam", "ablationcam"
METHODS = (GRADCAM, ABLATIONCAM)

_NONE = np.zeros((), np.float32)

_NOTHING = 1e-6
"""Share of the strongest evidence against a class, up to which evidence for it is rounding."""


@dataclass(frozen=True)
class HeatMap:
    """Where one class was seen in one patch.

    Args:
        heat: float32 (size, size) from 0 to 1.
        evidence: False if nothing speaks for the class; heat is 0 then.
        blind: the net's last grid has a single cell, so that heat is alike everywhere.
    """

    heat: Maps
    evidence: bool
    blind: bool = False

    @property
    def caveat(self) -> str:
        """The remark in a few words, to be written on a map."""
        return "no positive evidence" if not self.evidence else "one cell: not told where" if self.blind else ""

    def remark(self, label: str) -> str:
        """What a user must be told of it, as a sentence; empty if the map speaks for itself."""
        if not self.evidence:
            return f'No positive evidence: nothing in this patch speaks for "{label}".'
        return (
            f'Not told where: to this net a patch so small is one cell, which speaks for "{label}".'
            if self.blind
            else ""
        )


def explain(bundle: Bundle, images: Tensor, label: str, method: str = GRADCAM) -> list[HeatMap]:
    """Maps of one class for a batch.

    Args:
        images: float32 digital numbers (batch, bands, size, size), as the net takes them.
        label: class name.
        method: one of `METHODS`.

    Raises:
        LabelError: the model does not know the class.
        SettingsError: there is no such method, or it finds no layer of the net to look at.
        TrainingError: the batch does not fit into memory.
        BundleError: the net gives no finite numbers.
    """
    names = bundle.config.label_names
    check_label(label, names)
    if method not in METHODS:
        raise SettingsError(f'unknown method "{method}"', where="method", hint=f"Known: {', '.join(METHODS)}.")
    place = names.index(label)
    if isinstance(bundle.net, EnsembleNet):
        return _of_members(bundle.net, images, place, method)
    return _of_net(bundle.config.architecture, bundle.net, images, place, method)


def made_of(bundle: Bundle) -> str:
    """What a user must be told of all maps of a bundle, as a sentence; empty if they are of a single net."""
    count = len(bundle.config.members)
    return f"Maps are the mean of its {count} members', each scaled to its own peak, by their shares." if count else ""


def check_label(label: str, names: Sequence[str]) -> None:
    """Refuse a class that the model does not know.

    Raises:
        LabelError: it does not; the nearest name is said.
    """
    if label not in names:
        raise LabelError(f'unknown class "{shown(label)}"', hint=nearest(label, names))


def explain_each(
    bundle: Bundle, images: Tensor, wanted: Sequence[Sequence[str]], method: str = GRADCAM
) -> list[dict[str, HeatMap]]:
    """Maps of the classes that are wanted of each patch, in their order; every class once for all its patches.

    Raises:
        As `explain`.
    """
    found: list[dict[str, HeatMap]] = [{} for _ in wanted]
    for label in dict.fromkeys(label for labels in wanted for label in labels):
        places = [place for place, labels in enumerate(wanted) if label in labels]
        for place, heat in zip(places, explain(bundle, images[places], label, method), strict=True):
            found[place][label] = heat
    return [{label: heats[label] for label in labels} for heats, labels in zip(found, wanted, strict=True)]


def _of_net(architecture: str, net: ReflectanceNet, images: Tensor, place: int, method: str) -> list[HeatMap]:
    layer, reshape = cam_target(architecture, net)
    weigh = _by_gradient if method == GRADCAM else _by_ablation
    with _frozen(net):
        try:
            with own_memory_errors(f"a batch of {len(images)} patches", "Explain fewer at a time."):
                raw = weigh(net, layer, reshape, net.prepare(images), place)
        except (RuntimeError, ValueError, AttributeError) as error:  # timm has a thousand nets
            what = f"{method} finds nothing to look at in {architecture} ({type(error).__name__})"
            raise SettingsError(what, where="method", hint="Try the other method, or another model.") from error
    if not np.isfinite(raw).all():
        what = "the net gives numbers that are not finite"
        raise BundleError(what, hint="Look at the patch's pixels; if these are sound, train the net again.")
    return _scaled(net, raw, images.shape[-1])


def _of_members(net: EnsembleNet, images: Tensor, place: int, method: str) -> list[HeatMap]:
    """What their maps have in the mean; one that sees nothing for the class, or cannot tell where, counts with that."""
    net.check(images)
    said = [
        _of_net(each.architecture, each.net, net.backbone.channels_of(number, images), place, method)
        for number, each in enumerate(net.parts)
    ]
    found = []
    for heats in zip(*said, strict=True):
        mean = sum((np.float32(each.share) * heat.heat for each, heat in zip(net.parts, heats, strict=True)), _NONE)
        evidence = any(heat.evidence for heat in heats)
        heat = mean / mean.max() if evidence else mean
        found.append(HeatMap(heat, evidence, blind=all(heat.blind for heat in heats if heat.evidence) and evidence))
    return found


def _by_gradient(net: ReflectanceNet, layer: nn.Module, reshape: Any, prepared: Tensor, place: int) -> Maps:
    from pytorch_grad_cam import GradCAM

    cam = GradCAM(model=net.backbone, target_layers=[layer], reshape_transform=reshape)
    with torch.inference_mode(False), torch.enable_grad():
        return _run(cam, prepared.detach().clone().requires_grad_(), place)


def _by_ablation(net: ReflectanceNet, layer: nn.Module, reshape: Any, prepared: Tensor, place: int) -> Maps:
    from models.explain.ablation_cam import AblationCAM

    with torch.no_grad():
        return _run(AblationCAM(net.backbone, layer, reshape), prepared, place)


def _run(cam: Any, prepared: Tensor, place: int) -> Maps:
    """The library's maps as they are before it clips and scales them, (batch, h, w): what it scales to 0…1 hides how
    much there was, and whether there was any."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    raw: list[Maps] = []
    weigh: Callable[..., Maps] = cam.get_cam_image

    def keep(*given: Any, **more: Any) -> Maps:
        raw.append(weigh(*given, **more))
        return raw[-1]

    cam.get_cam_image = keep
    try:
        cam.forward(prepared, [ClassifierOutputTarget(place)] * len(prepared))
    finally:
        cam.activations_and_grads.release()
    return raw[0].astype(np.float32)


def _scaled(net: ReflectanceNet, raw: Maps, size: int) -> list[HeatMap]:
    """What speaks for the class, brought onto the patch's pixels."""
    positive = torch.from_numpy(raw).clamp_min(0)[:, None]
    side = net.recipe.padded(size)
    wide: Maps = functional.interpolate(positive, (side, side), mode="bilinear", align_corners=False)[:, 0].numpy()
    found = []
    for heat, weighed in zip(net.crop(wide, size), raw, strict=True):
        peak = float(heat.max())
        evidence = peak > _NOTHING * float(np.abs(weighed).max())
        shown = heat / np.float32(peak) if evidence else np.zeros_like(heat)
        found.append(HeatMap(shown, evidence, blind=weighed.size == 1))
    return found


@contextmanager
def _frozen(net: nn.Module) -> Iterator[None]:
    """No gradients of weights, which nobody needs, and which would stay in memory as long as a served net does."""
    asked = [parameter for parameter in net.parameters() if parameter.requires_grad]
    for parameter in asked:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)
