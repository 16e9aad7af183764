"""What a net says of a whole split, in the split's own order.

Flows in: a net in whatever mode, and rows. Flows out: logits, and probabilities of them; the net is in evaluation mode.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.device import own_memory_errors
from models.measure.calibrate import Calibration
from models.nets.build import ReflectanceNet
from models.processes import ALONE, Team
from pipelines.errors import TrainingError
from pipelines.feeding.batches import Batches
from pipelines.feeding.epoch_order import Plan
from pipelines.feeding.rows import Rows

BATCH = 64


@dataclass(frozen=True)
class Evaluation:
    """Logits float32 (rows, classes), and the mean loss, 0 where none was asked for."""

    logits: NDArray[np.float32]
    loss: float

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Of the logits as they are, (rows, classes)."""
        return Calibration(1.0, []).probabilities(self.logits)


@torch.inference_mode()
def evaluate(
    net: ReflectanceNet,
    rows: Rows,
    size: int,
    device: torch.device,
    loss: nn.Module | None = None,
    *,
    batch_size: int = BATCH,
    team: Team = ALONE,
) -> Evaluation:
    """Run a net over a split in float32, all workers of the team together; each gets the whole result.

    A batch that does not fit into memory is cut in halves until they do.

    Args:
        size: pixels a side that the patches are brought to.
        loss: of a batch's logits and labels, a scalar; none is computed if not given.
        batch_size: patches of a worker at a time.

    Raises:
        TrainingError: the split is empty, not even one patch fits into memory, or a logit is no finite number.
    """
    if not len(rows):
        raise TrainingError("there are no patches to score", hint="Ingest more.")
    net.eval()
    found: list[Tensor] = []
    total = 0.0
    plan = Plan(share=(team.number, team.size))
    with own_memory_errors(f"a batch of {batch_size} patches of {size} px", "Make room on the device, or use another."):
        for images, labels in Batches(rows, batch_size * team.size, size, device=device, plan=plan):
            if not len(images):
                continue
            logits = _logits(net, images)
            found.append(logits.cpu())
            if loss is not None:
                total += float(loss(logits, labels)) * len(images)
    mine = torch.cat(found).numpy() if found else np.empty((0, rows.labels.shape[1]), np.float32)
    whole = team.join(mine, len(rows), batch_size * team.size)
    if not np.isfinite(whole).all():
        hint = "Lower the learning rate, and check the data with `landsweep data check`."
        raise TrainingError("the net gives no numbers", hint=hint)
    return Evaluation(whole, team.sum(total) / len(rows))


def _logits(net: nn.Module, images: Tensor) -> Tensor:
    try:
        with own_memory_errors(f"a patch of {images.shape[-1]} px", "Use another device, or a smaller model."):
            logits: Tensor = net(images)
            return logits
    except TrainingError:
        half = len(images) // 2
        if not half:
            raise
    return torch.cat([_logits(net, images[:half]), _logits(net, images[half:])])
