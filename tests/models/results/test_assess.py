"""A bundle is scored by name: on a dataset that lacks a class, has others, or has them in another order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle.weights import Bundle, load_bundle, write_bundle
from models.explain.tensorboard_graph import FILE
from models.measure.prediction_file import read_predictions
from models.nets.build import create_net
from models.report.report import report_on
from models.results.assess import examine
from models.results.explain_split import explain_on
from models.results.score_split import score_bundle
from models.settings import AssessSettings, ExplainSettings, ReportSettings
from pipelines.dataset.manifest import open_dataset
from pipelines.errors import BundleError, LabelError
from pipelines.feeding.rows import read_split
from pipelines.pixels.patch import Patch
from tests.models.bright import LABELS, write_bright
from tests.models.seen import bundle_of

CORNER, BRIGHT = LABELS
NAMES = (CORNER, "Glacier", BRIGHT)
"""Of the model, which learned them elsewhere."""

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Place:
    """A folder, the dataset's in it, and a bundle that knows one class more."""

    folder: Path
    data: Path
    bundle: Bundle


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("assess")
    net = create_net("landnet-s", mean=[1000.0], std=[500.0], bands=("B04",), num_classes=3, image_size=24, seed=1)
    config = bundle_of(net, "landnet-s", NAMES, 24, bands=("B04",)).config
    config = config.model_copy(update={"thresholds": dict(zip(NAMES, (0.4, 0.5, 0.6), strict=True))})
    write_bundle(folder / "bundle", net, config, {}, Patch({"B04": np.full((24, 24), 900, np.uint16)}))
    return Place(folder, write_bright(folder / "data", {"test": 30}), load_bundle(folder / "bundle"))


def named(place: Place, tmp_path: Path, *names: str) -> Path:
    """The dataset with its classes called so, in their order."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "test").symlink_to(place.data / "test")
    manifest = open_dataset(place.data).model_copy(update={"label_names": list(names)})
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return folder


def test_a_class_that_the_region_lacks_is_not_scored_and_said(place: Place) -> None:
    found = examine(place.bundle, place.data, "test")
    predictions, truth = found.predictions, read_split(place.data, "test", ("B04",)).labels
    assert predictions.label_names == (CORNER, BRIGHT) == tuple(found.metrics["per_class"])
    assert np.array_equal(predictions.labels, truth)
    assert predictions.thresholds == (0.4, 0.6)
    assert predictions.notes == ("Not scored, as the dataset does not have them: Glacier.",)
    assert found.metrics["classes_scored"]["ap_macro"] == 2


def test_classes_go_by_name_in_whatever_order(place: Place, tmp_path: Path) -> None:
    found = examine(place.bundle, named(place, tmp_path, BRIGHT, "Glacier"), "test")
    whole = examine(place.bundle, place.data, "test")
    truth = read_split(place.data, "test", ("B04",)).labels
    assert found.predictions.label_names == ("Glacier", BRIGHT), "the model's order"
    assert np.array_equal(found.predictions.labels, truth[:, ::-1])
    assert np.array_equal(found.predictions.probabilities[:, 1], whole.predictions.probabilities[:, 1])
    assert not np.array_equal(found.predictions.probabilities[:, 0], whole.predictions.probabilities[:, 0])


def test_what_the_model_does_not_know_is_told_with_the_patches_that_have_nothing_else(
    place: Place, tmp_path: Path
) -> None:
    found = examine(place.bundle, named(place, tmp_path, "Sand", BRIGHT), "test").predictions
    truth = read_split(place.data, "test", ("B04",)).labels
    only = int(((truth[:, 0] == 1) & (truth[:, 1] == 0)).sum())
    assert only
    assert found.notes == (
        f"Not scored, as the dataset does not have them: {CORNER}, Glacier.",
        "The model does not know, and cannot say: Sand.",
        f"{only} patches have none of the classes that are scored; saying one of them is wrong.",
    )


def test_a_class_without_a_patch_in_the_split_is_named(place: Place, tmp_path: Path) -> None:
    folder = write_bright(tmp_path / "few", {"test": 1})
    truth = read_split(folder, "test", ("B04",)).labels[0]
    (note,) = examine(place.bundle, folder, "test").predictions.notes[1:]
    lacking = ", ".join(name for name, there in zip(LABELS, truth, strict=True) if not there)
    assert note == f"No patch of this split has them, so that macro means are without: {lacking}."


def test_no_class_in_common_is_refused(place: Place, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none of the model's classes: it has \"Sand\".* under the model's names"):
        examine(place.bundle, named(place, tmp_path, "Sand", "Rock"), "test")


def test_the_whole_report_is_of_the_shared_classes(place: Place, tmp_path: Path) -> None:
    data, out = str(named(place, tmp_path, BRIGHT, CORNER)), tmp_path / "out"
    given: dict[str, Any] = {"source": place.folder / "bundle", "data": data, "out": out}
    told: list[str] = []
    found = score_bundle(AssessSettings(**given, explain=1), told.append)
    assert not [line for line in told if line.startswith("No ")], "all could be shown"
    assert found["notes"] == ["Not scored, as the dataset does not have them: Glacier."]
    assert set(json.loads((out / "test_per_class_metrics.json").read_text())) == set(LABELS)
    shown = {"gradcam_visualizations/best_01.png", "activations.pdf", FILE, "visualizations/best_and_worst_patches.png"}
    assert shown <= set(found["files"])
    assert all((out / name).is_file() for name in found["files"])
    assert read_predictions(out / "predictions.npz").label_names == (CORNER, BRIGHT)
    again = report_on(ReportSettings(predictions=out / "predictions.npz", out=tmp_path / "again", data=data))
    assert again["metrics"]["ap_macro"] == found["metrics"]["ap_macro"]
    with pytest.raises(LabelError, match='the dataset has no class "Glacier"'):
        explain_on(ExplainSettings(**given, label=["Glacier"]))
