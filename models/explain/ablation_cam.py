"""Ablation-CAM: channels weighed by what a class loses without them. No gradient, so none that vanishes.

Desai and Ramaswamy, "Ablation-CAM: visual explanations for deep convolutional network via gradient-free localization",
2020. Two things differ from pytorch-grad-cam's own, so that it is right and quick for every family:
- A channel's weight is the difference of the two logits, and it weighs the channel's magnitude. The paper divides by
  the logit and weighs the channel itself, which is the same for positive logits and after a ReLU, but turns evidence
  round where either is negative.
- What comes before the layer runs once a patch, not once a channel: the hook that takes channels away gives the rest of
  the net one copy of the layer's output for each.

Cost: a patch and a class take one pass, and as many passes of what follows the layer as it has channels. That is a
pooling and a classifier in most families, and the last block in a ViT.

Flows in: a net, its last grid, a class. Flows out: what pytorch-grad-cam makes a map of.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam.base_cam import BaseCAM
from torch import Tensor, nn

from models.explain.target_layer import Reshape

_COPIED = 2**24
"""Numbers of a layer's output that are copied at a time: 64 MiB."""


class AblationCAM(BaseCAM):  # type: ignore[misc]  # the library ships no types
    """Runs under `torch.no_grad`. Not safe for threads: it hooks the net's own layer."""

    def __init__(self, model: nn.Module, layer: nn.Module, reshape: Reshape | None) -> None:
        super().__init__(model, [layer], reshape, uses_gradients=False)
        self._axis = 1 if reshape is None else -1  # tokens and channels-last maps have channels at the end

    def get_cam_weights(
        self, input_tensor: Tensor, target_layer: nn.Module, targets: Any, activations: NDArray[np.float32], grads: Any
    ) -> NDArray[np.float32]:
        """(batch, channels): how much of the logit goes away with each channel."""
        channels = activations.shape[1]
        step = max(1, min(channels, _COPIED // activations[0].size))
        weights = np.empty(activations.shape[:2], np.float32)
        for row, target in enumerate(targets):
            for start in range(0, channels, step):
                there = range(start, min(start + step, channels))
                logits = self._without(input_tensor[row : row + 1], target_layer, there)
                scores = torch.stack([target(each) for each in logits]).float().cpu().numpy()
                weights[row, there] = scores[0] - scores[1:]
        return weights

    def get_cam_image(
        self, input_tensor: Tensor, target_layer: nn.Module, targets: Any, activations: Any, *more: Any
    ) -> NDArray[np.float32]:
        """(batch, h, w): the weighted sum."""
        weights = self.get_cam_weights(input_tensor, target_layer, targets, activations, None)
        summed: NDArray[np.float32] = np.einsum("bc,bchw->bhw", weights, np.abs(activations))
        return summed

    def _without(self, image: Tensor, layer: nn.Module, channels: range) -> Tensor:
        """Logits (1 + channels, classes): of the whole, and of the layer's output without each channel."""
        rows = torch.arange(len(channels))

        def take_away(_module: nn.Module, _given: Any, output: Tensor) -> Tensor:
            copies = output.repeat(1 + len(channels), *[1] * (output.ndim - 1))
            copies.movedim(self._axis, 1)[1 + rows, channels.start + rows] = 0
            return copies

        hook = layer.register_forward_hook(take_away)
        try:
            logits: Tensor = self.model(image)
        finally:
            hook.remove()
        return logits
