"""Both ways to batches give the same patches, each once a pass, and as the net wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from benchmarks.plain_loop import Batch, Stacked, loading, lying_ready

CPU = torch.device("cpu")

Feed = Callable[[Tensor, Tensor], Iterator[Batch]]


def halve(numbers: Tensor) -> Tensor:
    return numbers / 2


FEEDS: dict[str, Feed] = {
    "ready": lambda images, labels: lying_ready(halve(images.float()), labels, 8),
    "DataLoader": lambda images, labels: loading(Stacked(images, labels), 8, halve, CPU),
}


@pytest.mark.parametrize("name", FEEDS)
def test_each_patch_comes_once_a_pass_with_its_labels(name: str) -> None:
    images = torch.arange(16).to(torch.uint16)[:, None, None, None].expand(16, 3, 4, 4)
    labels = torch.arange(16.0)[:, None]
    batches = FEEDS[name](images, labels)
    orders = []
    for _ in range(2):
        pairs = [next(batches) for _ in range(2)]
        assert all(some.is_contiguous(memory_format=torch.channels_last) for some, _ in pairs)
        got, truth = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        assert torch.equal(got, (truth / 2)[:, :, None, None].expand(16, 3, 4, 4))
        orders.append(truth.flatten().tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(16))
    assert orders[0] != orders[1]
