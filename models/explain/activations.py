"""What each stage of a net makes of a patch: feature maps, a page a patch, in one PDF.

Flows in: a loaded bundle, a few patches' images. Flows out: for each stage the mean of its channels' magnitudes and the
channels that tell most places apart, as arrays and as pages.

A stage is what timm lists in a model's `feature_info`; of other nets, the last module to finish with each grid.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from models.bundle.weights import Bundle
from models.explain.overlay import Picture
from models.nets.build import ReflectanceNet
from models.nets.ensemble import EnsembleNet
from models.report.panels import fold, heading_room
from pipelines.drawing.canvas import blank, prepare
from pipelines.errors import SettingsError

CHANNELS = 5
"""Channels of a stage that are shown beside its mean."""

_MOST = 8  # stages of a page; of a net with more, every so manieth
_SIDE, _HEAD, _LEFT, _GAP = 1.25, 0.2, 1.35, 0.1  # inches


@dataclass(frozen=True)
class Stage:
    """What one stage gives for one patch.

    Args:
        name: the module's path.
        shape: (channels, h, w).
        mean: float32 (h, w): of the channels' magnitudes.
        channels: number of a channel to its map, float32 (h, w); those whose values vary most over the patch.
    """

    name: str
    shape: tuple[int, int, int]
    mean: NDArray[np.float32]
    channels: dict[int, NDArray[np.float32]]


def stage_names(net: ReflectanceNet) -> list[str]:
    """Paths of the modules whose outputs are the stages, in the order in which they run; at most eight.

    Raises:
        SettingsError: no module of the net gives maps.
    """
    info = getattr(net.backbone, "feature_info", None)
    listed = [each["module"] for each in info or ()]
    there = dict(net.backbone.named_modules())
    names = [name for name in listed if name in there] or _last_of_each_grid(net)
    if not names:
        raise SettingsError("no layer of this model has a grid to look at", hint="Show another model.")
    kept = np.unique(np.linspace(0, len(names) - 1, min(_MOST, len(names))).round().astype(int))
    return [names[place] for place in kept]


def activations(bundle: Bundle, images: Tensor) -> list[list[Stage]]:
    """Every stage of every patch; of an ensemble, those of the member with the largest share.

    Args:
        images: float32 digital numbers (rows, bands, size, size), as the net takes them.

    Raises:
        SettingsError: no module of the net gives maps, or it is built for patches of another size.
        BandError: it takes another number of bands.
    """
    net = bundle.net
    if isinstance(net, EnsembleNet):
        net.check(images)
        images, net = net.backbone.channels_of(net.heaviest, images), net.parts[net.heaviest].net
    return [_stages_of(net, image[None], stage_names(net)) for image in images]


def stages_of(bundle: Bundle) -> str:
    """Whose stages they are, to be put behind a heading: of an ensemble, those of one net; else empty."""
    if not isinstance(bundle.net, EnsembleNet):
        return ""
    parts, place = bundle.net.parts, bundle.net.heaviest
    return f"; member {place + 1} of {len(parts)}, {parts[place].architecture}"


def draw_stages(stages: Sequence[Stage], picture: Picture, heading: str) -> Figure:
    """One patch: a row a stage, the mean left."""
    width = _LEFT + (1 + CHANNELS) * (_SIDE + _GAP)
    note = "brighter is stronger; each picture is scaled for itself; right of the mean, channels that vary most"
    top = heading_room(heading, width) + _SIDE + 0.2
    height = top + len(stages) * (_SIDE + _HEAD) + 0.35
    figure = blank(width, height)
    figure.set_layout_engine("none")
    figure.text(0.5, 1 - 0.1 / height, fold(heading, width), ha="center", va="top", fontsize=11)
    figure.text(0.5, 0.1 / height, note, ha="center", va="bottom", fontsize=8)
    _draw(figure, picture, 0, top - _SIDE - 0.1, "the patch", "")
    for row, stage in enumerate(stages):
        down = top + row * (_SIDE + _HEAD) + _HEAD
        size = " × ".join(map(str, stage.shape))
        figure.text(0.1 / width, 1 - (down + _SIDE / 2) / height, f"{stage.name}\n{size}", va="center", fontsize=8)
        _draw(figure, stage.mean, 0, down, "mean", "magma")
        for column, (channel, values) in enumerate(stage.channels.items(), start=1):
            _draw(figure, values, column, down, f"channel {channel}", "viridis")
    return figure


def pdf_of(figures: Sequence[Figure]) -> bytes:
    """A PDF file with a page a figure; the same figures give the same bytes."""
    target = io.BytesIO()
    with PdfPages(target, metadata={"CreationDate": None, "Creator": None, "Producer": None}) as pages:
        for figure in figures:
            prepare((*figure.texts, *(axes.title for axes in figure.axes)))  # `findobj` would make all the ticks
            pages.savefig(figure)
    return target.getvalue()


def _draw(figure: Figure, values: NDArray[Any], column: int, down: float, title: str, colours: str) -> None:
    width, height = figure.get_size_inches()
    left = _LEFT + column * (_SIDE + _GAP)
    axes = figure.add_axes((left / width, 1 - (down + _SIDE) / height, _SIDE / width, _SIDE / height))
    axes.imshow(values, interpolation="nearest", cmap=colours or None)
    axes.set_title(title, fontsize=7, pad=2)
    axes.axis("off")


@torch.inference_mode()
def _stages_of(net: ReflectanceNet, image: Tensor, names: Sequence[str]) -> list[Stage]:
    found: list[Stage] = []

    def note(name: str, output: Any) -> None:
        if name in names and isinstance(output, Tensor) and (maps := _maps(net, output[0])) is not None:
            found.append(_stage(name, maps))

    with _noted(net.backbone, note):
        net(image)
    return found


def _stage(name: str, maps: Tensor) -> Stage:
    deviation = maps.std(dim=(1, 2), correction=0)
    most = deviation.argsort(descending=True, stable=True)[:CHANNELS].tolist()
    channels = {int(place): maps[place].cpu().numpy() for place in most}
    depth, height, width = maps.shape
    return Stage(name, (depth, height, width), maps.abs().mean(dim=0).cpu().numpy(), channels)


def _maps(net: ReflectanceNet, output: Tensor) -> Tensor | None:
    """(channels, h, w) float32 of one patch's output; None if it has no grid. A copy: what follows may write there."""
    if output.ndim == 3:
        last_is_channels = output.shape[0] == output.shape[1] != output.shape[2]
        maps = output.permute(2, 0, 1) if last_is_channels else output
        return maps.float().clone() if maps.shape[1] == maps.shape[2] > 1 else None
    if output.ndim == 2:
        prefix = getattr(net.backbone, "num_prefix_tokens", 0)
        side = math.isqrt(max(0, len(output) - prefix))
        if side > 1 and side * side == len(output) - prefix:
            return output[prefix:].T.reshape(-1, side, side).float().clone()
    return None


def _last_of_each_grid(net: ReflectanceNet) -> list[str]:
    """Found by running the net once on zeros."""
    last: dict[int, str] = {}

    def note(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and (maps := _maps(net, output[0])) is not None:
            last.pop(maps.shape[1], None)  # so that the order is that in which they finish
            last[maps.shape[1]] = name

    side, training = net.recipe.image_size or 128, net.training
    with torch.inference_mode(), _noted(net.backbone, note):
        try:
            net.eval()(torch.zeros(1, net.mean.shape[1], side, side, device=net.mean.device))
        finally:
            net.train(training)
    return [name for name in last.values() if name]


@contextmanager
def _noted(backbone: nn.Module, note: Any) -> Iterator[None]:
    """`note(name, output)` is called as each module finishes, for the length of a block."""
    hooks = [
        module.register_forward_hook(lambda _module, _given, output, name=name: note(name, output))
        for name, module in backbone.named_modules()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
