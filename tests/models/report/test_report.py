"""The report: the same numbers as `score` gives, all of its files or none, and clear words for what cannot be done."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import landsweep
from models.bundle.config import CONFIG, config_text
from models.measure.metrics import score
from models.measure.prediction_file import read_predictions, write_predictions
from models.measure.predictions import Predictions
from models.report.epoch_table import TABLE, epoch_beside, read_epochs, write_epochs
from models.report.figures import DRAWERS
from models.report.learning import draw_learning, shown_columns
from models.report.report import FIGURES, class_rows, measure, report_on, write_report
from models.settings import ReportSettings
from pipelines.drawing.canvas import png_of
from pipelines.drawing.fonts import unwritable
from pipelines.errors import BusyError, PredictionsError, SettingsError, StorageError
from pipelines.files import exclusive, write_whole
from tests.fakes import write_dataset
from tests.models.made_up import made_up, permuted
from tests.models.seen import fresh
from tests.small_disk import small_disk

SMALL = made_up(("odd", "third"), 30)
ONE = made_up(("odd",), 30)
DECIDED = replace(ONE, decided=True, thresholds=None, probabilities=ONE.decisions.astype(np.float32))
"""Has the fewest figures, for tests of what lies around them."""
ALL_FIGURES = {f"{FIGURES}/{name}.png" for name in DRAWERS}
OF_DATA, OF_EPOCHS = f"{FIGURES}/best_and_worst_patches.png", f"{FIGURES}/learning_curves.png"


def files_in(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found - {".lock"}


def loaded(path: Path) -> Any:
    return json.loads(path.read_text())


def of_dataset(folder: Path) -> Predictions:
    """Of the dataset that `write_dataset` makes up, whose classes follow from the row's number."""
    rows = np.arange(30)
    labels = np.stack([rows % 2, rows % 3 == 0], axis=1).astype(np.uint8)
    ids = np.array([f"p{row}" for row in rows])
    found = replace(SMALL, labels=labels, patch_ids=ids, split="train")
    write_dataset(folder, 30, sizes={"B02": 4, "B03": 4, "B04": 4})
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Predictions]:
    """A run's folder with everything, reported on by the command line."""
    run = tmp_path_factory.mktemp("report")
    predictions = of_dataset(run / "data")
    write_predictions(run / "results" / "predictions.npz", predictions)
    write_epochs(run / TABLE, [{"epoch": 1, "validation_loss": 0.5}, {"epoch": 2, "validation_loss": None}])
    return run, predictions


@pytest.mark.parametrize(
    ("results", "bundle", "epoch"),
    [
        ("results", "best_acc", 2),
        ("results", "best", 2),
        ("results_final", "final", 2),
        ("results", "final", None),
        ("mine", "best_acc", None),
    ],
)
def test_the_bundle_beside_predictions_says_of_which_epoch_they_are(
    tmp_path: Path, results: str, bundle: str, epoch: int | None
) -> None:
    assert epoch_beside(predictions_of(tmp_path, results, bundle)) == epoch


def predictions_of(run: Path, results: str, bundle: str) -> Path:
    """A run's folder with predictions in one folder and a bundle of the second epoch in another."""
    file = run / results / "predictions.npz"
    write_predictions(file, DECIDED)
    write_epochs(run / TABLE, [{"epoch": 1, "validation_loss": 0.5}, {"epoch": 2, "validation_loss": 0.6}])
    config = fresh("landnet-s", 20).config.model_copy(update={"trial": {"epoch": 2}})
    write_whole(run / "checkpoints" / bundle / CONFIG, config_text(config))
    return file


@pytest.mark.parametrize(("results", "bundle", "epoch"), [("results_final", "final", 2), ("mine", "best_acc", None)])
def test_the_epoch_of_predictions_is_marked_in_their_learning_curves(
    tmp_path: Path, results: str, bundle: str, epoch: int | None
) -> None:
    report_on(ReportSettings(predictions=predictions_of(tmp_path, results, bundle), out=tmp_path / "out"))
    assert (tmp_path / "out" / OF_EPOCHS).read_bytes() == png_of(draw_learning(read_epochs(tmp_path / TABLE), epoch))


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["landsweep", "report", *map(str, arguments)])
    landsweep.main()


def test_command_line_prints_one_object_and_writes_what_it_says(
    written: tuple[Path, Predictions], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, predictions = written
    file = run / "results" / "predictions.npz"
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, file, "--out", run / "results", "--data", run / "data", "--json")
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    expected = score(predictions.probabilities, predictions.labels, predictions.label_names, [0.4, 0.4])
    assert told["metrics"] == expected
    assert (told["split"], told["patches"], told["notes"], told["left out"]) == ("train", 30, [], {})
    numbers = {"best_train_metrics.json", "train_per_class_metrics.json"}
    assert set(told["files"]) == ALL_FIGURES | numbers
    assert files_in(run / "results") == ALL_FIGURES | numbers | {"predictions.npz"}
    by_class = loaded(run / "results" / "train_per_class_metrics.json")
    assert loaded(run / "results" / "best_train_metrics.json") | {"per_class": by_class} == expected
    with Image.open(run / "results" / OF_DATA) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("validation", {"best_metrics.json", "val_per_class_metrics.json"}),
        ("test", {"best_test_metrics.json", "test_per_class_metrics.json"}),
    ],
)
def test_files_are_named_by_split(split: str, names: set[str], tmp_path: Path) -> None:
    found = write_report(tmp_path, replace(DECIDED, split=split))
    assert {name for name in found.files if name.endswith(".json")} == names
    assert loaded(tmp_path / max(names))["odd"]["ap"] is None


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_the_order_of_rows_changes_no_metric(seed: int, rows: int) -> None:
    predictions = made_up(("a", "b", "c"), rows)
    shuffled = permuted(predictions, np.random.default_rng(seed).permutation(rows))
    one, other = measure(predictions), measure(shuffled)
    assert one.keys() == other.keys()
    for key in one.keys() - {"per_class", "classes_scored"}:
        assert one[key] == pytest.approx(other[key], abs=1e-9), key
    for name, values in one["per_class"].items():
        assert values == pytest.approx(other["per_class"][name], abs=1e-9)


def test_a_second_report_replaces_its_own_files_and_no_others(tmp_path: Path) -> None:
    (tmp_path / FIGURES).mkdir()
    mine = {"notes.txt", f"{FIGURES}/mine.png", "best_metrics.json"}
    for name in mine:
        (tmp_path / name).write_text("mine")
    (tmp_path / OF_DATA).write_text("of an earlier report")
    write_report(tmp_path, DECIDED, epochs=[{"epoch": 1, "loss": 1.0}])
    assert OF_EPOCHS in files_in(tmp_path)
    found = write_report(tmp_path, DECIDED)
    assert files_in(tmp_path) == set(found.files) | mine
    assert not {OF_DATA, OF_EPOCHS} & files_in(tmp_path)
    assert all((tmp_path / name).read_text() == "mine" for name in mine)


def test_a_report_that_fails_leaves_the_one_before_or_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        (disk / "large").write_bytes(bytes(200_000))
        with pytest.raises(StorageError, match="disk is full"):
            write_report(disk / "new", DECIDED)
        assert files_in(disk) == {"large"}
        (disk / FIGURES).mkdir()
        before = {f"{FIGURES}/roc_curves.png": "old", "best_test_metrics.json": "{}"}
        for name, text in before.items():
            (disk / name).write_text(text)
        with pytest.raises(StorageError, match="disk is full"):
            write_report(disk, DECIDED)
        assert {name: (disk / name).read_text() for name in files_in(disk) - {"large"}} == before


def test_two_reports_into_one_folder_wait_for_each_other(tmp_path: Path) -> None:
    with exclusive(tmp_path / ".lock", "a test"), pytest.raises(BusyError, match="a report into"):
        write_report(tmp_path, DECIDED)


def test_table_of_epochs_comes_back_and_damage_is_refused(tmp_path: Path) -> None:
    rows = [{"epoch": number, "loss": 0.1 * number, "lrap": None} for number in range(3)]
    write_epochs(tmp_path / "t", rows)
    assert read_epochs(tmp_path / "t") == rows
    with pytest.raises(ValueError, match="JSON compliant"):
        write_epochs(tmp_path / "t", [{"epoch": 1, "loss": float("nan")}])
    wrong = ["NaN", "1e999", "1e39", "-1e308", "1" + 400 * "0", "1" + 5000 * "0", "[1]", "{}"]
    lines = [f'{{"epoch": 4, "loss": {value}, "lrap": 1}}' for value in wrong]
    lines += [
        f'{{"epoch": {value}, "loss": 1, "lrap": 1}}' for value in ("true", "1.0", '"1"', "null", "1" + 300 * "0")
    ]
    for line in (*lines, '{"epoch": 4, "los', "[1]", '{"epoch": 4}', '{"loss": 1}'):
        (tmp_path / "bad").write_text((tmp_path / "t").read_text() + line)
        with pytest.raises(PredictionsError, match="bad, line 4: "):
            read_epochs(tmp_path / "bad")


@pytest.mark.parametrize(
    ("value", "drawn"),
    [('"0.5"', False), ('"nan"', False), ("true", False), ("1e38", True), ("-1e38", True), ("1" + 37 * "0", True)],
)
def test_a_strange_table_of_epochs_ends_no_report(value: str, drawn: bool, tmp_path: Path) -> None:
    """What is text is not drawn, and what is drawn may be far too large."""
    lines = [f'{{"epoch": {epoch}, "validation_loss": {value}, "f1_macro": 0.5}}\n' for epoch in (1, 10**9)]
    write_whole(tmp_path / TABLE, "".join(lines))
    epochs = read_epochs(tmp_path / TABLE)
    found = write_report(tmp_path / "out", DECIDED, epochs=epochs)
    assert OF_EPOCHS in found.files
    columns = shown_columns(epochs)
    assert columns["share"] == ["f1_macro"]
    assert ("loss" in columns) is drawn


def test_what_is_not_said_is_said(tmp_path: Path) -> None:
    odd = "one \U00012345"  # a cuneiform sign
    write_predictions(tmp_path / "p.npz", made_up((odd,), 30, split="", thresholds=None))
    told = report_on(ReportSettings(predictions=tmp_path / "p.npz", out=tmp_path / "out"))
    assert told["split"] == "test"
    assert [note.split(":")[0] for note in told["notes"]] == [
        "The file has no thresholds",
        "The file does not say of which split it is",
        *filter(None, [unwritable([odd]).split(":")[0]]),  # this machine may have such a font
    ]
    assert told["left out"]["best_and_worst_patches"] == "no dataset was given (--data)"
    assert told["left out"]["co_occurrence_labels"] == "there is only one class"
    assert class_rows(told["metrics"])[0]["class"] == odd


@pytest.fixture(scope="module")
def places(written: tuple[Path, Predictions], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    run, predictions = written
    folder = tmp_path_factory.mktemp("wrong")
    changed = {
        "named": replace(predictions, label_names=("even", "third")),
        "others": replace(predictions, patch_ids=np.array([f"q{row}" for row in range(30)])),
        "valid": replace(predictions, split="validation"),
    }
    for name, each in changed.items():
        write_predictions(folder / f"{name}.npz", each)
    (folder / "text.npz").write_text("no zip")
    (folder / "cut.npz").write_bytes((folder / "named.npz").read_bytes()[:-40])
    (folder / "torn" / "results").mkdir(parents=True)
    (folder / "torn" / "logs").mkdir()
    (folder / "torn" / TABLE).write_text('{"epoch": 1, "lo')
    write_predictions(folder / "torn" / "results" / "p.npz", predictions)
    return {"run": run, "wrong": folder}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{wrong}/absent.npz"], "absent.npz: no such file. Give the path of a predictions.npz."),
        (["{wrong}/text.npz"], "text.npz: not an .npz file"),
        (["{wrong}/cut.npz"], "cut.npz: not an .npz file"),
        (["{wrong}/named.npz", "--data", "{run}/data"], 'it has class "odd" where they have "even"'),
        (
            ["{wrong}/others.npz", "--data", "{run}/data"],
            '30 of 30 patches are not in the dataset\'s split, such as "q0"',
        ),
        (["{wrong}/valid.npz", "--data", "{run}/data"], 'no patches in split "validation". Known: train'),
        (["{wrong}/valid.npz", "--split", "test"], "the file is of split validation, not test"),
        (["{wrong}/valid.npz", "--split", "val"], "split: input should be 'auto', 'train', 'validation' or 'test'"),
        (["{wrong}/valid.npz", "--data", "{wrong}"], "not a dataset: manifest.json is missing"),
        (["{wrong}/valid.npz", "--examples", "0"], "greater than or equal to 1, not 0"),
        (["{wrong}/torn/results/p.npz"], "epochs.jsonl, line 1: not a row of numbers by name"),
    ],
)
def test_wrong_use_exits_2_with_one_message_and_writes_nothing(
    arguments: list[str],
    said: str,
    places: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [argument.format(**places) for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, *filled, "--out", tmp_path / "out")
    told = capsys.readouterr()
    assert (ended.value.code, told.out, told.err.count("error:")) == (2, "", 1)
    assert said in told.err
    assert not (tmp_path / "out").exists()


def test_out_that_is_a_file_is_refused(written: tuple[Path, Predictions]) -> None:
    run, _ = written
    file = run / "results" / "predictions.npz"
    with pytest.raises(SettingsError, match="not a folder"):
        report_on(ReportSettings(predictions=file, out=file))
    assert read_predictions(file)
