"""Frozen features: what the last linear layer of a net is given.

Flows in: a net whose logits are those of a linear layer, as nearly all are, and rows. Flows out: that layer, and
features; later the net again, its last layer replaced by one that was fitted on them.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.measure.evaluate import evaluate
from models.nets.build import ReflectanceNet
from pipelines.errors import SettingsError
from pipelines.feeding.rows import Rows


def last_layer(net: ReflectanceNet, size: int, model: str) -> str:
    """Path in the backbone of the linear layer whose output are the logits; found by running the net on zeros.

    Args:
        net: in evaluation mode afterwards.
        size: pixels a side of the patches.
        model: what to call it in a complaint.

    Raises:
        SettingsError: it does not end in one, such as a net with two classifiers whose means it gives.
    """
    seen: dict[str, Tensor] = {}

    def note(path: str) -> None:
        def hook(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            if given[0].ndim == 2:
                seen[path] = output

        hooks.append(net.backbone.get_submodule(path).register_forward_hook(hook))

    hooks: list[torch.utils.hooks.RemovableHandle] = []
    for path, module in net.backbone.named_modules():
        if isinstance(module, nn.Linear):
            note(path)
    try:
        with torch.inference_mode():
            logits = net.eval()(torch.zeros(1, net.mean.shape[1], size, size, device=net.mean.device))
    finally:
        for hook in hooks:
            hook.remove()
    found = [path for path, output in seen.items() if output.shape == logits.shape and torch.equal(output, logits)]
    if not found:
        what = f'"{model}" does not end in one linear layer, which a probe would fit'
        raise SettingsError(what, where="model", hint="Choose another model.")
    return found[-1]


def features_of(
    net: ReflectanceNet, layer: str, rows: Rows, size: int, device: torch.device, batch_size: int
) -> NDArray[np.float32]:
    """What the layer is given of each row, (rows, features), in the rows' order.

    Raises:
        TrainingError: there are no rows, not even one patch fits into memory, or a feature is no finite number.
    """
    linear = net.backbone.get_submodule(layer)
    net.backbone.set_submodule(layer, nn.Identity())
    try:
        return evaluate(net, rows, size, device, batch_size=batch_size).logits
    finally:
        net.backbone.set_submodule(layer, linear)


def put_in(net: ReflectanceNet, layer: str, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> nn.Linear:
    """Give the layer another weight (classes, features) and bias (classes,), and give it back."""
    linear = nn.Linear(weight.shape[1], weight.shape[0]).to(net.mean.device)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.from_numpy(bias))
    net.backbone.set_submodule(layer, linear)
    return linear
