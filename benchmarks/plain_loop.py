"""The training loop that a competent user of timm and torch writes, at its best, beside `models.training.loop`.

Flows in: a net that takes normalised patches, and batches. Flows out: steps.

Channels last, fused AdamW, the loss left on the device. Two ways to batches: from tensors that were normalised and
padded before the clock starts and lie where the net runs, than which no feed can be quicker; and, for a GPU, a
DataLoader with workers over uint16 in this machine's memory, pinned, normalised on the GPU: what is left to a split
larger than the GPU's memory, and BigEarthNet's training split takes 164 GB as float32.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

RATE, DECAY, CLIP = 1e-5, 0.02, 1.0
WORKERS = 8
EPOCHS = 1_000_000  # without end, as good as

Batch = tuple[Tensor, Tensor]


class Plain:
    """The loop's net and optimizer; `step` is its body."""

    def __init__(self, net: nn.Module, batches: Iterator[Batch], device: torch.device, dtype: torch.dtype) -> None:
        self.net = net.to(device).to(memory_format=torch.channels_last).train()
        self.batches, self.device, self.dtype = batches, device, dtype
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
        self.loss = nn.BCEWithLogitsLoss()
        self.total = torch.zeros((), device=device)

    def step(self) -> None:
        images, labels = next(self.batches)
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            loss = self.loss(self.net(images), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        self.optimizer.step()
        self.total += loss.detach()


def lying_ready(images: Tensor, labels: Tensor, batch: int) -> Iterator[Batch]:
    """Batches in random order, without end, of prepared patches (patches, bands, side, side) and labels, where these
    lie."""
    bands_last = images.permute(0, 2, 3, 1).contiguous()
    while True:
        order = torch.randperm(len(images), device=images.device)
        for start in range(0, len(order) - batch + 1, batch):
            rows = order[start : start + batch]
            yield bands_last[rows].permute(0, 3, 1, 2), labels[rows]


class Stacked(Dataset[Batch]):
    """uint16 patches (patches, bands, size, size) and labels in memory, given by the batch, bands last."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images.permute(0, 2, 3, 1).contiguous().numpy(), labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: list[int]) -> Batch:
        return torch.from_numpy(self.images[rows]), self.labels[rows]


def loading(data: Stacked, batch: int, prepare: Callable[[Tensor], Tensor], device: torch.device) -> Iterator[Batch]:
    """Batches from a DataLoader, likewise; `prepare` normalises and pads digital numbers on the device."""
    shuffled = BatchSampler(RandomSampler(data, num_samples=len(data) * EPOCHS), batch, drop_last=True)
    workers, pinned = min(WORKERS, len(os.sched_getaffinity(0))), device.type == "cuda"
    for numbers, labels in DataLoader(data, None, sampler=shuffled, num_workers=workers, pin_memory=pinned):
        images = prepare(numbers.to(device, non_blocking=True).permute(0, 3, 1, 2).float())
        yield images.contiguous(memory_format=torch.channels_last), labels.to(device, non_blocking=True)
