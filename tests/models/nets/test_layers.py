"""What `landsweep models` says of a net is so: shapes, parameters, multiply-adds, padding, and a picture of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from landsweep import main
from models.nets.catalog import MODELS
from models.nets.diagram import short, write_diagram
from models.nets.layers import Summary, summarise
from models.nets.stages import stages
from pipelines.bands import ALL_BANDS

Run = Callable[..., tuple[int, str, str]]
"""Arguments to exit status, standard output and standard error."""


@pytest.fixture(scope="module")
def resnet() -> Summary:
    return summarise("resnet18", ALL_BANDS, 120, 19)


@pytest.mark.parametrize("name", MODELS)
def test_the_zoos_table_has_the_right_numbers(name: str) -> None:
    found = summarise(name, ALL_BANDS, 120, 19)
    assert found.parameters == MODELS[name].parameters
    assert sum(row.multiply_adds for row in found.down_to(1)) == found.multiply_adds
    assert sum(row.parameters for row in found.down_to(1)) <= found.parameters


def test_multiply_adds_are_counted_right(resnet: Summary) -> None:
    rows = {row.name: row for row in resnet.rows}
    assert rows["conv1"].multiply_adds == 12 * 64 * 7 * 7 * 60 * 60
    assert rows["fc"].multiply_adds == 512 * 19
    assert rows["layer4.1"].multiply_adds == 2 * 512 * 512 * 3 * 3 * 4 * 4
    assert rows["layer4.1"].parameters == 2 * (512 * 512 * 3 * 3) + 4 * 512


def test_attention_is_counted_too() -> None:
    rows = {row.name: row for row in summarise("vit", ALL_BANDS, 120, 19).rows}
    tokens, width = 8 * 8 + 1, 384
    products = 2 * tokens * tokens * width
    assert rows["blocks.0.attn"].multiply_adds == tokens * width * 4 * width + products


def test_shapes_are_those_of_one_patch(resnet: Summary) -> None:
    rows = {row.name: row for row in resnet.rows}
    assert rows["conv1"].output == (64, 60, 60)
    assert rows["layer4"].output == (512, 4, 4)
    assert rows["fc"].output == (19,)
    assert [row.depth for row in resnet.down_to(2)] != [1] * len(resnet.down_to(2))


def test_padding_is_said(resnet: Summary) -> None:
    assert resnet.padding == "none"
    assert summarise("test_vit", ["B04"], 120, 2).padding == "120 to 128 px by reflection, 4 before and 4 after"
    assert summarise("landnet-s", ["B04"], 50, 2).padding == "50 to 52 px by reflection, 1 before and 1 after"


@pytest.mark.parametrize(
    ("name", "grids"),
    [
        ("landnet", [30, 15, 8]),
        ("resnet18", [60, 30, 15, 8, 4]),
        ("swin", [30, 15, 8, 4]),
        ("densenet121", [60, 30, 15, 7, 3]),
        ("convnext", [32, 16, 8, 4]),
    ],
)
def test_stages_are_the_grids_and_the_classifier(name: str, grids: list[int]) -> None:
    summary = summarise(name, ALL_BANDS, 120, 19)
    found = stages(summary)
    assert all(grid in stage.output for stage, grid in zip(found, grids, strict=False))
    assert [stage.output for stage in found[len(grids) :]] == [(19,)]
    assert sum(stage.multiply_adds for stage in found) == summary.multiply_adds


def test_picture_is_written_the_same_each_time(resnet: Summary, tmp_path: Path) -> None:
    assert (
        write_diagram(resnet, tmp_path / "a")
        == write_diagram(resnet, tmp_path / "b")
        == ["resnet18.png", "resnet18.svg"]
    )
    for name in ("resnet18.png", "resnet18.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    drawing = (tmp_path / "a" / "resnet18.svg").read_text(encoding="utf-8")
    for said in ("layer3", "2 × BasicBlock", "256 × 8 × 8", "12 bands, 120 × 120 px", "19 logits", "11.2 M"):
        assert said in drawing
    assert Image.open(tmp_path / "a" / "resnet18.png").width == 1000


def test_numbers_are_short() -> None:
    said = {0: "0", 999: "999", 1000: "1.00 k", 250_000: "250 k", 7_001_555: "7.00 M", 4_500_000_000: "4.50 G"}
    said |= {999_499: "999 k", 999_600: "1.00 M", 999_499_999: "999 M", 999_600_000: "1.00 G", 2 * 10**12: "2.00 T"}
    assert {number: short(number) for number in said} == said


@pytest.fixture
def landsweep(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line in this process: torch and timm are there already."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["landsweep", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_command_line_lists_and_shows(landsweep: Run, tmp_path: Path) -> None:
    listed = json.loads(landsweep("models", "list", "--json")[1])["models"]
    numbers = {name: each.parameters for name, each in MODELS.items()}
    assert {each["name"]: each["parameters"] for each in listed} == numbers
    asked = ("--bands", "rgb", "--size", "64", "--classes", "3", "--out", str(tmp_path))
    found = json.loads(landsweep("models", "show", "landnet", *asked, "--json")[1])
    assert found["bands"] == ["B04", "B03", "B02"]
    assert found["layers"][-1]["output"] == [3]
    assert sorted(path.name for path in tmp_path.iterdir()) == found["files"] == ["landnet.png", "landnet.svg"]
    _, text, _ = landsweep("models", "show", "landnet", "--depth", "1")
    assert "parameters: 805,651" in text
    assert "features.0" not in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonesuch9"], 'unknown model "nonesuch9"'),
        (["landnett"], 'Did you mean "landnet'),
        (["landnet", "--size", "19"], "greater than or equal to 20, not 19"),
        (["landnet", "--bands", "B13"], 'unknown band "B13"'),
    ],
)
def test_command_line_says_what_is_wrong(landsweep: Run, arguments: list[str], said: str) -> None:
    code, out, error = landsweep("models", "show", *arguments)
    assert (code, out) == (2, "")
    assert said in error
    assert "Traceback" not in error
