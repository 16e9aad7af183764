"""The net that settings ask for, for a dataset, before it has learnt anything from it.

Flows in: training settings, a dataset's manifest. Flows out: a net, its weights drawn or pretrained.
"""

from __future__ import annotations

from models.nets.build import ReflectanceNet, create_net
from models.pretrained.adapt import LoadReport
from models.pretrained.load import load_pretrained
from models.settings import TrainSettings
from pipelines.bands import is_coarse, parse_bands
from pipelines.dataset.manifest import Manifest


def image_size(manifest: Manifest) -> int:
    """Pixels a side that all bands of a dataset are brought to."""
    return max(column.size for column in manifest.bands)


def fresh_net(settings: TrainSettings, manifest: Manifest) -> tuple[ReflectanceNet, LoadReport | None]:
    """The net that the settings ask for, for a dataset's bands, classes and patches.

    Returns:
        The net, and where its weights came from if they are not all drawn from the seed.

    Raises:
        BandError: the dataset lacks a band.
        SettingsError: there is no such model, or it cannot be built so; no such weights, or none that fits; or see
            `load_pretrained`.
        BundleError: the bundle that weights are to be taken from is damaged.
        ServiceError: timm's hub does not answer.
    """
    bands = parse_bands(settings.bands, manifest.band_names)
    net = create_net(
        settings.model,
        mean=[manifest.statistics[band].mean for band in bands],
        std=[manifest.statistics[band].std for band in bands],
        num_classes=len(manifest.label_names),
        image_size=image_size(manifest),
        coarse_grid=all(map(is_coarse, manifest.band_names)),
        seed=settings.seed,
        dropout=settings.dropout,
        drop_path=settings.drop_path,
        bands=bands,
    )
    if not settings.pretrained:
        return net, None
    return net, load_pretrained(
        net,
        settings.model,
        settings.pretrained,
        bands=bands,
        labels=manifest.label_names,
        channels=settings.pretrained_bands,
        normalisation=settings.pretrained_normalisation,
        numbers=[manifest.column(band).numbers for band in bands],
    )
