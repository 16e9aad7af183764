"""Bundles to nets and back: the only place where weights are written or loaded.

Flows in: a net with its `BundleConfig`, metrics and an example patch; or a bundle's folder.
Flows out: a bundle that appears whole or not at all; or a net in evaluation mode that fits its config.

Weights are safetensors: loading them runs no code, whoever wrote them.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from models.bundle import CARD, CONFIG, EXAMPLE, METRICS, WEIGHTS, BundleConfig, check_bundle
from models.card import model_card
from models.zoo import ReflectanceNet, create_net
from pipelines.errors import BundleError, SettingsError
from pipelines.files import commit, sha256_of, sync
from pipelines.patch import Patch, write_stack


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle: the net is in evaluation mode on its device."""

    config: BundleConfig
    net: ReflectanceNet


def write_bundle(
    folder: Path, net: ReflectanceNet, config: BundleConfig, metrics: Mapping[str, Any], example: Patch
) -> BundleConfig:
    """Write a bundle aside and move it to `folder`, which must not exist yet; returns the config with checksums."""
    if folder.exists():
        raise BundleError(
            "folder exists already", where=str(folder), hint="Give a new one: bundles are not overwritten."
        )
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    save_file(weights, aside / WEIGHTS, metadata={"format": "pt"})
    (aside / METRICS).write_text(json.dumps(metrics, indent=1), encoding="utf-8")
    (aside / EXAMPLE).write_bytes(write_stack(example, config.bands, config.image_size))
    (aside / CARD).write_text(model_card(config, metrics), encoding="utf-8")
    files = {name: sha256_of(aside / name) for name in (WEIGHTS, METRICS, CARD, EXAMPLE)}
    config = config.model_copy(update={"files": files, "versions": installed_versions()})
    (aside / CONFIG).write_text(config.model_dump_json(indent=1), encoding="utf-8")
    for name in (*files, CONFIG):
        sync(aside / name)
    commit(aside, folder)
    return config


def load_bundle(folder: Path, device: torch.device | str = "cpu") -> Bundle:
    """Check a bundle and load its net.

    Raises:
        BundleError: anything about it is missing, damaged, or does not fit.
    """
    config = check_bundle(folder)
    try:
        net = create_net(
            config.architecture,
            mean=[config.mean[band] for band in config.bands],
            std=[config.std[band] for band in config.bands],
            num_classes=config.num_classes,
        )
        net.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, SettingsError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"weights do not fit the config ({reason})", where=str(folder)) from None
    return Bundle(config, net.to(device).eval())


def installed_versions() -> dict[str, str]:
    """Versions of what decides a model's numbers."""
    names = ("numpy", "timm", "torch")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}
