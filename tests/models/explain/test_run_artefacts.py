"""What is shown of a net beside its numbers: what cannot be is told, and costs nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.bundle.weights import Bundle
from models.explain.pages import ACTIVATIONS, PAGES
from models.explain.run_artefacts import write_insight
from models.explain.tensorboard_graph import FILE
from models.nets.build import ReflectanceNet
from models.nets.recipe import Recipe
from models.results.assess import examine
from pipelines.dataset.manifest import open_dataset
from pipelines.errors import StorageError
from tests.models.bright import LABELS, write_bright
from tests.models.events import read_graph
from tests.models.seen import bundle_of
from tests.small_disk import small_disk

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bright(tmp_path_factory.mktemp("insight") / "data", {"train": 4, "validation": 4, "test": 12})


class Fussy(nn.Module):
    """Takes no blank patch, which is what a net is tried on where nobody knows it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(2, 4, 5, stride=4)
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        if images.std() == 0:
            raise ValueError("blank\nindeed")
        logits: Tensor = self.head(self.features(images).mean(dim=(2, 3)))
        return logits


def bundle(backbone: nn.Module, data: Path) -> Bundle:
    net = ReflectanceNet(backbone, [1000.0] * 2, [500.0] * 2, Recipe(image_size=24))
    found = bundle_of(net, "landnet-s", LABELS, 24)
    return Bundle(found.config.model_copy(update={"dataset": open_dataset(data).hash}), found.net)


def insight(shown: Bundle, data: Path, out: Path, n: int = 1) -> tuple[set[str], list[str]]:
    """Files that are there, which are those that are said to be, and what was told."""
    told: list[str] = []
    said = write_insight(out, shown, data, examine(shown, data, "test").predictions, n, told.append)
    there = {each.relative_to(out).as_posix() for each in out.rglob("*") if each.is_file()} - {".lock"}
    assert there == set(said)
    return there, told


def test_a_net_without_a_grid_has_its_graph_alone(data: Path, tmp_path: Path) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(2 * 24 * 24, 2))
    there, told = insight(bundle(flat, data), data, tmp_path)
    assert there == {FILE}
    assert [line.split(" of this net")[0] for line in told] == ["No heat maps", "No feature maps"]
    assert told[1] == "No feature maps of this net: no layer of this model has a grid to look at."


def test_a_net_that_fails_when_it_is_tried_still_has_its_pages(data: Path, tmp_path: Path) -> None:
    there, told = insight(bundle(Fussy(), data), data, tmp_path)
    assert there == {f"{PAGES}/best_01.png", f"{PAGES}/worst_01.png"}
    assert told == ["No graph of this net: ValueError: blank.", "No feature maps of this net: ValueError: blank."]


def test_without_patches_the_graph_is_written_and_pages_of_before_stay(data: Path, tmp_path: Path) -> None:
    plain = nn.Sequential()
    plain.add_module("features", nn.Conv2d(2, 4, 3, stride=2))
    plain.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
    torch.manual_seed(0)
    there, told = insight(bundle(plain, data), data, tmp_path)
    assert {FILE, ACTIVATIONS, f"{PAGES}/best_01.png", f"{PAGES}/worst_01.png"} == there
    (tmp_path / FILE).unlink()
    shown = bundle(plain, data)
    assert write_insight(tmp_path, shown, data, examine(shown, data, "test").predictions, 0, told.append) == [FILE]
    assert (tmp_path / ACTIVATIONS).is_file()
    assert len(read_graph(tmp_path / FILE)) > 8
    assert told == []


def test_a_full_disk_is_no_fault_of_the_net(data: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        (disk / "filler").write_bytes(bytes(240 * 2**10))
        with pytest.raises(StorageError, match="disk is full"):
            insight(bundle(Fussy(), data), data, disk / "results")
