"""landnet: our own small CNN for multispectral patches, in three sizes.

A patch of 12 bands at 120 px says much by spectrum and little by fine detail, so bands are mixed while pixels
are folded 4×4 into channels (one convolution, stride 4, no overlap), and depth is spent at 30, 15 and 8 px.
Blocks: depthwise 5×5, then a pointwise expansion and back (Liu et al., "A ConvNet for the 2020s", 2022), with
batch norm, which a CPU runs several times faster than channel-wise layer norm. Mean and maximum pooling are
joined before the head: a class may fill the patch or a corner of it.

Flows in: float32 (batch, bands, size, size), normalised; what does not fill a 4×4 is not seen, so the zoo pads to a
multiple of 4. Flows out: logits (batch, classes).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

STRIDE = 4
"""Pixels a side that the stem folds into one."""


@dataclass(frozen=True)
class Size:
    """Channels and blocks of each stage, and how much is left out in training."""

    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    dropout: float = 0.2
    drop_path: float = 0.0


SIZES: dict[str, Size] = {
    "landnet-s": Size((48, 80, 128), (1, 2, 2)),
    "landnet": Size((64, 128, 192), (2, 2, 2)),
    "landnet-l": Size((96, 192, 288), (2, 3, 3), drop_path=0.1),
}


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
        scale: Tensor = self.scale
        if self.training and self.drop_path:
            kept = 1 - self.drop_path
            scale = scale * x.new_empty(len(x), 1, 1, 1).bernoulli_(kept) / kept
        shifted: Tensor = x + scale * self.body(x)
        return shifted


class LandNet(nn.Module):
    """See the module's text. `features` is what Grad-CAM looks at: (batch, widths[-1], 8, 8) for 120 px.

    Args:
        in_chans, num_classes: bands and classes.
        size: see `SIZES`.
        dropout: before the classifier; the size's own if not given.
        drop_path: of the last block, rising linearly from 0 at the first; the size's own if not given.
    """

    def __init__(
        self,
        in_chans: int,
        num_classes: int,
        size: Size = SIZES["landnet"],
        *,
        dropout: float | None = None,
        drop_path: float | None = None,
    ) -> None:
        super().__init__()
        widths, blocks = size.widths, size.blocks
        most, depth = size.drop_path if drop_path is None else drop_path, sum(blocks)
        rates = [most * block / max(1, depth - 1) for block in range(depth)]
        stages: list[nn.Module] = [nn.Conv2d(in_chans, widths[0], STRIDE, stride=STRIDE), nn.BatchNorm2d(widths[0])]
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
        maps = self.features(x)
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)
        logits: Tensor = self.head(pooled)
        return logits
