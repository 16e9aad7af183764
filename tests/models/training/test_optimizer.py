"""The learning rate rises and falls as the settings say, and only matrices decay."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from models.nets.build import create_net
from models.settings import TrainSettings
from models.training.optimizer import Schedule, create_optimizer
from models.training.patience import Patience


def test_rate_rises_in_a_line_and_falls_along_a_cosine() -> None:
    schedule = Schedule(TrainSettings(learning_rate=1, warmup=0.1))
    rates = [schedule.rate(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[55] == pytest.approx(0.5)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-3)


def test_rate_falls_where_the_validation_loss_stands_still() -> None:
    settings = TrainSettings(learning_rate=1, warmup=0.1, schedule="plateau", plateau_patience=2, plateau_factor=0.5)
    schedule = Schedule(settings)
    rates = []
    for loss in (0.9, 0.8, 0.8, 0.81, 0.7, 0.7, 0.7, 0.7, 0.7):
        schedule.after_epoch(loss)
        rates.append(schedule.rate(50, 100))
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
    assert schedule.rate(0, 100) == pytest.approx(0.1), "the warmup is not touched"
    again = Schedule(settings)
    again.load_state_dict(schedule.state_dict())
    assert again == schedule


def test_matrices_decay_and_scales_do_not() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    decayed, free = create_optimizer(net, 0.1).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0)
    assert {tuple(each.shape) for each in decayed["params"]} == {(4, 3, 3, 3), (2, 4)}
    assert {tuple(each.shape) for each in free["params"]} == {(4,), (2,)}


@pytest.mark.parametrize(
    ("name", "spared"), [("test_vit", {"pos_embed"}), ("swin", {"relative_position_bias_table"}), ("landnet-s", set())]
)
def test_embeddings_of_positions_do_not_decay(name: str, spared: set[str]) -> None:
    given: dict[str, Any] = {"mean": [0.0], "std": [1.0], "bands": ["B04"], "num_classes": 2, "image_size": 64}
    net = create_net(name, **given)
    names = {id(parameter): each for each, parameter in net.named_parameters()}
    decayed, free = ({names[id(each)] for each in group["params"]} for group in create_optimizer(net, 0.1).param_groups)
    assert decayed | free == set(names.values())
    matrices = {each.rpartition(".")[2] for each in free if net.get_parameter(each).squeeze().ndim > 1}
    assert matrices == spared


def test_frozen_weights_are_left_out() -> None:
    net = nn.Sequential(nn.Linear(2, 3).requires_grad_(False), nn.Linear(3, 1))
    groups = create_optimizer(net, 0.1).param_groups
    assert [tuple(each.shape) for group in groups for each in group["params"]] == [(1, 3), (1,)]


def test_patience_counts_what_came_after_the_best() -> None:
    patience = Patience()
    assert [patience.better(value) for value in (0.1, 0.3, 0.3, 0.2, 0.4)] == [True, True, False, False, True]
    assert (patience.best, patience.waited) == (0.4, 0)
    assert not patience.better(float("nan"))
    assert patience.waited == 1
