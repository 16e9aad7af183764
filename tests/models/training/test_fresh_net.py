"""The net that settings ask for, by what the dataset is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.bundle.config import read_config
from models.bundle.weights import load_bundle
from models.nets.build import coarse_channels
from models.settings import RunSettings, TrainSettings
from models.training.fresh_net import fresh_net
from models.training.train import train
from pipelines.dataset.manifest import open_dataset
from tests.fakes import write_dataset
from tests.models.pretrained.others import TINY, net_of, plain
from tests.models.runs import interrupt, settings_for


@pytest.mark.parametrize(
    ("sizes", "bands", "coarse"),
    [
        ({"B04": 20, "B05": 20, "B01": 20}, "all", [False, True, True]),
        ({"B04": 20, "B05": 10, "B01": 4}, "B01,B05", [True, True]),
        ({"B05": 20, "B01": 20}, "all", [False, False]),
    ],
)
def test_a_band_is_coarse_beside_finer_bands_of_its_dataset(
    tmp_path: Path, sizes: dict[str, int], bands: str, coarse: list[bool]
) -> None:
    """Where no band is finer, the patches' pixels are its own, and none are averaged."""
    manifest = open_dataset(write_dataset(tmp_path / "data", 20, sizes=sizes))
    settings = TrainSettings(model="landnet-s", bands=bands)
    net, loaded = fresh_net(settings, manifest)
    assert loaded is None
    names = tuple(manifest.band_names) if bands == "all" else tuple(bands.split(","))
    assert coarse_channels(names, net.recipe) == coarse
    assert hasattr(net.backbone.features[0], "take") == any(coarse)


@pytest.fixture
def other_numbers(tmp_path: Path) -> Path:
    """Weights that saw one of the bands divided by 400, after 300 was taken off."""
    plain(net_of("resnet", 2), tmp_path / "other.pth")
    said: dict[str, Any] = {"bands": ["B04", "B12"], "mean": {"B04": 300}, "std": {"B04": 400}}
    (tmp_path / "other.pth.bands.json").write_text(json.dumps(said))
    return tmp_path / "other.pth"


@pytest.mark.usefixtures("one_thread")
def test_their_normalisation_is_that_of_the_bundle_and_of_a_run_that_goes_on_without_the_file(
    bright: Path, other_numbers: Path, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"model": TINY["resnet"], "pretrained": str(other_numbers), "test": False, "ema": 0.9}
    theirs = settings_for(bright, tmp_path / "run", pretrained_normalisation="theirs", checkpoint_steps=1, **more)
    interrupt(theirs, 2)
    other_numbers.unlink()
    train(RunSettings(out=tmp_path / "run"), resume=True)
    bundle = load_bundle(tmp_path / "run" / "checkpoints" / "best_acc")
    ours = open_dataset(str(bright)).statistics["B05"]
    assert bundle.config.mean == {"B04": 300, "B05": ours.mean}
    assert bundle.config.std == {"B04": 400, "B05": ours.std}
    assert bundle.net.statistics == ((300, ours.mean), (400, ours.std))


@pytest.mark.usefixtures("one_thread")
def test_by_default_numbers_are_normalised_by_the_datasets_statistics(
    bright: Path, other_numbers: Path, tmp_path: Path
) -> None:
    train(
        settings_for(
            bright, tmp_path / "run", model=TINY["resnet"], pretrained=str(other_numbers), epochs=1, test=False
        )
    )
    config = read_config(tmp_path / "run" / "checkpoints" / "best_acc")
    assert config.mean == {band: each.mean for band, each in open_dataset(str(bright)).statistics.items()}
