"""The predictor: batches change nothing, and the order of channels is the bundle's."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle.config import CONFIG, config_text, read_config
from pipelines.bands import SENTINEL2
from pipelines.pixels.patch import Patch, read_stack, write_stack
from serve.predictor import Predictor

SAME = 1e-7
"""Probabilities that are the same in float64 differ by no more once they are in float32."""


def random_patch(seed: int) -> Patch:
    rng = np.random.default_rng(seed)
    return Patch(
        {name: rng.integers(1, 4000, (band.size, band.size)).astype(np.uint16) for name, band in SENTINEL2.items()}
    )


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Predictor:
    return in_float64(Predictor(bundle, device="cpu", threads=1))


def in_float64(predictor: Predictor) -> Predictor:
    """So that what is the same but for the order of its sums is so to `SAME`, on whatever machine."""
    predictor.net.double()
    return predictor


def test_a_batch_predicts_what_its_patches_predict_alone(predictor: Predictor) -> None:
    patches = [random_patch(seed) for seed in range(5)]
    together = predictor.predict(patches)
    for patch, found in zip(patches, together, strict=True):
        alone = {each.label: each.probability for each in predictor.predict([patch])[0]}
        assert {each.label: each.probability for each in found} == pytest.approx(alone, abs=SAME)


def test_native_bands_and_a_stack_on_one_grid_are_the_same_input(predictor: Predictor) -> None:
    native = random_patch(0)
    stacked = read_stack(write_stack(native, predictor.config.bands, 120))
    one, other = (predictor.predict([patch])[0] for patch in (native, stacked))
    assert [each.probability for each in one] == pytest.approx([each.probability for each in other], abs=SAME)


def test_order_of_the_patchs_bands_does_not_matter(predictor: Predictor) -> None:
    patch = random_patch(1)
    turned = Patch(dict(reversed(patch.pixels.items())))
    assert predictor.predict([turned]) == predictor.predict([patch])


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_served_net_says_what_the_trained_net_says(bundle: Path, temperature: float, tmp_path: Path) -> None:
    file = Path(shutil.copytree(bundle, tmp_path / "bundle")) / CONFIG
    file.write_text(config_text(read_config(bundle).model_copy(update={"temperature": temperature})))
    predictor = in_float64(Predictor(tmp_path / "bundle", device="cpu"))
    patch, config = random_patch(2), predictor.config
    image = np.stack([np.kron(patch.pixels[b], np.ones((120 // len(patch.pixels[b]),) * 2)) for b in config.bands])
    with torch.inference_mode():
        logits = predictor.loaded.net.backbone(
            (torch.tensor(image, dtype=torch.float32)[None] - predictor.net.mean) / predictor.net.std
        )
    expected = dict(zip(config.label_names, torch.sigmoid(logits / temperature)[0].tolist(), strict=True))
    assert {each.label: each.probability for each in predictor.predict([patch])[0]} == pytest.approx(expected, abs=SAME)


def test_positive_follows_the_threshold(predictor: Predictor) -> None:
    found = predictor.predict([random_patch(3)])[0]
    assert all(each.positive == (each.probability >= each.threshold) for each in found)
    assert [each.probability for each in found] == sorted((each.probability for each in found), reverse=True)
