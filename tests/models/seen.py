"""Bundles for tests of explanations: of any net, and of nets that have learned to find a bright corner."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.bundle.config import BundleConfig
from models.bundle.weights import Bundle
from models.nets.build import ReflectanceNet, create_net

BANDS = ("B04", "B05")
LABELS = ("Bright corner", "Dark corner")
CORNER = 20
"""Pixels a side of what decides."""


def bundle_of(
    net: ReflectanceNet,
    name: str,
    labels: Sequence[str],
    size: int,
    *,
    bands: Sequence[str] = BANDS,
    temperature: float = 1.0,
) -> Bundle:
    """A net as if it had been loaded."""
    config = BundleConfig(
        architecture=name,
        num_classes=len(labels),
        label_names=list(labels),
        in_chans=len(bands),
        bands=list(bands),
        mean=dict(zip(bands, net.mean.flatten().tolist(), strict=True)),
        std=dict(zip(bands, net.std.flatten().tolist(), strict=True)),
        image_size=size,
        temperature=temperature,
        thresholds=dict.fromkeys(labels, 0.5),
        dataset="0" * 64,
    )
    return Bundle(config, net.eval())


def fresh(name: str, size: int, labels: Sequence[str] = LABELS, seed: int = 0) -> Bundle:
    """Weights as they are drawn, of a net on two bands."""
    mean, std = [1000.0] * 2, [300.0] * 2
    net = create_net(name, mean=mean, std=std, bands=BANDS, num_classes=len(labels), image_size=size, seed=seed)
    return bundle_of(net, name, labels, size)


def corners(rows: int, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noise with a bright or a dark square in one corner, or none: images, labels (rows, 2), corner (rows,), of 0…3."""
    generator = torch.Generator().manual_seed(seed)
    images = 1000 + 100 * torch.randn(rows, 2, size, size, generator=generator)
    kinds = torch.randint(0, 3, (rows,), generator=generator)
    places = torch.randint(0, 4, (rows,), generator=generator)
    for image, kind, place in zip(images, kinds.tolist(), places.tolist(), strict=True):
        down, right = divmod(place, 2)
        rows_there = slice(size - CORNER, size) if down else slice(0, CORNER)
        columns_there = slice(size - CORNER, size) if right else slice(0, CORNER)
        image[:, rows_there, columns_there] += (600, -600, 0)[kind]
    return images, nn.functional.one_hot(kinds, 3)[:, :2].float(), places


def learned(name: str, size: int = 64, steps: int = 25, rate: float = 2e-3) -> Bundle:
    """A net that tells these corners; learned in a second or two."""
    bundle = fresh(name, size)
    net = bundle.net.train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for step in range(steps):
            images, labels, _ = corners(16, size, step)
            loss = nn.functional.binary_cross_entropy_with_logits(net(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    net.eval()
    return bundle
