"""Bundles to nets and back: the only place where weights are written or loaded.

Flows in: a net with its `BundleConfig`, metrics and an example patch; or a bundle's folder.
Flows out: a bundle that appears whole or not at all; or a net in evaluation mode that fits its config.

Weights are safetensors: loading them runs no code, whoever wrote them.
"""

from __future__ import annotations

import errno
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

from models.bundle.card import model_card
from models.bundle.config import CARD, CONFIG, EXAMPLE, METRICS, WEIGHTS, BundleConfig, check_bundle, config_text
from models.bundle.config import Member as MemberConfig
from models.nets.build import ReflectanceNet, assemble, plan
from models.nets.ensemble import EnsembleNet, Member
from pipelines.errors import BundleError, SettingsError
from pipelines.files import commit, full, sha256_of, sync
from pipelines.pixels.patch import Patch, write_stack


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle: the net is in evaluation mode on its device."""

    config: BundleConfig
    net: ReflectanceNet


def write_bundle(
    folder: Path,
    net: ReflectanceNet,
    config: BundleConfig,
    metrics: Mapping[str, Any],
    example: Patch,
    *,
    replace: bool = False,
) -> BundleConfig:
    """Write a bundle aside and move it to `folder`; returns the config with checksums.

    Args:
        folder: must not exist yet, unless what is there may be replaced.
        net, config, metrics, example: what goes into it.
        replace: the folder may exist; it is whole before and after. Where a process is killed just between, the old
            one is put back by `recover_bundle`.

    Raises:
        BundleError: the folder exists already.
        PatchError: the example lacks a band.
        StorageError: the disk is full; what was there is still there.
    """
    if folder.exists() and not replace:
        raise BundleError(
            "folder exists already", where=str(folder), hint="Give a new one: bundles are not overwritten."
        )
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        config = _write_files(aside, net, config, metrics, example)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "No space left" in str(error):
            raise full(folder, sum(4 * each.numel() for each in net.state_dict().values())) from None
        raise
    if folder.exists():
        shutil.rmtree(_old(folder), ignore_errors=True)
        folder.replace(_old(folder))
    commit(aside, folder)
    shutil.rmtree(_old(folder), ignore_errors=True)
    return config


def recover_bundle(folder: Path) -> None:
    """Put back what a process that was killed while replacing `folder` had set aside, if the new one is not there."""
    if _old(folder).is_dir() and not folder.exists():
        commit(_old(folder), folder)
    shutil.rmtree(_old(folder), ignore_errors=True)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _write_files(
    aside: Path, net: ReflectanceNet, config: BundleConfig, metrics: Mapping[str, Any], example: Patch
) -> BundleConfig:
    aside.mkdir(parents=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    save_file(weights, aside / WEIGHTS, metadata={"format": "pt"})
    (aside / METRICS).write_text(json.dumps(metrics, indent=1), encoding="utf-8")
    (aside / EXAMPLE).write_bytes(write_stack(example, config.bands, config.image_size))
    known = {"versions": installed_versions(), "architecture_arguments": net.recipe}
    config = config.model_copy(update=known)
    parameters = sum(each.numel() for each in net.parameters())
    (aside / CARD).write_text(model_card(config, metrics, parameters), encoding="utf-8")
    files = {name: sha256_of(aside / name) for name in (WEIGHTS, METRICS, CARD, EXAMPLE)}
    config = config.model_copy(update={"files": files})
    (aside / CONFIG).write_text(config_text(config), encoding="utf-8")
    for name in (*files, CONFIG):
        sync(aside / name)
    return config


def load_bundle(folder: Path, device: torch.device | str = "cpu") -> Bundle:
    """Check a bundle and load its net.

    Raises:
        BundleError: anything about it is missing, damaged, or does not fit.
    """
    config = check_bundle(folder)
    try:
        net = _built(config)
        net.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, SettingsError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"weights do not fit the config ({reason})", where=str(folder)) from None
    return Bundle(config, net.to(device).eval())


def _built(config: BundleConfig) -> ReflectanceNet:
    """The net that a config tells of, with fresh weights."""
    mean = [config.mean[band] for band in config.bands]
    std = [config.std[band] if config.numbers else max(config.std[band], 1.0) for band in config.bands]
    if config.members:
        members = [_member(each, config.num_classes) for each in config.members]
        return EnsembleNet(members, config.bands, mean, std, config.image_size)
    recipe = config.architecture_arguments or plan(config.architecture, config.image_size)
    return assemble(config.architecture, recipe, mean=mean, std=std, bands=config.bands, num_classes=config.num_classes)


def _member(said: MemberConfig, num_classes: int) -> Member:
    net = assemble(
        said.architecture,
        said.architecture_arguments,
        mean=[said.mean[band] for band in said.bands],
        std=[said.std[band] for band in said.bands],
        bands=said.bands,
        num_classes=num_classes,
    )
    return Member(said.architecture, net, tuple(said.bands), said.temperature, said.share)


def installed_versions() -> dict[str, str]:
    """Versions of what decides a model's numbers."""
    names = ("numpy", "timm", "torch")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}
