"""What a net costs whoever serves it: counted and timed, and the net stays as it was."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.nets.build import create_net
from models.nets.layers import parameter_count
from models.settings import TrainSettings
from pipelines.dataset.manifest import open_dataset
from pipelines.feeding.open_rows import open_rows
from pipelines.feeding.rows import Rows
from tests.models.bright import write_bright
from tune.trials.checkpoints import best_path
from tune.trials.costs import bundle_bytes, costs_of, latency_ms
from tune.trials.fitting import Course, TrialFit


def test_only_what_is_asked_for_is_measured_and_rounded_beyond_what_varies(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(bytes(123_456))
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert costs_of({"size", "parameters"}, net, 1, 2, tmp_path) == {"size": 123_000, "parameters": 10}
    latency = costs_of({"latency"}, net, 1, 2, tmp_path)["latency"]
    assert latency == float(f"{latency:.2g}") > 0
    assert costs_of((), net, 1, 2, tmp_path) == {}


def test_sizes_are_those_of_the_net_and_of_all_files(tmp_path: Path) -> None:
    net = nn.Linear(3, 2).requires_grad_(False)
    assert parameter_count(net) == 8
    (tmp_path / "more").mkdir()
    (tmp_path / "model").write_bytes(b"1234")
    (tmp_path / "more" / "file").write_bytes(b"56")
    assert bundle_bytes(tmp_path) == 6


def test_latency_is_the_median_of_passes_and_the_net_stays_as_it_was() -> None:
    bands = ["B04", "B03", "B02"]
    net = create_net("landnet-s", mean=[0] * 3, std=[1] * 3, bands=bands, num_classes=2, image_size=32, seed=0).train()
    before = {name: each.clone() for name, each in net.state_dict().items()}
    ticks = count()
    steps = [0.0, 9, 0, 9, 0, 0.001, 0, 0.003, 0, 0.002]  # two passes to warm up, then three

    def clock() -> float:
        return steps[next(ticks)]

    assert latency_ms(net, 3, 32, passes=3, clock=clock) == pytest.approx(2)
    assert net.training
    assert all(torch.equal(before[name], each) for name, each in net.state_dict().items())
    assert next(net.parameters()).is_contiguous()
    assert latency_ms(net, 3, 32, passes=3) > 0


class Bright:
    """A feed out of this process's memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(write_bright(folder, {"train": 32, "validation": 16}))
        self.manifest = open_dataset(self.folder)

    def get(self, split: str, bands: Sequence[str]) -> Rows:
        return open_rows(self.folder, self.manifest, (split,), bands, "memory")[0]


def test_a_trial_tells_at_its_rungs_what_its_net_costs_and_measures_it_once(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    def stop(report: dict[str, Any]) -> None:
        told.append(report)
        raise InterruptedError  # as Tune ends a job

    settings = TrainSettings(model="landnet-s", bands="B04", batch_size=16, epochs=2)
    wanted = frozenset({"latency", "parameters", "size"})
    course = Course(tmp_path / "0", {}, (16, 64), 1000, stop, costs=wanted)
    data = Bright(tmp_path / "shards")
    fit = TrialFit(settings, course, data)
    with pytest.raises(InterruptedError):
        fit.run()
    costs = told[0]["costs"]
    assert costs.keys() == wanted
    assert costs["parameters"] == parameter_count(fit.fit.net)
    assert costs["size"] == pytest.approx(bundle_bytes(best_path(tmp_path / "0", 16)), rel=0.01)
    later: list[dict[str, Any]] = []
    TrialFit(settings, Course(tmp_path / "0", {}, (16, 64), 1000, later.append, 16, wanted), data).run()
    assert [report["patches"] for report in later] == [32, 64]
    assert "costs" not in later[0], "nothing was saved there that could have been measured"
    assert later[1]["costs"] == costs, "to the last digit: latency is not measured again"
