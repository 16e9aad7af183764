"""The table of a race: what its numbers are of, and a step that does not fit."""

from __future__ import annotations

import pytest
import torch

from benchmarks.loops import LOADER, OURS, READY, Target, make_rows
from benchmarks.operations import Operations
from benchmarks.rounds import Rates, Run
from benchmarks.train_step import Result, cells, measure

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_row_of_the_table() -> None:
    ours = [Run(100, seconds, 0, 0) for seconds in (1.0, 2.0, 4.0)]
    plain = [Run(100, seconds, 0, 0) for seconds in (2.0, 2.0, 2.0)]
    result = Result(1234, Operations(1e9, 3e9), Rates({OURS: ours, READY: plain}))
    row = ["1,234", "1.00", "500.0", "50.0", "15%", "50.0", "1.00", "0.50–2.00"]
    assert cells(result, batch=25, peak=1e12) == row


def test_each_loop_runs_once_a_round() -> None:
    result = measure("landnet-s", make_rows(64), 2, Target(torch.device("cpu"), "fp32"), seconds=0, rounds=2)
    assert {who: [run.patches for run in runs] for who, runs in result.rates.runs.items()} == {
        OURS: [2, 2],
        READY: [2, 2],
        LOADER: [2, 2],
    }
    assert result.parameters > 100_000
    assert 2 < result.operations.step / result.operations.forward < 3
