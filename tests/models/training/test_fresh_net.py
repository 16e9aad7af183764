"""The net that settings ask for, by what the dataset is."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.nets.build import coarse_channels
from models.settings import TrainSettings
from models.training.fresh_net import fresh_net
from pipelines.dataset.manifest import open_dataset
from tests.fakes import write_dataset


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
