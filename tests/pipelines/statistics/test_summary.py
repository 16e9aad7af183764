"""What `landsweep data stats` prints and writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from upath import UPath

from pipelines.statistics.measure import DatasetStatistics, measure
from pipelines.statistics.summary import NUMBERS, band_rows, class_rows, overview, write_summary
from tests.fakes import write_dataset

ROOT = Path(__file__).parents[3]
ALL_FILES = {
    f"{name}.png"
    for name in ("label_counts", "labels_per_patch", "co_occurrence", "countries", "histograms", "spectrum")
} | {NUMBERS}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("summary") / "data", 120, sizes={"B02": 4, "B10": 2})


@pytest.fixture(scope="module")
def found(dataset: Path) -> DatasetStatistics:
    return measure(dataset)


def stats(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "landsweep", "data", "stats", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_rows_are_keyed_by_name(found: DatasetStatistics) -> None:
    assert class_rows(found) == [{"class": "odd", "train": 60, "all": 60}, {"class": "third", "train": 40, "all": 40}]
    row = band_rows(found)[0]
    assert (row["band"], row["min"]) == ("B02", found.whole.bands["B02"].min)
    assert row["train"] == row["all"] == f"{found.whole.bands['B02'].mean:.0f} ± {found.whole.bands['B02'].std:.0f}"
    assert overview(found)["labels per patch"] == "0 to 2, 0.83 on average"


def test_numbers_and_figures_are_written(found: DatasetStatistics, tmp_path: Path) -> None:
    assert set(write_summary(tmp_path / "new" / "out", found)) == ALL_FILES == names_in(tmp_path / "new" / "out")
    assert DatasetStatistics.model_validate_json((tmp_path / "new" / "out" / NUMBERS).read_text()) == found


def test_a_second_run_replaces_its_own_files_and_no_others(
    dataset: Path, found: DatasetStatistics, tmp_path: Path
) -> None:
    write_summary(tmp_path, found)
    for name in ("notes.txt", "other.png"):
        (tmp_path / name).write_text("mine")
    write_summary(tmp_path, measure(dataset, pixels=False))
    assert names_in(tmp_path) == ALL_FILES - {"histograms.png", "spectrum.png"} | {"notes.txt", "other.png"}
    assert (tmp_path / "other.png").read_text() == "mine"


def test_a_run_that_fails_leaves_no_numbers_beside_pictures_of_others(found: DatasetStatistics, tmp_path: Path) -> None:
    write_summary(tmp_path, found)
    (tmp_path / "spectrum.png").unlink()
    (tmp_path / "spectrum.png").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_summary(tmp_path, found)
    assert NUMBERS not in names_in(tmp_path)


def test_out_may_be_an_object_store(found: DatasetStatistics) -> None:
    out = UPath("memory://statistics/out")
    write_summary(out, found)
    write_summary(out, found)
    assert {path.name for path in out.iterdir()} == ALL_FILES


def test_verb_prints_a_table_or_one_json_object(dataset: Path, found: DatasetStatistics, tmp_path: Path) -> None:
    told = stats(dataset, "--json", "--threads", "2", "--out", tmp_path)
    assert DatasetStatistics.model_validate(json.loads(told.stdout)) == found, told.stderr
    assert names_in(tmp_path) == ALL_FILES
    shown = stats(dataset, "--no-pixels").stdout
    assert "third" in shown
    assert "B02" not in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent"], "no such dataset folder"),
        (["{dataset}", "--out", "{file}"], "not a folder"),
        (["{dataset}", "--threads", "-1"], "greater than or equal to 0, not -1"),
    ],
)
def test_wrong_use_exits_2_with_one_message(arguments: list[str], said: str, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = stats(*(each.format(dataset=dataset, file=tmp_path / "file") for each in arguments))
    assert (ended.returncode, said in ended.stderr, "Traceback" in ended.stderr) == (2, True, False)
