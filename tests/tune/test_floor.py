"""The floor of a search: measured once, on no more patches than it takes, and kept beside the study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.results.assess import compare
from pipelines.dataset.manifest import open_dataset
from pipelines.errors import StudyError
from pipelines.feeding.rows import read_split
from pipelines.feeding.shared import Streamed
from pipelines.location import locate
from tests.models.bright import write_bright
from tune.outcome.floor import FLOOR, read_floor
from tune.outcome.measure_floor import floor, some
from tune.settings import SearchSettings


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Streamed:
    rows = {"train": 140, "validation": 70, "test": 40}
    folder = write_bright(tmp_path_factory.mktemp("floor") / "shards", rows)
    return Streamed(open_dataset(folder), locate(folder))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Regressions of a few numbers are slower on several threads, which wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def search(data: Streamed, **more: Any) -> SearchSettings:
    space = {"model": ["landnet-s"], "bands": ["B04", "B05,B04"]} | more.pop("space", {})
    return SearchSettings.parse({"name": "s", "data": str(data.folder), "space": space} | more)


def test_the_regression_is_the_one_that_others_are_measured_by(data: Streamed, tmp_path: Path) -> None:
    (row,) = floor(search(data), data, tmp_path, splits=("validation", "test"))
    assert row.bands == ["B04", "B05"]
    assert row.values["test"] == pytest.approx(compare(data.folder)["regression"]["ap_macro"], abs=1e-6)
    assert row.patches == row.of == {"train": 140, "validation": 70, "test": 40}
    assert "patches" not in str(row)


def test_it_is_measured_once_until_the_question_or_the_data_is_another(data: Streamed, tmp_path: Path) -> None:
    said: list[str] = []

    def ask(**more: Any) -> int:
        said.clear()
        floor(search(data, **more.pop("search", {})), more.pop("data", data), tmp_path, said.append, **more)
        return len(said)

    assert (ask(), ask()) == (1, 0)
    assert said == []
    assert ask(search={"trials": 99}) == 0  # the space is the same
    assert (ask(splits=("validation", "test")), ask()) == (1, 0)  # what has both has the one
    assert ask(search={"metric": "f1_macro"}) == 1
    assert ask(most=64) == 1
    other = write_bright(tmp_path / "other", {"train": 80, "validation": 40})
    assert ask(most=64, data=Streamed(open_dataset(other), locate(other))) == 1
    assert "64 of 80 train" in said[0]
    (tmp_path / FLOOR).write_text("{")
    with pytest.raises(StudyError, match="damaged"):
        read_floor(tmp_path)
    assert ask() == 1
    assert len(read_floor(tmp_path)) == 1
    assert read_floor(tmp_path / "none") == []


def test_weights_that_are_given_are_probed_and_those_that_fit_nothing_are_told_of(
    data: Streamed, tmp_path: Path
) -> None:
    from models.bundle.weights import write_bundle
    from models.measure.calibrate import Calibration
    from models.nets.build import create_net
    from models.settings import TrainSettings
    from models.training.kept_bundle import config_of, example_of

    given: dict[str, Any] = {"mean": [1000.0], "std": [500.0], "bands": ["B04"], "num_classes": 2, "image_size": 24}
    net = create_net("landnet-s", **given, seed=1)
    settings = TrainSettings(model="landnet-s", bands="B04")
    config = config_of(settings, data.manifest, Calibration(1.0, [0.5, 0.5]), {}, net)
    write_bundle(tmp_path / "weights", net, config, {}, example_of(data.get("validation", ["B04"])))
    space = {"model": ["landnet-s", "landnet"], "pretrained": ["", str(tmp_path / "weights")]}
    rows = floor(search(data, space=space), data, tmp_path)
    named = {row.name.split(" from ")[0]: row for row in rows}
    assert set(named) == {"logistic regression on band means and deviations", "probe of landnet-s", "probe of landnet"}
    assert 0.5 < named["probe of landnet-s"].values["validation"] <= 1
    assert named["probe of landnet"].values == {}
    assert "bundle is of landnet-s" in named["probe of landnet"].note
    assert [row.values.get("validation", -1) for row in rows] == sorted(
        (row.values.get("validation", -1) for row in rows), reverse=True
    )


@pytest.mark.parametrize("most", [1, 63, 64, 100, 139, 140, 500])
def test_some_rows_are_runs_from_all_over_the_split(data: Streamed, most: int) -> None:
    whole = read_split(data.folder, "train", ["B04"])
    found = some(whole, most)
    assert len(found) == (len(whole) if most >= len(whole) else max(min(most, 64), most // 64 * 64))
    ids = found.patch_ids.tolist()
    assert len(set(ids)) == len(ids)
    places = [whole.patch_ids.tolist().index(each) for each in ids]
    np.testing.assert_array_equal(found.labels, whole.labels[places])
    chunks = list(found.select(["B04"]).epoch(50, None))
    np.testing.assert_array_equal(np.concatenate([each["B04"] for each in chunks]), whole.take(np.array(places))["B04"])
    shuffled = np.concatenate([each["labels"] for each in found.epoch(50, (1, 2))])
    assert shuffled.sum(0).tolist() == found.labels.sum(0).tolist()
