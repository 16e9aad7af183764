"""The predictor: batches change nothing, channels are in the bundle's order, its numbers are the evaluation's."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.bundle.config import CONFIG, EXAMPLE, WEIGHTS, config_text, read_config
from models.bundle.weights import load_bundle
from models.explain.maps import explain
from models.measure.calibrate import Calibration
from models.measure.evaluate import evaluate
from pipelines.bands import ALL_BANDS, SENTINEL2
from pipelines.errors import BundleError, LabelError
from pipelines.feeding.batches import assemble
from pipelines.feeding.rows import read_split
from pipelines.pixels.patch import Patch, read_stack, write_stack
from serve.predictor import Predictor
from serve.schema import LabelPrediction
from tests.fakes import write_fresh_bundle

CPU = torch.device("cpu")

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


@pytest.fixture(scope="module")
def rgb(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A model of three bands, in another order than the files'."""
    folder = write_fresh_bundle(tmp_path_factory.mktemp("rgb") / "b", shards, bands="rgb", seed=6)
    return Predictor(folder, device="cpu", threads=1)


def by_label(found: list[LabelPrediction]) -> dict[str, float]:
    return {each.label: each.probability for each in found}


def test_every_class_is_there_once_with_its_own_threshold(bundle: Path, tmp_path: Path) -> None:
    config = read_config(bundle)
    thresholds = {name: round(0.02 + 0.05 * number, 2) for number, name in enumerate(config.label_names)}
    file = Path(shutil.copytree(bundle, tmp_path / "bundle")) / CONFIG
    file.write_text(config_text(config.model_copy(update={"thresholds": thresholds})))
    found = Predictor(tmp_path / "bundle", device="cpu").predict([random_patch(4)])[0]
    assert {each.label: each.threshold for each in found} == thresholds
    assert {each.positive for each in found} == {True, False}


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_served_numbers_are_those_of_the_evaluation(
    bundle: Path, shards: Path, tmp_path: Path, temperature: float
) -> None:
    """What was scored is what is served, also where a batch is of patches that came one by one."""
    config = read_config(bundle).model_copy(update={"temperature": temperature})
    (Path(shutil.copytree(bundle, tmp_path / "bundle")) / CONFIG).write_text(config_text(config))
    rows = read_split(shards, "validation", config.bands)
    loaded = load_bundle(tmp_path / "bundle", CPU)
    scored = evaluate(loaded.net, rows, config.image_size, CPU)
    expected = Calibration(temperature, []).probabilities(scored.logits)
    chunk = rows.take(np.arange(len(rows)))
    patches = [Patch({band: chunk[band][row] for band in config.bands}) for row in range(len(rows))]
    found = Predictor(tmp_path / "bundle", device="cpu", threads=1).predict(patches)
    served = np.array([[by_label(each)[name] for name in config.label_names] for each in found])
    assert served.shape == (len(rows), 19)
    np.testing.assert_allclose(served, expected, atol=1e-4)


def test_bands_that_the_model_does_not_read_change_nothing(rgb: Predictor) -> None:
    patch = random_patch(5)
    three = Patch({band: patch.pixels[band] for band in ("B02", "B03", "B04")})
    other = Patch(patch.pixels | {"B08": patch.pixels["B08"] // 2, "cloud": np.ones((7, 7), np.uint16)})
    assert rgb.predict([patch]) == rgb.predict([three]) == rgb.predict([other])


def test_each_band_goes_to_its_own_channel(rgb: Predictor) -> None:
    patch = random_patch(6)
    swapped = Patch(patch.pixels | {"B02": patch.pixels["B04"], "B04": patch.pixels["B02"]})
    assert rgb.config.bands == ["B04", "B03", "B02"]
    assert by_label(rgb.predict([swapped])[0]) != pytest.approx(by_label(rgb.predict([patch])[0]), abs=1e-6)


@pytest.mark.parametrize("named", [True, False])
def test_a_files_own_order_of_bands_does_not_matter(rgb: Predictor, named: bool) -> None:
    """Where it names them, and where who sends it does."""
    patch, order = random_patch(7), ("B03", "B02", "B04")
    data = write_stack(patch, order, 120)
    names = None
    if not named:
        names = order
        for band in order:
            data = data.replace(band.encode(), b"   ")
    read = read_stack(data, wanted=rgb.config.bands, size=120, names=names)
    assert by_label(rgb.predict([read])[0]) == pytest.approx(by_label(rgb.predict([patch])[0]), abs=1e-6)


def test_a_batch_keeps_its_order_and_may_be_long(rgb: Predictor) -> None:
    patches = [random_patch(seed) for seed in (8, 9)]
    one, other = (by_label(found) for found in rgb.predict(patches))
    found = rgb.predict(patches * 20)
    assert len(found) == 40
    for row, each in enumerate(found):
        assert by_label(each) == pytest.approx(other if row % 2 else one, abs=1e-5)


def test_the_bundles_example_is_answered(predictor: Predictor, bundle: Path) -> None:
    patch = read_stack((bundle / EXAMPLE).read_bytes(), wanted=predictor.config.bands, size=120)
    assert patch.warnings == ()
    assert len(predictor.predict([patch])[0]) == 19


def test_a_heat_map_is_grad_cam_as_a_grey_picture(predictor: Predictor) -> None:
    patch, label = random_patch(10), predictor.config.label_names[3]
    png, evidence = predictor.heat_png(patch, label)
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (120, 120))
        seen = np.asarray(image)
    images = assemble({band: patch.pixels[band][None] for band in ALL_BANDS}, ALL_BANDS, 120, CPU)
    expected = explain(predictor.loaded, images, label)[0]
    assert evidence == expected.evidence
    np.testing.assert_allclose(seen / 255, expected.heat, atol=0.01)


def test_explaining_leaves_the_predictions_as_they_were(predictor: Predictor) -> None:
    patch = random_patch(11)
    before = predictor.predict([patch])
    predictor.heat_png(patch, predictor.config.label_names[0])
    assert predictor.predict([patch]) == before


def test_an_unknown_class_is_not_explained(predictor: Predictor) -> None:
    with pytest.raises(LabelError, match='Did you mean "Pastures"'):
        predictor.heat_png(random_patch(12), "Pasture")


def test_threads_are_the_callers_choice(bundle: Path) -> None:
    before = torch.get_num_threads()
    try:
        for threads, expected in ((1, 1), (2, 2), (0, 2)):
            Predictor(bundle, device="cpu", threads=threads)
            assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("file", [WEIGHTS, CONFIG])
@pytest.mark.parametrize("harm", ["cut", "flipped", "removed"])
def test_a_damaged_bundle_is_never_loaded(bundle: Path, tmp_path: Path, file: str, harm: str) -> None:
    path = Path(shutil.copytree(bundle, tmp_path / "bundle")) / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data if harm == "flipped" else data[: len(data) // 2])
    if harm == "removed":
        path.unlink()
    with pytest.raises(BundleError):
        Predictor(tmp_path / "bundle", device="cpu")
