"""`landsweep explain`: the pages it writes, what it says, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import landsweep
from models.bundle.weights import Bundle, load_bundle, write_bundle
from models.explain.pages import ACTIVATIONS, PAGES, choose, draw_pages, write_gradcam_pages
from models.nets.build import create_net
from models.results.assess import examine
from models.results.explain_split import band_rows, explain_on, measure_bands
from models.settings import ExplainSettings
from pipelines.dataset.manifest import open_dataset
from pipelines.errors import BundleError, PredictionsError, SettingsError
from pipelines.feeding.rows import Chunk, Split
from pipelines.feeding.streamed import open_stream
from pipelines.pixels.patch import Patch
from tests.fakes import write_dataset
from tests.models.bright import LABELS, write_bright
from tests.models.seen import bundle_of

BANDS = ("B04", "B05")
IMPORTANCE = {"band_importance.json", "band_importance.png"}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and a bundle with fresh weights."""
    folder = tmp_path_factory.mktemp("explain")
    data = write_bright(folder / "data", {"train": 4, "validation": 4, "test": 12})
    net = create_net("landnet-s", mean=[1000.0] * 2, std=[500.0] * 2, bands=BANDS, num_classes=2, image_size=24, seed=1)
    config = bundle_of(net, "landnet-s", LABELS, 24, bands=BANDS).config
    config = config.model_copy(update={"dataset": open_dataset(data).hash})
    example = Patch({"B04": np.full((24, 24), 900, np.uint16), "B05": np.full((12, 12), 900, np.uint16)})
    write_bundle(folder / "bundle", net, config, {}, example)
    return folder


def pages(n: int) -> list[str]:
    return [f"{PAGES}/{kind}_{number:02d}.png" for kind in ("best", "worst") for number in range(1, n + 1)]


def files_in(folder: Path) -> set[str]:
    return {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()} - {".lock"}


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> Any:
    monkeypatch.setattr(sys, "argv", ["landsweep", "explain", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        landsweep.main()
    return ended.value.code


def test_command_line_writes_what_it_says(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [place / "bundle", "--data", place / "data", "--out", out, "--patches", 1, "--sample", 5]
    assert call(monkeypatch, *arguments, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["files"]) == files_in(out) == {*pages(1), ACTIVATIONS, *IMPORTANCE}
    assert (told["split"], told["method"], told["patches measured"]) == ("test", "gradcam", 5)
    assert told["importance"] == json.loads((out / "band_importance.json").read_text())
    assert list(told["importance"]) == list(BANDS)
    assert "note" not in told
    known = opened(place)[1].patch_ids.tolist()
    assert {each["patch"] for each in told["pages"]} <= set(known)
    for name in pages(1):
        with Image.open(out / name) as image:
            image.load()
            assert image.format == "PNG"
    assert len(re.findall(rb"/Type /Page\b", (out / ACTIVATIONS).read_bytes())) == 2


@dataclass(frozen=True)
class Noted(Split):
    """Rows that write down which are taken at a time."""

    told: list[str] = field(default_factory=list)

    def select(self, bands: Sequence[str]) -> Noted:
        return self

    def take(self, rows: NDArray[np.int64]) -> Chunk:
        self.told.append(f"read {rows.tolist()}")
        return super().take(rows)


def test_patches_are_read_a_batch_at_a_time_and_all_the_same(place: Path) -> None:
    bundle, rows, _ = opened(place)
    bundle.net.double()  # so that nothing but what is kept in float32 is rounded
    noted = Noted(BANDS, (rows.take(np.arange(12)),))
    given = {"source": place / "bundle", "data": str(place / "data"), "sample": 5}
    one, other = (
        measure_bands(
            bundle,
            noted,
            ExplainSettings(**given, batch_size=size),
            lambda done, of: noted.told.append(f"{done} of {of} done"),
        )
        for size in (64, 2)
    )
    assert noted.told[:2] == ["read [0, 2, 5, 8, 11]", "5 of 5 done"]
    assert noted.told[2:6] == ["read [0, 2]", "2 of 5 done", "read [5, 8]", "4 of 5 done"]
    np.testing.assert_allclose(one.logits, other.logits, rtol=1e-6, atol=1e-6)


def test_tables_are_printed_without_json(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--patches", 1, "--method", "ablationcam", "--split", "train", "--threads", 1]
    assert call(monkeypatch, place / "bundle", "--data", place / "data", "--out", tmp_path, *given) == 0
    printed = capsys.readouterr().out
    assert "method: ablationcam" in printed
    assert all(word in printed for word in (*BANDS, *pages(1), "mean change of a logit"))


def test_patches_and_classes_of_ones_own_choice_are_shown(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = opened(place)[1].patch_ids.tolist()
    given: list[object] = [place / "bundle", "--data", place / "data", "--out", tmp_path, "--sample", 2]
    of_before(tmp_path, pages(1))
    wanted = ["--patch-id", ids[5], "--patch-id", ids[2], "--patch-id", ids[5], "--label", LABELS[1]]
    assert call(monkeypatch, *given, *wanted, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    names = [f"{PAGES}/chosen_01.png", f"{PAGES}/chosen_02.png"]
    assert [(each["page"], each["patch"]) for each in told["pages"]] == [(names[0], ids[5]), (names[1], ids[2])]
    assert files_in(tmp_path) == {*names, ACTIVATIONS, *IMPORTANCE}, "pages of before are gone"


def test_a_class_is_shown_whether_it_was_found_or_not(place: Path) -> None:
    bundle, rows, predictions = opened(place)
    shown = choose(bundle, rows, predictions, 1, predictions.patch_ids.tolist())
    for example in shown.examples.values():
        said = {label for label in LABELS if label in example.found | example.missed | example.wrong}
        assert example.other.keys() == set(LABELS) - said
    assert any(each.other for each in shown.examples.values()), "else this proves nothing"
    some = replace(shown, examples=dict([*shown.examples.items()][:1]), images=shown.images[:1])
    pictures, others = (draw_pages(bundle, some, labels)[1] for labels in (LABELS, LABELS[::-1]))
    assert pictures.keys() == others.keys() == some.examples.keys()
    assert all(pictures[name] != others[name] for name in pictures), "they stand in the order asked for"


def of_before(folder: Path, names: Sequence[str]) -> None:
    """Files where an earlier explanation would have left its own."""
    (folder / PAGES).mkdir()
    for name in names:
        (folder / name).write_text("of before")


def test_pages_of_before_are_replaced_and_other_files_kept(place: Path, tmp_path: Path) -> None:
    mine = f"{PAGES}/best_patches.png"
    of_before(tmp_path, [*pages(2), ACTIVATIONS, *IMPORTANCE, mine])
    explain_on(ExplainSettings(source=place / "bundle", data=str(place / "data"), out=tmp_path, patches=1))
    assert files_in(tmp_path) == {*pages(1), ACTIVATIONS, *IMPORTANCE, mine}
    assert {name for name in files_in(tmp_path) if (tmp_path / name).read_bytes() == b"of before"} == {mine}


def opened(place: Path) -> tuple[Bundle, Any, Any]:
    bundle = load_bundle(place / "bundle")
    rows = open_stream(place / "data", "test", BANDS, open_dataset(place / "data"))
    return bundle, rows, examine(bundle, place / "data", "test").predictions


def test_pages_say_which_classes_have_no_evidence(place: Path, tmp_path: Path) -> None:
    bundle, rows, predictions = opened(place)
    with torch.no_grad():
        head = bundle.net.backbone.get_submodule("head")[1]  # type: ignore[index]  # a Sequential
        head.weight.zero_()
    found = write_gradcam_pages(tmp_path, bundle, choose(bundle, rows, predictions, 2))
    said = {remark for page in found for remark in page.remarks}
    assert said == {f'No positive evidence: nothing in this patch speaks for "{label}".' for label in LABELS}
    assert {page.name for page in found} == set(pages(2))


def test_predictions_of_other_patches_or_classes_are_refused(place: Path) -> None:
    bundle, rows, predictions = opened(place)
    with pytest.raises(BundleError, match="other classes"):
        choose(bundle, rows, replace(predictions, label_names=("x", "y")), 2)
    others = np.array([f"q{row}" for row in range(len(predictions))])
    with pytest.raises(PredictionsError, match="are not in the dataset's split"):
        choose(bundle, rows, replace(predictions, patch_ids=others), 2)


def test_a_bundle_of_coarse_bands_is_explained_on_a_dataset_with_finer_ones(tmp_path: Path) -> None:
    sizes = {"B02": 48, "B03": 48, "B04": 48, "B05": 24}
    data = write_dataset(tmp_path / "data", 4, sizes=sizes)
    net = create_net("landnet-s", mean=[3e4], std=[2e4], bands=("B05",), num_classes=2, image_size=24, seed=1)
    config = bundle_of(net, "landnet-s", ["odd", "third"], 24, bands=("B05",)).config
    write_bundle(tmp_path / "bundle", net, config, {}, Patch({"B05": np.full((24, 24), 900, np.uint16)}))
    given = {"source": tmp_path / "bundle", "data": str(data), "split": "train", "out": tmp_path / "out"}
    told = explain_on(ExplainSettings(**given, patch_id=["p1"]))
    assert set(told["files"]) == files_in(tmp_path / "out") == {f"{PAGES}/chosen_01.png", ACTIVATIONS, *IMPORTANCE}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"source": "{place}/nowhere"}, "nowhere: no such folder"),
        ({"source": "{place}/data"}, "data: no bundle there"),
        ({"source": "{place}/bundle", "out": ""}, "out: no folder for the pages is given"),
        ({"data": "{place}/bundle"}, "not a dataset: manifest.json is missing"),
        ({"data": "{place}/other"}, "the dataset has none of the model's classes"),
        ({"method": "scorecam"}, "method: input should be 'gradcam' or 'ablationcam'"),
        ({"label": "Sae"}, 'unknown class "Sae"'),
        ({"patch-id": "nobody"}, 'nobody: no patch of that id in split "test"'),
        ({"patches": "0"}, "greater than or equal to 1, not 0"),
        ({"out": "{place}/bundle/config.json"}, "config.json: not a folder"),
        ({"device": "cuda:99"}, 'no device "cuda:99" here'),
    ],
)
def test_wrong_use_ends_with_one_message_and_writes_nothing(
    changed: dict[str, str],
    said: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not (place / "other").is_dir():
        write_dataset(place / "other", 4, sizes={"B04": 24, "B05": 12})
    given = {"source": "{place}/bundle", "data": "{place}/data", "out": str(tmp_path / "out")} | changed
    given = {key: value.format(place=place) for key, value in given.items()}
    flags = [word for key, value in given.items() if key != "source" and value for word in (f"--{key}", value)]
    assert call(monkeypatch, given["source"], *flags) == 2
    printed = capsys.readouterr()
    assert said in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert not (tmp_path / "out").exists()


def test_another_dataset_than_that_of_training_is_said(place: Path, tmp_path: Path) -> None:
    other = write_bright(tmp_path / "data", {"train": 4, "validation": 4, "test": 5})
    shutil.copytree(place / "bundle", tmp_path / "run" / "checkpoints" / "final")
    given: dict[str, Any] = {"checkpoint": "final", "patch_id": ["test-1"], "sample": 1}
    settings = ExplainSettings(source=tmp_path / "run", data=str(place / "data"), **given)
    told = explain_on(settings)
    out = tmp_path / "run" / "results_final"
    assert (told["bundle"], told["out"]) == (str(tmp_path / "run/checkpoints/final"), str(out))
    assert files_in(out) == set(told["files"]), "a run's pages go to its own results"
    with pytest.raises(SettingsError, match=r"no folder for the pages is given.* of another dataset"):
        explain_on(settings.model_copy(update={"data": str(other)}))
    told = explain_on(settings.model_copy(update={"data": str(other), "out": tmp_path / "out"}))
    assert told["note"] == "this is not the dataset that the model was trained on"


def test_bands_are_listed_the_strongest_first_and_one_may_speak_for_no_class() -> None:
    found = {
        "B04": {"strength": 0.5, "logit": {"Sea": 0.2, "Town": 0.8}},
        "B08": {"strength": 2.0, "logit": {"Sea": -3.0, "Town": 1.0}},
    }
    rows = band_rows(found)
    assert [(row["band"], row["speaks most for"]) for row in rows] == [("B08", "Sea"), ("B04", None)]
