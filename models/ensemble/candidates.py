"""Bundles that may answer together, and what each says of the validation split.

Flows in: folders of bundles, and the dataset they were trained on. Flows out: `Candidate`s; a bundle that does not fit
the others is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle.config import BundleConfig
from models.bundle.weights import Bundle, load_bundle
from models.measure.calibrate import Calibration
from models.measure.evaluate import evaluate
from pipelines.dataset.manifest import Manifest
from pipelines.errors import BundleError
from pipelines.feeding.shared import Feed


@dataclass(frozen=True)
class Candidate:
    """One bundle.

    Args:
        folder: of it.
        config: as it was read.
        probabilities: calibrated by itself, (rows, classes) of the validation split.
    """

    folder: Path
    config: BundleConfig
    probabilities: NDArray[np.float32]


def candidates(sources: Sequence[Path], data: Feed, device: torch.device, batch_size: int) -> Iterator[Candidate]:
    """Run each bundle over the validation split, one after the other; only one is in memory at a time.

    Raises:
        BundleError: one is damaged, or is none of this dataset's; see `check`.
        ShardError, BandError: see `Feed.get`.
        TrainingError: not even one patch fits into memory, or a net gives no finite numbers.
    """
    for folder in sources:
        bundle = load_bundle(folder, device)
        check(bundle.config, data.manifest, folder)
        yield Candidate(folder, bundle.config, probabilities_of(bundle, data, "validation", batch_size))


def probabilities_of(bundle: Bundle, data: Feed, split: str, batch_size: int) -> NDArray[np.float32]:
    """What a bundle says of a split as it is served, (rows, classes).

    Raises:
        ShardError, BandError: see `Feed.get`.
        TrainingError: see `evaluate`.
    """
    config = bundle.config
    rows, device = data.get(split, config.bands), bundle.net.mean.device
    logits = evaluate(bundle.net, rows, config.image_size, device, batch_size=batch_size).logits
    return Calibration(config.temperature, []).probabilities(logits)


def check(config: BundleConfig, manifest: Manifest, folder: Path) -> None:
    """Refuse a bundle that cannot be a member: of another dataset, or of several nets itself.

    Raises:
        BundleError: it is one of these.
    """
    if config.dataset != manifest.hash or config.label_names != manifest.label_names:
        hint = "Take bundles that were trained on the same dataset; classes, bands and patches are then the same."
        raise BundleError("it was trained on another dataset", where=str(folder), hint=hint)
    if config.members:
        raise BundleError("it is an ensemble itself", where=str(folder), hint="Take the bundles of its members.")
