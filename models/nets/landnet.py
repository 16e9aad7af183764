"""landnet: our own small CNN for multispectral patches, in three sizes.

A patch of 12 bands at 120 px says much by spectrum and little by fine detail. So the stem mixes bands first, on the
20 m grid that half of them are measured on: pixels of 10 m bands are folded 2×2 into channels, those of 20 m and 60 m
bands are taken as measured, and a pointwise layer between two nonlinearities can form indices of all of them before
pixels are folded again. Depth is spent at 30, 15 and 8 px. Blocks: depthwise 5×5, then a pointwise expansion and back
(Liu et al., "A ConvNet for the 2020s", 2022), with batch norm, which a CPU runs several times faster than channel-wise
layer norm. Mean and maximum pooling are joined before the head: a class may fill the patch or a corner of it.

What of it pays, and what was tried and did not: `benchmarks/ablation.py` and its table.

Flows in: float32 (batch, bands, size, size), normalised; what does not fill a 4×4 is not seen, so `build` pads to a
multiple of 4. Flows out: logits (batch, classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

STRIDE = 4
"""Pixels a side that the stem folds into one."""


@dataclass(frozen=True)
class Size:
    """Channels of the mixed spectrum, channels and blocks of each stage, and how much is left out in training."""

    mixed: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    dropout: float = 0.2


SIZES: dict[str, Size] = {
    "landnet-s": Size(48, (48, 80, 128), (1, 2, 2)),
    "landnet": Size(64, (64, 128, 192), (2, 2, 2)),
    "landnet-l": Size(96, (96, 192, 288), (2, 3, 3)),
}


class Stem(nn.Module):
    """Bands to features on a grid of 4 px: (batch, bands, size, size) to (batch, width, size / 4, size / 4).

    Args:
        coarse: for each channel, whether its band is measured on a grid of 2 px or coarser; it is averaged to 2 px,
            which gives back what was measured where pixels were repeated to bring it to the patch's grid.
        mixed: channels of the mixed spectrum.
        width: channels that it gives.
    """

    fine: Tensor
    rough: Tensor

    def __init__(self, coarse: Sequence[bool], mixed: int, width: int) -> None:
        super().__init__()
        fine, rough = _by_grid(coarse)
        self.register_buffer("fine", torch.tensor(fine, dtype=torch.int64), persistent=False)
        self.register_buffer("rough", torch.tensor(rough, dtype=torch.int64), persistent=False)
        if fine:
            half = mixed // 2
            self.fold = nn.Sequential(
                nn.Conv2d(len(fine), half, 2, stride=2, bias=False),
                nn.BatchNorm2d(half),
                nn.GELU(),
                nn.Conv2d(half, mixed, 1, bias=False),
            )
        if rough:
            self.take = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(len(rough), mixed, 1, bias=False))
        self.mix = nn.Sequential(
            nn.BatchNorm2d(mixed),
            nn.GELU(),
            nn.Conv2d(mixed, width, 2, stride=2, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, bands, size, size) to (batch, width, size / 4, size / 4); see the class."""
        if not len(self.rough):
            spectrum = self.fold(x)
        elif not len(self.fine):
            spectrum = self.take(x)
        else:
            spectrum = self.fold(x.index_select(1, self.fine)) + self.take(x.index_select(1, self.rough))
        mixed: Tensor = self.mix(spectrum)
        return mixed


def _by_grid(coarse: Sequence[bool]) -> tuple[list[int], list[int]]:
    """Channels on the patch's own grid, and on coarser ones."""
    fine = [channel for channel, rough in enumerate(coarse) if not rough]
    return fine, [channel for channel, rough in enumerate(coarse) if rough]


def band_layers(coarse: Sequence[bool]) -> dict[str, list[int]]:
    """The names of a `LandNet`'s layers that take bands, and which channels of the patch each takes, in order."""
    layers = zip(("features.0.fold.0", "features.0.take.1"), _by_grid(coarse), strict=True)
    return {name: channels for name, channels in layers if channels}


class Block(nn.Module):
    """Depthwise 5×5, pointwise expansion by 2 and back, added to the input. Keeps (batch, width, h, w).

    Args:
        width: channels.
        drop_path: chance of a patch to skip the block in training (Huang et al., "Deep networks with stochastic
            depth", 2016).
    """

    def __init__(self, width: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, 2 * width, 1),
            nn.GELU(),
            nn.Conv2d(2 * width, width, 1),
        )
        self.scale = nn.Parameter(torch.full((1, width, 1, 1), 0.1))
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, h, w) to the same; in training, some patches skip the block."""
        scale: Tensor = self.scale
        if self.training and self.drop_path:
            kept = 1 - self.drop_path
            scale = scale * x.new_empty(len(x), 1, 1, 1).bernoulli_(kept) / kept
        shifted: Tensor = x + scale * self.body(x)
        return shifted


class LandNet(nn.Module):
    """See the module's text. `features` is what Grad-CAM looks at: (batch, widths[-1], 8, 8) for 120 px.

    Args:
        coarse: for each band, whether it is measured on a grid of 2 px or coarser; see `Stem`.
        num_classes: number of classes.
        size: see `SIZES`.
        dropout: before the classifier; the size's own if not given.
        drop_path: of the last block, rising linearly from 0 at the first; none if not given.
    """

    def __init__(
        self,
        coarse: Sequence[bool],
        num_classes: int,
        size: Size = SIZES["landnet"],
        *,
        dropout: float | None = None,
        drop_path: float | None = None,
    ) -> None:
        super().__init__()
        widths, blocks = size.widths, size.blocks
        depth = sum(blocks)
        rates = [(drop_path or 0.0) * block / max(1, depth - 1) for block in range(depth)]
        stages: list[nn.Module] = [Stem(coarse, size.mixed, widths[0])]
        for position, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            if position:
                before = widths[position - 1]
                stages += [nn.BatchNorm2d(before), nn.Conv2d(before, width, 3, stride=2, padding=1)]
            stages += [Block(width, rates.pop(0)) for _ in range(count)]
        self.features = nn.Sequential(*stages, nn.BatchNorm2d(widths[-1]), nn.GELU())
        self.head = nn.Sequential(
            nn.Dropout(size.dropout if dropout is None else dropout), nn.Linear(2 * widths[-1], num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, bands, size, size), normalised, to logits (batch, classes)."""
        maps = self.features(x)
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)
        logits: Tensor = self.head(pooled)
        return logits
