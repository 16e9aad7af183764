"""Bundles that replace others: the old one or the new one, whatever happens in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle.config import BundleConfig, check_bundle
from models.bundle.weights import load_bundle, recover_bundle, write_bundle
from models.measure.metrics import score
from models.nets.build import ReflectanceNet, create_net
from pipelines.errors import BundleError, StorageError
from pipelines.pixels.patch import Patch
from tests.small_disk import grow, small_disk

LABELS = ["one", "two"]


def write(folder: Path, seed: int, *, replace: bool = True, name: str = "landnet-s") -> ReflectanceNet:
    """A bundle of fresh weights."""
    net = create_net(name, mean=[0.0], std=[1.0], bands=["B04"], num_classes=2, image_size=24, seed=seed)
    config = BundleConfig(
        architecture=name, num_classes=2, label_names=LABELS, in_chans=1, bands=["B04"], mean={"B04": 0},
        std={"B04": 1}, image_size=24, thresholds=dict.fromkeys(LABELS, 0.5), dataset="0" * 64, seed=seed,
    )  # fmt: skip
    metrics = {"validation": score(np.full((2, 2), 0.5), np.eye(2), LABELS)}
    write_bundle(folder, net, config, metrics, Patch({"B04": np.ones((24, 24), np.uint16)}), replace=replace)
    return net


def test_a_bundle_is_replaced_only_where_that_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "best", 1, replace=False)
    with pytest.raises(BundleError, match="folder exists already"):
        write(tmp_path / "best", 2, replace=False)
    assert check_bundle(tmp_path / "best").seed == 1
    net = write(tmp_path / "best", 2)
    loaded = load_bundle(tmp_path / "best")
    assert loaded.config.seed == 2
    assert all(torch.equal(net.state_dict()[key], value) for key, value in loaded.net.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_what_was_set_aside_comes_back_unless_the_new_one_is_there(tmp_path: Path) -> None:
    write(tmp_path / ".best.old", 1)
    recover_bundle(tmp_path / "best")
    assert check_bundle(tmp_path / "best").seed == 1
    write(tmp_path / ".best.old", 2)
    recover_bundle(tmp_path / "best")
    assert check_bundle(tmp_path / "best").seed == 1
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_a_full_disk_leaves_the_old_one(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        with pytest.raises(StorageError, match="disk is full"):
            write(disk / "best", 1)
        assert not list(disk.iterdir())
        grow(disk)
        write(disk / "best", 2)
        with pytest.raises(StorageError, match=r"best: disk is full: 3\.\d MiB more are needed"):
            write(disk / "best", 3, name="landnet")
        assert [path.name for path in disk.iterdir()] == ["best"]
        assert check_bundle(disk / "best").seed == 2
