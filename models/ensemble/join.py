"""Loaded bundles joined to one, in memory: its bands are those of all, its members keep their own statistics.

Flows in: bundles and their shares. Flows out: an `EnsembleNet` and the config that tells of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.bundle.config import WEIGHTS, BundleConfig, Member
from models.bundle.weights import Bundle
from models.nets.catalog import ENSEMBLE
from models.nets.ensemble import EnsembleNet
from models.nets.ensemble import Member as Net


@dataclass(frozen=True)
class Joined(Bundle):
    """An ensemble in memory."""

    net: EnsembleNet


def join(bundles: Sequence[Bundle], shares: Sequence[float], origins: Sequence[Mapping[str, Any]] = ()) -> Joined:
    """Several loaded bundles as one, not calibrated yet.

    Args:
        bundles: with the same classes and patches, on one device.
        shares: of each; they add up to 1.
        origins: what else to say of where each comes from.
    """
    first = bundles[max(range(len(bundles)), key=shares.__getitem__)].config
    bands = list(dict.fromkeys(band for bundle in bundles for band in bundle.config.bands))
    numbers = {band: known for bundle in reversed(bundles) for band, known in bundle.config.numbers.items()}
    pairs = zip(bundles, shares, origins or [{}] * len(bundles), strict=True)
    members = [_member(bundle, share, origin) for bundle, share, origin in pairs]
    mean: dict[str, float] = {}
    std: dict[str, float] = {}
    for each in reversed(members):  # of members that differ in what a band's mean is, the first counts
        mean, std = mean | each.mean, std | each.std
    nets = [
        Net(each.architecture, bundle.net, tuple(each.bands), each.temperature, each.share)
        for each, bundle in zip(members, bundles, strict=True)
    ]
    config = BundleConfig(
        architecture=ENSEMBLE,
        members=members,
        num_classes=first.num_classes,
        label_names=first.label_names,
        in_chans=len(bands),
        bands=bands,
        mean=mean,
        std=std,
        numbers=numbers if set(numbers) == set(bands) else {},
        max_nodata=first.max_nodata,
        image_size=first.image_size,
        scale=first.scale,
        thresholds=first.thresholds,
        dataset=first.dataset,
        seed=first.seed,
    )
    net = EnsembleNet(nets, bands, [mean[band] for band in bands], [std[band] for band in bands], first.image_size)
    return Joined(config, net.to(bundles[0].net.mean.device).eval())


def _member(bundle: Bundle, share: float, origin: Mapping[str, Any]) -> Member:
    config, (mean, std) = bundle.config, bundle.net.statistics
    return Member(
        architecture=config.architecture,
        architecture_arguments=bundle.net.recipe,
        bands=config.bands,
        mean=dict(zip(config.bands, mean, strict=True)),
        std=dict(zip(config.bands, std, strict=True)),
        temperature=config.temperature,
        share=share,
        trial=config.trial | dict(origin),
        weights=config.files.get(WEIGHTS, ""),
    )
