"""The mean of the weights, against the definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.training.ema import Average


def test_weights_and_running_statistics_are_averaged_and_whole_numbers_copied() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    average = Average(net, decay=0.5)
    expected = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for step in range(6):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter += torch.randn_like(parameter)
        net(torch.randn(8, 3, dtype=torch.float64))
        average.update(net)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * tensor
    found = average.net.state_dict()
    assert int(found["1.num_batches_tracked"]) == 6
    for name, tensor in expected.items():
        if name != "1.num_batches_tracked":
            torch.testing.assert_close(found[name], tensor)


def test_it_learns_nothing_itself_and_goes_on_where_it_stopped() -> None:
    net = nn.Linear(2, 2)
    average = Average(net, 0.9)
    assert not any(each.requires_grad for each in average.net.parameters())
    with torch.no_grad():
        net.weight += 1
    average.update(net)
    other = Average(nn.Linear(2, 2), 0.9)
    other.load_state_dict(average.state_dict())
    for each in (average, other):
        each.update(net)
    assert torch.equal(average.net.weight, other.net.weight)
    assert other.steps == 2
    assert not torch.equal(net.weight, average.net.weight)


@pytest.mark.parametrize("decay", [0.9, 0.999])
def test_it_comes_to_the_weights_where_these_stand_still(decay: float) -> None:
    net = nn.Linear(2, 2)
    average = Average(net, decay)
    with torch.no_grad():
        net.weight += 1
    for _ in range(200):
        average.update(net)
    torch.testing.assert_close(average.net.weight, net.weight, rtol=0, atol=1e-3)
