"""Goals beside quality: what may be asked for, and what is measured."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.nets.build import create_net
from pipelines.errors import SettingsError
from tune.objectives import COSTS, Bound, Goals, bound, bundle_bytes, directions, latency_ms, parameter_count


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"objectives": ["latency"]}, "one of them is a metric"),
        ({"objectives": ["ap_macro", "f1_macro"]}, "one of them is a metric"),
        ({"objectives": ["ap_macro", "size", "size"]}, "one is given twice"),
        ({"objectives": ["ap_macro", "hamming_loss"]}, "input should be"),
        ({"constraints": ["latency < 20 ms"]}, '"latency < 20 ms" is no constraint'),
        ({"constraints": ["latency >= 20 ms"]}, "bounds latency from its good side"),
        ({"constraints": ["ap_macro <= 0.5"]}, "bounds ap_macro from its good side"),
        ({"constraints": ["latency <= 20"]}, "latency is in ms or s"),
        ({"constraints": ["ap_macro >= 50 ms"]}, "ap_macro is in no unit"),
        ({"constraints": ["hamming_loss <= 0.1"]}, 'constraint on "hamming_loss", which is neither a goal nor'),
        ({"constraints": ["size <= 1 MB", "size <= 1 GB"]}, "a number is bounded twice"),
    ],
)
def test_goals_that_make_no_sense_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Goals.parse(wrong)
    assert said in str(caught.value)


def test_goals_say_what_is_measured() -> None:
    goals = Goals.parse({"objectives": ["ap_macro", "size"], "constraints": ["latency <= 0.02 s", "f1_macro >= 0.5"]})
    assert goals.measured == {"size", "latency"}
    assert goals.bounds[0] == Bound(of="latency", most=True, value=20)
    assert directions([*goals.objectives]) == ["maximize", "minimize"]
    assert Goals().measured == set()


@given(st.sampled_from(sorted(COSTS)), st.integers(1, 10**6), st.data())
def test_bounds_hold_up_to_their_number_in_any_unit(of: str, number: int, data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(sorted(COSTS[of])))
    found = bound(f"{of} <= {number}{unit}")
    assert found.value == number * COSTS[of][unit]
    assert found.violation({of: found.value}) <= 0 < found.violation({of: found.value + 1})
    least = bound("ap_macro >= 0.5")
    assert least.violation({"ap_macro": 0.5}) <= 0 < least.violation({"ap_macro": 0.4})


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
