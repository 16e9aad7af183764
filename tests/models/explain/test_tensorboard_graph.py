"""The graph for TensorBoard: every call and every weight is in it, and all hangs together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboardX.proto.node_def_pb2 import NodeDef
from torch import Tensor, nn

from models.explain.tensorboard_graph import INPUT, OUTPUT, graph_file
from models.nets.build import ReflectanceNet, create_net
from tests.models.events import read_graph

pytestmark = pytest.mark.usefixtures("one_thread")


def graph_of(net: ReflectanceNet, size: int, folder: Path) -> dict[str, NodeDef]:
    (folder / "events.out.tfevents.net").write_bytes(graph_file(net, size))
    return read_graph(folder / "events.out.tfevents.net")


def sources(node: NodeDef) -> list[str]:
    return [name.partition(":")[0] for name in node.input]


def shapes(node: NodeDef) -> list[list[int]]:
    return [[dim.size for dim in shape.dim] for shape in node.attr["_output_shapes"].list.shape]


def reached(nodes: dict[str, NodeDef]) -> set[str]:
    """Nodes that the patches flow into."""
    found = {INPUT}
    for name, node in nodes.items():
        found |= {name} if found & set(sources(node)) else set()
    return found


@pytest.mark.parametrize("name", ["landnet-s", "test_resnet", "test_vit", "test_efficientnet"])
def test_patches_flow_to_the_logits_and_every_weight_is_there(name: str, tmp_path: Path) -> None:
    bands = ["B04", "B08", "B11"]
    net = create_net(name, mean=[1000.0] * 3, std=[500.0] * 3, bands=bands, num_classes=5, image_size=64)
    nodes = graph_of(net, 64, tmp_path)
    order = list(nodes)
    for place, node in enumerate(nodes.values()):
        assert all(order.index(source) < place for source in sources(node)), node.name
    assert OUTPUT in reached(nodes)
    assert shapes(nodes[INPUT]) == [[1, 3, 64, 64]]
    (last,) = sources(nodes[OUTPUT])
    assert shapes(nodes[last]) == [[1, 5]]
    assert last.startswith(f"ReflectanceNet/{type(net.backbone).__name__}[backbone]/")
    weights = sorted(shapes(node)[0] for node in nodes.values() if node.op == "Const")
    for shape in sorted(list(each.shape) for each in net.parameters()):
        weights.remove(shape)


class Odd(nn.Module):
    """Writes in place, gives several things at once, calls a module twice, and makes a tensor of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2, 2, 1)
        self.head = nn.Linear(2, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.mix(self.mix(images))
        maps[:, :, :2] = 0
        maps.relu_()
        first, second = maps.chunk(2, dim=2)
        halves: list[Any] = [first, second * torch.arange(2)[None, :, None, None]]
        logits: Tensor = self.head(torch.cat(halves, dim=2).mean(dim=(2, 3)))
        return logits


def test_what_is_written_in_place_and_what_comes_in_parts_is_followed(tmp_path: Path) -> None:
    net = ReflectanceNet(Odd(), [0.0, 0.0], [1.0, 1.0]).train()
    nodes = graph_of(net, 8, tmp_path)
    scope = "ReflectanceNet/Odd[backbone]"
    assert nodes[f"{scope}/Conv2d[mix]/conv2d_1"].input[0] == f"{scope}/Conv2d[mix]/conv2d"
    assert nodes[f"{scope}/relu"].input[0] == f"{scope}/setitem"
    assert nodes[f"{scope}/chunk"].input == [f"{scope}/relu"]
    assert shapes(nodes[f"{scope}/chunk"]) == [[1, 2, 4, 8]] * 2
    assert nodes[f"{scope}/mul"].input == [f"{scope}/chunk:1", f"{scope}/getitem"]
    assert nodes[f"{scope}/cat"].input == [f"{scope}/chunk", f"{scope}/mul"]
    assert net.training, "the net's mode is as it was"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert graph_file(net, 8) == graph_file(net, 8)
