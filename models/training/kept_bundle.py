"""What is kept of a net that is being trained: a bundle's config and its example patch.

Flows in: training settings, a dataset's manifest, and what was fitted on validation. Flows out: what `write_bundle`
takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle.config import BundleConfig
from models.measure.calibrate import Calibration
from models.nets.build import ReflectanceNet
from models.settings import TrainSettings
from models.training.fresh_net import image_size
from pipelines.bands import parse_bands
from pipelines.dataset.manifest import Manifest
from pipelines.feeding.rows import Rows
from pipelines.pixels.meaning import MOST_NODATA
from pipelines.pixels.patch import Patch


def config_of(
    settings: TrainSettings,
    manifest: Manifest,
    calibration: Calibration,
    trial: Mapping[str, Any],
    net: ReflectanceNet,
) -> BundleConfig:
    """What a bundle says of its net.

    Args:
        settings: which net on which bands.
        manifest: of the dataset it was trained on.
        calibration: fitted on its validation split.
        trial: what else is to be said of where it comes from; the settings are said here.
        net: what it normalises by is what is kept; pretrained weights may have brought their own.

    Raises:
        BandError: the dataset lacks a band.
    """
    bands = parse_bands(settings.bands, manifest.band_names)
    return BundleConfig(
        architecture=settings.model,
        num_classes=len(manifest.label_names),
        label_names=manifest.label_names,
        in_chans=len(bands),
        bands=list(bands),
        mean=dict(zip(bands, net.statistics[0], strict=True)),
        std=dict(zip(bands, net.statistics[1], strict=True)),
        numbers={band: manifest.known(band) for band in bands},
        max_nodata=manifest.settings.get("max_nodata", MOST_NODATA),
        image_size=image_size(manifest),
        temperature=calibration.temperature,
        thresholds=dict(zip(manifest.label_names, calibration.thresholds, strict=True)),
        dataset=manifest.hash,
        trial={**trial, "parameters": parameters_of(settings)},
        seed=settings.seed,
    )


def parameters_of(settings: TrainSettings) -> dict[str, Any]:
    """How a net was trained, as plain values. A bundle goes to others: of pretrained weights only the name is said."""
    values = settings.model_dump(mode="json", include=set(TrainSettings.model_fields))
    return values | {"pretrained": Path(settings.pretrained).name}


def example_of(split: Rows) -> Patch:
    """The split's patch with most labels, without its place: it is there to try the model on."""
    row = np.array([int(split.labels.sum(axis=1).argmax())])
    chunk = split.take(row)
    return Patch({band: chunk[band][0] for band in split.bands})
