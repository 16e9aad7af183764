"""Whose features a probe takes: the net that its settings ask for, frozen.

Flows in: `ProbeSettings`, and a dataset. Flows out: settings that name the model and the bands, and that net.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.bundle.config import read_config
from models.bundle.locate import bundle_of_weights, find_bundle
from models.nets.build import ReflectanceNet
from models.nets.catalog import check_model
from models.nets.random_convolutions import NAME as RANDOM
from models.pretrained.load import whole_path
from models.probe.kernels import draw_kernels
from models.settings import ProbeSettings, TrainSettings
from models.training.fresh_net import fresh_net, image_size
from pipelines.dataset.manifest import Manifest
from pipelines.errors import SettingsError
from pipelines.feeding.rows import Rows


def resolve(settings: ProbeSettings) -> ProbeSettings:
    """The same settings with the model and the bands named, those of the bundle where one is given.

    Raises:
        SettingsError: there are weights, but no word of which model they are; or no model can be called so.
        BundleError: the bundle is not there, or its config is damaged.
    """
    model, bands, pretrained = settings.model, settings.bands, settings.pretrained
    if pretrained:
        pretrained = whole_path(pretrained)
        path = Path(pretrained)
        folder = path if path.is_dir() else bundle_of_weights(path)
        if folder:
            config = read_config(find_bundle(folder))
            model, bands = model or config.architecture, bands or ",".join(config.bands)
        elif not model:
            hint = "Name it with --model: see `landsweep models list`."
            raise SettingsError("weights are given, but not of which model", where="model", hint=hint)
    named = {"model": check_model(model or RANDOM), "bands": bands or "all", "pretrained": pretrained}
    return settings.model_copy(update=named)


def training_settings(settings: ProbeSettings) -> TrainSettings:
    """What `landsweep train` would be told of the same net; settings of the training itself mean nothing here."""
    both = ("model", "pretrained", "bands", "metric", "beta", "seed", "batch_size", "device", "threads")
    return TrainSettings(**{name: getattr(settings, name) for name in both})


def parameters_of(settings: ProbeSettings) -> dict[str, Any]:
    """How a probe was made, as plain values, without paths of this machine: a bundle goes to others."""
    values = settings.model_dump(mode="json", exclude={"data", "out", "test", "explain"})
    return values | {"pretrained": Path(settings.pretrained).name}


def frozen_net(settings: ProbeSettings, manifest: Manifest, train: Rows, tell: Callable[[str], None]) -> ReflectanceNet:
    """The net, its weights as they are given; where none are, as they are drawn, and of random convolutions from the
    training split.

    Args:
        settings: resolved.
        train: rows of the training split with the bands that are asked for.
        tell: gets what became of the weights.

    Raises:
        SettingsError, BandError, BundleError, ServiceError: see `fresh_net`.
    """
    net, loaded = fresh_net(training_settings(settings), manifest)
    if loaded:
        tell(str(loaded))
    elif settings.model == RANDOM:
        draw_kernels(net, train, image_size(manifest), settings.seed)
        tell("no weights: kernels are whitened squares of the training split's own pixels")
    else:
        tell(f"no weights are given: {settings.model} as it is drawn. Name some with --pretrained.")
    return net.requires_grad_(False).eval()
