"""landnet: our own small CNN for multispectral patches.

A patch of 12 bands at 120 px says much by spectrum and little by fine detail, so bands are mixed while pixels
are folded 4×4 into channels (one convolution, stride 4, no overlap), and depth is spent at 30, 15 and 8 px.
Blocks: depthwise 5×5, then a pointwise expansion and back (Liu et al., "A ConvNet for the 2020s", 2022), with
batch norm, which a CPU runs several times faster than channel-wise layer norm. Mean and maximum pooling are
joined before the head: a class may fill the patch or a corner of it.

Flows in: float32 (batch, bands, size, size), normalised. Flows out: logits (batch, classes).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (64, 128, 192)
BLOCKS = (2, 2, 2)
HEAD_DROPOUT = 0.2


class Block(nn.Module):
    """Depthwise 5×5, pointwise expansion by 2 and back, added to the input. Keeps (batch, width, h, w)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, 2 * width, 1),
            nn.GELU(),
            nn.Conv2d(2 * width, width, 1),
        )
        self.scale = nn.Parameter(torch.full((1, width, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        shifted: Tensor = x + self.scale * self.body(x)
        return shifted


class LandNet(nn.Module):
    """See the module's text. `features` is what Grad-CAM looks at: (batch, 192, 8, 8) for 120 px."""

    def __init__(self, in_chans: int, num_classes: int) -> None:
        super().__init__()
        stages: list[nn.Module] = [nn.Conv2d(in_chans, WIDTHS[0], 4, stride=4), nn.BatchNorm2d(WIDTHS[0])]
        for position, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
            if position:
                before = WIDTHS[position - 1]
                stages += [nn.BatchNorm2d(before), nn.Conv2d(before, width, 3, stride=2, padding=1)]
            stages += [Block(width) for _ in range(blocks)]
        self.features = nn.Sequential(*stages, nn.BatchNorm2d(WIDTHS[-1]), nn.GELU())
        self.head = nn.Sequential(nn.Dropout(HEAD_DROPOUT), nn.Linear(2 * WIDTHS[-1], num_classes))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.features(x)
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)
        logits: Tensor = self.head(pooled)
        return logits
