"""What was understood is said before packing: all of it by `--dry-run`, which packs nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from landsweep import command_line
from pipelines.archives.detect import read_archive
from pipelines.archives.understood import lines, understood
from pipelines.pixels.meaning import Encoding
from pipelines.settings import IngestSettings
from pipelines.tables.csv_cells import TABLE
from tests.fakes import geotiff


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten files with bands of Earth Engine's names, one of them without a row."""
    (tmp_path / "set").mkdir()
    data = geotiff(np.ones((2, 16, 16), np.uint16), ("B4", "red edge"))
    for number in range(10):
        (tmp_path / "set" / f"{number}.tif").write_bytes(data)
    rows = [f"{number}.tif,{'oak' if number % 3 else '[bold]ash'},{'train' if number % 2 else 'test'}"
            for number in range(9)]  # fmt: skip
    (tmp_path / "set" / TABLE).write_text("\n".join(["file,label,split", *rows]))
    return tmp_path / "set"


def test_all_that_is_known_is_in_it(folder: Path) -> None:
    found = understood(read_archive(IngestSettings(source=str(folder), out="unused")))
    assert found["patches"] == {"train": 4, "validation": 0, "test": 5}
    assert found["labels"] == "one class a patch"
    assert found["classes"] == [
        {"class": "[bold]ash", "train": 1, "validation": 0, "test": 2},
        {"class": "oak", "train": 3, "validation": 0, "test": 3},
    ]
    assert found["bands"] == {"B04": "16×16 px", "red edge": "16×16 px"}
    assert (found["left out"], found["such as"]) == ({"no row in the table": 1}, {"no row in the table": ["9"]})
    assert [note.split(":")[0] for note in found["notes"]] == [
        "names of bands taken",
        "there is no validation split, by which training chooses",
    ]
    assert list(lines(found)) == [
        "labelled folder: 9 patches (train 4, validation 0, test 5), one class a patch",
        "2 classes: [bold]ash 3; oak 6",
        "bands: B04,red edge (16×16 px)",
        "numbers: uint16",
        "left out: no row in the table: 1, such as 9",
        *(f"note: {note}" for note in found["notes"]),
    ]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"dtype": "float32", "unit": "reflectance"}, "float32, reflectance"),
        ({"scale": 0.5, "offset": -0.2, "nodata": 0}, "uint16, × 0.5 − 0.2 is an unnamed unit, 0 is no data"),
        ({"offset": 3, "unit": "K"}, "uint16, × 1 + 3 is K"),
    ],
)
def test_what_numbers_mean_is_said_in_words(folder: Path, numbers: dict[str, object], said: str) -> None:
    found = understood(read_archive(IngestSettings(source=str(folder), out="unused")))
    every = {band: Encoding.parse(numbers).model_dump() for band in found["bands"]}
    assert f"numbers: {said}" in lines(found | {"numbers": every})


def test_a_dry_run_says_it_and_packs_nothing(folder: Path, tmp_path: Path) -> None:
    command = ["data", "ingest", str(folder), str(tmp_path / "out"), "--dry-run"]
    said = CliRunner().invoke(command_line(), command)
    assert said.exit_code == 0
    assert "left out: no row in the table: 1, such as 9" in said.stdout
    assert "[bold]ash" in said.stdout
    as_json = CliRunner().invoke(command_line(), [*command, "--json"])
    assert json.loads(as_json.stdout)["patches"] == {"train": 4, "validation": 0, "test": 5}
    assert not (tmp_path / "out").exists()


def test_a_dry_run_of_an_archive_says_the_same_things(archive: Path) -> None:
    found = understood(read_archive(IngestSettings(source=str(archive), out="unused")))
    assert (found["kind"], sum(found["patches"].values()), len(found["classes"])) == ("BigEarthNet v2", 96, 19)
    assert sum(row["train"] for row in found["classes"]) > found["patches"]["train"]
