"""Where in the patch the net saw a class: Grad-CAM, by pytorch-grad-cam.

Flows in: a loaded bundle, one patch's image, a class. Flows out: a heat map from 0 to 1, and whether there was any
positive evidence at all.

Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization", 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.weights import Bundle
from models.zoo import cam_layer
from pipelines.errors import LabelError, nearest


@dataclass(frozen=True)
class HeatMap:
    """`heat`: float32 (size, size) from 0 to 1. `evidence`: False if nothing speaks for the class; heat is 0 then."""

    heat: NDArray[np.float32]
    evidence: bool


def explain(bundle: Bundle, images: Tensor, label: str) -> list[HeatMap]:
    """Grad-CAM of one class for a batch.

    Args:
        images: float32 digital numbers (batch, bands, size, size), as the net takes them.
        label: class name.

    Raises:
        LabelError: the model does not know the class.
    """
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    names = bundle.config.label_names
    if label not in names:
        raise LabelError(f'unknown class "{label}"', hint=nearest(label, names))
    targets = [ClassifierOutputTarget(names.index(label))] * len(images)
    with GradCAM(model=bundle.net, target_layers=[cam_layer(bundle.config.architecture, bundle.net)]) as cam:
        maps: NDArray[np.float32] = cam(input_tensor=images, targets=targets).astype(np.float32)
    # The library scales each map to 0…1 on its own; an empty one stays all zero.
    return [HeatMap(np.nan_to_num(heat), bool(np.nanmax(heat) > 0)) for heat in maps]
