"""The model card: every fact of the bundle, nothing else, and code in it that runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from models.bundle.card import model_card
from models.bundle.config import BundleConfig
from models.bundle.weights import write_bundle
from models.measure.metrics import score
from models.nets.recipe import Recipe
from models.settings import Augment, TrainSettings
from pipelines.feeding.batches import assemble
from pipelines.pixels.patch import Patch
from tests.models.seen import fresh

LABELS = ["Arable land", "Sea | ocean", "<b>Marsh</b>"]


def config_of(**values: Any) -> BundleConfig:
    known: dict[str, Any] = {
        "architecture": "vit", "num_classes": 3, "label_names": LABELS, "in_chans": 2, "bands": ["B11", "height"],
        "mean": {"B11": 1500.25, "height": 300}, "std": {"B11": 700, "height": 90}, "image_size": 120,
        "thresholds": dict(zip(LABELS, (0.25, 0.5, 0.75), strict=True)), "temperature": 1.25, "dataset": "ab" * 32,
        "seed": 7, "versions": {"torch": "2.14.1"},
        "architecture_arguments": Recipe(timm="vit_small_patch16_224", image_size=120, multiple=16),
    }  # fmt: skip
    return BundleConfig(**(known | values))


def metrics_of(rows: int = 40) -> dict[str, Any]:
    """The third class is nowhere, the second is rare."""
    rng = np.random.default_rng(rows)
    labels = np.column_stack([rng.integers(0, 2, rows), np.arange(rows) < 3, np.zeros(rows)]).astype(np.uint8)
    return score(rng.random((rows, 3)), labels, LABELS, [0.25, 0.5, 0.75])


def front(card: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return found


def section(card: str, heading: str) -> str:
    return card.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def rows_of(text: str) -> list[list[str]]:
    """Cells of the tables in a text, without the lines that rule them."""
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_front_matter_is_yaml_with_what_each_split_reached() -> None:
    metrics = {"validation": metrics_of(), "test": metrics_of(50)}
    found = front(model_card(config_of(), metrics))
    assert found["library_name"] == "landsweep"
    assert "sentinel-2" not in found["tags"]  # one of its bands is not
    results = {each["dataset"]["split"]: each for each in found["model-index"][0]["results"]}
    for split, values in metrics.items():
        assert results[split]["dataset"]["revision"] == "ab" * 32
        reached = {each["type"]: each["value"] for each in results[split]["metrics"]}
        assert reached["ap_macro"] == pytest.approx(values["ap_macro"], abs=5e-5)
    bands = {"bands": ["B11"], "in_chans": 1, "mean": {"B11": 1}, "std": {"B11": 1}}
    assert "sentinel-2" in front(model_card(config_of(**bands), {}))["tags"]
    assert "model-index" not in front(model_card(config_of(), {}))


def test_the_net_and_its_bands_are_described() -> None:
    said = section(model_card(config_of(), {}, 22_507_027), "Model")
    for fact in ("`vit`, vision transformer, small", "`vit_small_patch16_224`", "22,507,027", "(batch, 2, 120, 120)",
                 "120 to 128 px by reflection"):  # fmt: skip
        assert fact in said
    assert rows_of(said)[1:] == [
        ["0", "B11", "short-wave infrared 1", "1614", "20", "1500.2", "700.0"],
        ["1", "height", "not on record", "–", "–", "300.0", "90.0"],
    ]
    assert "Parameters" not in section(model_card(config_of(), {}), "Model")


def test_settings_are_told_apart_from_defaults_down_to_the_nested_ones() -> None:
    settings = TrainSettings(epochs=60, augment=Augment(rotation=15)).model_dump(mode="json")
    trial = {"study": "first", "number": 4, "epoch": 9, "parameters": settings | {"moon": "full"}}
    said = section(model_card(config_of(trial=trial), {}), "Training")
    assert "search `first`, number 4" in said
    assert "after epoch 9" in said
    assert "Seed: 7" in said
    assert "torch 2.14.1" in said
    changed = {row[0]: row[1:] for row in rows_of(said)}
    assert changed["`epochs`"] == ["60", "10", TrainSettings.model_fields["epochs"].description]
    assert changed["`augment.rotation`"] == ["15", "0", "largest rotation in degrees, to either side"]
    assert changed["`moon`"][:2] == ["full", "–"]
    assert set(changed) == {"setting", "`epochs`", "`augment.rotation`", "`moon`"}
    assert "batch_size 32" in said
    assert "dropout not given" in said  # the model has its own
    assert "loss.gamma_negative 4" in said
    assert "{" not in said


def test_what_is_not_on_record_is_said_to_be_not_on_record() -> None:
    card = model_card(config_of(versions={}), {})
    assert "How it was trained is not on record." in section(card, "Training")
    assert "Nothing was scored." in section(card, "Results")
    limits = section(card, "Limits")
    assert "level of processing" in limits
    assert "not scored on a test split" in limits
    assert "validation" not in limits  # nobody says that thresholds were fitted there
    assert rows_of(section(card, "Calibration"))[1] == ["Arable land", "0.250"]


def test_results_are_those_of_the_metrics() -> None:
    metrics = {"validation": metrics_of(), "test": metrics_of(50)}
    card = model_card(config_of(trial={"parameters": {}}), metrics)
    rows = rows_of(section(card, "Results"))
    assert rows[0] == ["metric", "validation", "test", "what it is"]
    overall = {row[0]: row[1:3] for row in rows}
    assert overall["f1_micro"] == [f"{metrics[split]['f1_micro']:.4f}" for split in metrics]
    test = {row[0]: row[1:] for row in rows_of(card.split("### Test, by class")[1])}
    arable = metrics["test"]["per_class"]["Arable land"]
    assert test["Arable land"][0] == f"{arable['ap']:.3f}"
    assert test["Arable land"][-2:] == ["0.250", str(arable["support"])]
    assert test["&lt;b>Marsh&lt;/b>"][0] == "–"
    assert test["Sea \\| ocean"][-1] == "3"
    limits = section(card, "Limits")
    assert "Fewer than 10 patches on test, so numbers there say little: Sea \\| ocean, &lt;b>Marsh&lt;/b>." in limits
    assert "fitted on validation" in limits
    assert "1.25" in section(card, "Calibration")


def test_a_bundle_on_disk_has_a_card_whose_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh_one = fresh("landnet-s", 24, LABELS)
    names = fresh_one.config.bands
    example = Patch({band: np.full((24, 24), 900, np.uint16) for band in names})
    with torch.inference_mode():
        images = assemble({band: example.pixels[band][None] for band in names}, names, 24)
        said = torch.sigmoid(fresh_one.net(images) / 2)[0].tolist()
    limits = {
        label: value + (0.01 if place else -0.01) for place, (label, value) in enumerate(zip(LABELS, said, strict=True))
    }
    config = fresh_one.config.model_copy(update={"temperature": 2.0, "thresholds": limits})
    written = write_bundle(tmp_path / "bundle", fresh_one.net, config, {}, example)
    card = (tmp_path / "bundle" / "README.md").read_text(encoding="utf-8")
    assert f"Parameters: {sum(each.numel() for each in fresh_one.net.parameters()):,}" in card
    assert all(f"{name} {version}" in card for name, version in written.versions.items())
    (program,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(tmp_path / "bundle")
    exec(program, {})
    assert capsys.readouterr().out == f"{LABELS[:1]}\n"
