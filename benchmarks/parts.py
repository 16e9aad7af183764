"""Parts that landnet could be made of, and is not unless the table of `ablation` says so.

Flows in: a landnet of any size, as the zoo makes it. Flows out: the same one with one part exchanged, and that part's
weights fresh.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from models.nets.build import ReflectanceNet
from models.nets.landnet import Block, LandNet, Stem

RATIO = 8
"""Channels to those that squeeze and excitation squeezes them to."""


def landnet(net: ReflectanceNet) -> LandNet:
    return cast(LandNet, net.backbone)


def blocks(net: ReflectanceNet) -> list[Block]:
    return [module for module in net.backbone.modules() if isinstance(module, Block)]


def stem(net: ReflectanceNet) -> tuple[int, int, int]:
    """Bands, channels of the mixed spectrum, channels that the stem gives."""
    found = cast(Stem, landnet(net).features[0])
    return (
        net.mean.shape[1],
        cast(nn.BatchNorm2d, found.mix[0]).num_features,
        cast(nn.Conv2d, found.mix[2]).out_channels,
    )


def unbranched_stem(net: ReflectanceNet) -> None:
    """All bands as if they were measured at 10 m."""
    bands, mixed, width = stem(net)
    landnet(net).features[0] = Stem([False] * bands, mixed, width)


class EarlyJoined(nn.Module):
    """Fine and coarse bands summed before the first nonlinearity, so that both it and the second see all of them."""

    def __init__(self, whole: Stem, mixed: int, width: int) -> None:
        super().__init__()
        half = mixed // 2
        self.register_buffer("fine", whole.fine, persistent=False)
        self.register_buffer("rough", whole.rough, persistent=False)
        self.fold = nn.Conv2d(len(whole.fine), half, 2, stride=2, bias=False)
        self.take = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(len(whole.rough), half, 1, bias=False))
        first = nn.BatchNorm2d(half), nn.GELU(), nn.Conv2d(half, mixed, 1, bias=False)
        second = nn.BatchNorm2d(mixed), nn.GELU(), nn.Conv2d(mixed, width, 2, stride=2, bias=False)
        self.mix = nn.Sequential(*first, *second, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        fine, coarse = x.index_select(1, cast(Tensor, self.fine)), x.index_select(1, cast(Tensor, self.rough))
        mixed: Tensor = self.mix(self.fold(fine) + self.take(coarse))
        return mixed


def early_joined(net: ReflectanceNet) -> None:
    """Bands of both grids meet one layer earlier."""
    _, mixed, width = stem(net)
    landnet(net).features[0] = EarlyJoined(cast(Stem, landnet(net).features[0]), mixed, width)


def two_pointwise_layers(net: ReflectanceNet) -> None:
    """Before pixels are folded again."""
    found, mixed = cast(Stem, landnet(net).features[0]), stem(net)[1]
    more = nn.Conv2d(mixed, mixed, 1, bias=False), nn.BatchNorm2d(mixed), nn.GELU()
    found.mix = nn.Sequential(*found.mix[:2], *more, *found.mix[2:])


def narrow_spectrum(net: ReflectanceNet) -> None:
    """Half the channels where bands are mixed."""
    bands, mixed, width = stem(net)
    coarse = [channel in cast(Stem, landnet(net).features[0]).rough.tolist() for channel in range(bands)]
    landnet(net).features[0] = Stem(coarse, mixed // 2, width)


def four_by_four_stem(net: ReflectanceNet) -> None:
    """One linear layer from 4×4 pixels of all bands."""
    bands, _, width = stem(net)
    landnet(net).features[0] = nn.Sequential(nn.Conv2d(bands, width, 4, stride=4), nn.BatchNorm2d(width))


def plain_blocks(net: ReflectanceNet) -> None:
    """He et al. 2015: 3×3 convolutions of all channels, the second without a nonlinearity after it."""
    for block in blocks(net):
        width = cast(nn.Conv2d, block.body[0]).in_channels
        block.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
        )


def small_kernel(net: ReflectanceNet) -> None:
    for block in blocks(net):
        width = cast(nn.Conv2d, block.body[0]).in_channels
        block.body[0] = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)


class SqueezeExcite(nn.Module):
    """Hu et al., "Squeeze-and-excitation networks", 2018: each channel by a factor from all channels' means."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factors = nn.Sequential(
            nn.Linear(width, width // RATIO), nn.GELU(), nn.Linear(width // RATIO, width), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        factors: Tensor = self.factors(x.mean((2, 3)))
        return x * factors[:, :, None, None]


class GlobalResponse(nn.Module):
    """Woo et al., "ConvNeXt V2", 2023: each channel by its norm over the grid to the mean of all channels' norms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        norm = (x.square().sum((2, 3), keepdim=True) + 1e-6).sqrt()
        return self.gain * (x * norm / (norm.mean(1, keepdim=True) + 1e-6)) + self.shift + x


def squeeze_and_excite(net: ReflectanceNet) -> None:
    _attend(net, SqueezeExcite)


def global_response(net: ReflectanceNet) -> None:
    _attend(net, GlobalResponse)


def _attend(net: ReflectanceNet, kind: Callable[[int], nn.Module]) -> None:
    """After the expansion, where the channels are most."""
    for block in blocks(net):
        block.body.insert(4, kind(cast(nn.Conv2d, block.body[2]).out_channels))


class First(nn.Module):
    """Some columns of many."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : self.columns]


def mean_pooling(net: ReflectanceNet) -> None:
    head = landnet(net).head
    last = cast(nn.Linear, head[1])
    half = last.in_features // 2
    landnet(net).head = nn.Sequential(First(half), head[0], nn.Linear(half, last.out_features))


class AllStages(nn.Module):
    """Mean and maximum of every stage's last block, not only of the last stage's."""

    def __init__(self, whole: LandNet) -> None:
        super().__init__()
        self.features, last = whole.features, cast(nn.Linear, whole.head[1])
        widths = [
            (module, cast(nn.Conv2d, module.body[0]).in_channels)
            for module in self.features
            if isinstance(module, Block)
        ]
        ends = [one for one, other in zip(widths, [*widths[1:], (None, 0)], strict=True) if one[1] != other[1]]
        self.ends = {module for module, _ in ends[:-1]}
        self.norms = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(width), nn.GELU()) for _, width in ends[:-1])
        pooled = last.in_features + 2 * sum(width for _, width in ends[:-1])
        self.head = nn.Sequential(whole.head[0], nn.Linear(pooled, last.out_features))

    def forward(self, x: Tensor) -> Tensor:
        kept, norms = [], iter(self.norms)
        for module in self.features:
            x = module(x)
            if module in self.ends:
                kept.append(next(norms)(x))
        logits: Tensor = self.head(torch.cat([pool for maps in (*kept, x) for pool in _pools(maps)], 1))
        return logits


def _pools(maps: Tensor) -> tuple[Tensor, Tensor]:
    return maps.mean((2, 3)), maps.amax((2, 3))


def pooling_of_all_stages(net: ReflectanceNet) -> None:
    net.backbone = AllStages(landnet(net))


class WithFigures(nn.Module):
    """Each band's mean and deviation over the patch go to the head too, past all convolutions."""

    def __init__(self, whole: LandNet, bands: int) -> None:
        super().__init__()
        last = cast(nn.Linear, whole.head[1])
        self.features = whole.features
        self.head = nn.Sequential(whole.head[0], nn.Linear(last.in_features + 2 * bands, last.out_features))

    def forward(self, x: Tensor) -> Tensor:
        figures = x.mean((2, 3)), (x.var((2, 3), unbiased=False) + 1e-4).sqrt()
        logits: Tensor = self.head(torch.cat([*_pools(self.features(x)), *figures], 1))
        return logits


def band_figures_joined(net: ReflectanceNet) -> None:
    net.backbone = WithFigures(landnet(net), net.mean.shape[1])


def with_drop_path(net: ReflectanceNet) -> None:
    """Rising linearly to 0.1 at the last block."""
    found = blocks(net)
    for position, block in enumerate(found):
        block.drop_path = 0.1 * position / (len(found) - 1)
