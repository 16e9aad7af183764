"""One layer of convolutions that nobody trained, pooled: the net of a probe that needs no weights.

Its kernels are as drawn, or whitened patches of a dataset's own pixels (see `models.probe.kernels`), which tell land
covers apart far better: Coates and Ng, "The importance of encoding versus training with sparse coding and vector
quantization", 2011. How strongly each kernel is met is averaged over the patch, for and against it apart, so that a
texture counts by how much of the patch it covers and not by where it lies (as in Rolf et al., "A generalizable and
accessible approach to machine learning with global satellite imagery", 2021).

Flows in: float32 (batch, bands, size, size), normalised. Flows out: logits (batch, classes).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

NAME = "random-convolutions"
"""What the zoo calls it."""

KERNELS, SIDE, STEP = 256, 5, 2
"""How many there are, their side, and the pixels from one place to the next."""

FEATURES = 2 * KERNELS


class RandomConvolutions(nn.Module):
    """See the module's text. `features` is what Grad-CAM looks at: (batch, KERNELS, 60, 60) for 120 px.

    Args:
        in_chans: number of bands.
        num_classes: number of classes.
        dropout: before the classifier; none if not given.
    """

    pretrained_cfg: dict[str, Any]

    def __init__(self, in_chans: int, num_classes: int, *, dropout: float | None = None) -> None:
        super().__init__()
        self.features = nn.Conv2d(in_chans, KERNELS, SIDE, stride=STEP, padding=SIDE // 2, padding_mode="reflect")
        self.head = nn.Sequential(nn.Dropout(dropout or 0.0), nn.Linear(FEATURES, num_classes))
        # What timm's nets say of themselves, to whoever loads weights of other bands and classes.
        self.pretrained_cfg = {"first_conv": "features", "classifier": "head.1"}

    def forward(self, x: Tensor) -> Tensor:
        """(batch, bands, size, size), normalised, to logits (batch, classes)."""
        maps = self.features(x)
        met = torch.cat([functional.relu(each).mean((2, 3)) for each in (maps, -maps)], dim=1)
        logits: Tensor = self.head(met)
        return logits
