"""Loops that are raced have the same net, and time only the steps that are asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.loops import LOADER, OURS, READY, Ours, Target, Theirs, check, loops, make_rows, new_net, plain_net
from pipelines.bands import ALL_BANDS
from pipelines.feeding.batches import assemble
from pipelines.feeding.rows import Chunk, Split

TARGET = Target(torch.device("cpu"), "fp32")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def chunks() -> list[Chunk]:
    return make_rows(64)


@pytest.fixture(scope="module")
def digital(chunks: list[Chunk]) -> Tensor:
    return assemble(Split(ALL_BANDS, tuple(chunks)).take(np.arange(2)), ALL_BANDS, 120)


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in net.state_dict().items()}


def test_ours_times_the_steps_that_are_asked_for_each_time_it_runs(chunks: list[Chunk]) -> None:
    ours = Ours("landnet-s", chunks, 2, TARGET)
    for _ in range(2):
        before = weights(ours.fit.net)
        run = ours.run(1, 3)
        assert run.patches == 6
        assert ours.fit.step == 4
        assert all(not torch.equal(each, before[name]) for name, each in ours.fit.net.named_parameters())


def test_all_loops_of_a_model_begin_with_the_same_weights_and_learn(chunks: list[Chunk]) -> None:
    net, found = loops("landnet-s", chunks, 2, TARGET)
    assert list(found) == [OURS, READY, LOADER]
    plain = found[READY]
    assert isinstance(plain, Theirs)
    before = weights(net.backbone)
    assert all(torch.equal(each, before[name]) for name, each in plain.plain.net.state_dict().items())
    assert plain.run(1, 2).patches == 4
    assert all(not torch.equal(each, before[name]) for name, each in plain.plain.net.named_parameters())


@pytest.mark.parametrize("name", ["vit", "swin"])
def test_timms_own_gives_the_same_logits(name: str, digital: Tensor) -> None:
    ours = new_net(name)
    check(ours, digital, plain_net(ours, name), ours.prepare(digital))


def test_other_logits_are_noticed(digital: Tensor) -> None:
    ours = new_net("landnet-s")
    theirs = plain_net(ours, "landnet-s")
    with torch.no_grad():
        list(theirs.parameters())[-1].add_(0.1)
    with pytest.raises(RuntimeError, match=r"other logits, by up to 0\.1"):
        check(ours, digital, theirs, ours.prepare(digital))
