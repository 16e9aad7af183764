"""The fit loop: it learns, it repeats itself bit for bit, it goes on where it stopped, it says when it diverged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.calibrate import fit_thresholds
from models.loop import EpochResult, Fit, pick_device
from models.losses import MAX_WEIGHT, positive_weights
from models.settings import TrainSettings
from models.zoo import create_net
from pipelines.errors import SettingsError, TrainingError
from pipelines.feed import Split

CPU = torch.device("cpu")


def bright_or_dark(rows: int, seed: int) -> Split:
    """Two classes that one band tells apart: bright patches, and patches with a bright corner."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((rows, 2)) < 0.5).astype(np.uint8)
    pixels = rng.integers(500, 700, (rows, 24, 24)).astype(np.uint16)
    pixels[labels[:, 0] == 1] += 900
    pixels[labels[:, 1] == 1, :6, :6] += 3000
    ids = np.array([str(i) for i in range(rows)], dtype=object)
    return Split(("B04",), ({"B04": pixels, "labels": labels, "patch_id": ids},))


def start(model: str = "landnet", **settings: object) -> Fit:
    parsed = TrainSettings.parse({"model": model, "epochs": 3, "batch_size": 16, "seed": 3, **settings})
    net = create_net(model, mean=[1000.0], std=[500.0], num_classes=2, seed=parsed.seed)
    return Fit(net, parsed, 24, CPU)


def run(fit: Fit) -> list[EpochResult]:
    return list(fit.epochs(bright_or_dark(64, 0), bright_or_dark(32, 1)))


@pytest.mark.parametrize("model", ["landnet", "resnet18"])
def test_it_learns_what_can_be_learned(model: str) -> None:
    results = run(start(model, epochs=6, learning_rate=3e-3))
    validation = bright_or_dark(32, 1)
    decisions = results[-1].probabilities > 0.5
    assert (decisions == validation.labels).mean() > 0.9
    assert results[-1].validation_loss < results[0].validation_loss


def test_same_seed_same_numbers() -> None:
    one, other = run(start()), run(start())
    np.testing.assert_array_equal(one[-1].probabilities, other[-1].probabilities)
    assert run(start(seed=4))[-1].train_loss != one[-1].train_loss


@pytest.mark.parametrize("augment", [{}, {"rotation": 20, "erasing": 0.5, "jitter": 0.1, "mixup": 0.4}])
def test_resumed_fit_continues_bit_for_bit(augment: dict[str, float], tmp_path: Path) -> None:
    whole = run(start(augment=augment))
    first = start(augment=augment)
    epochs = first.epochs(bright_or_dark(64, 0), bright_or_dark(32, 1))
    next(epochs)
    first.save(tmp_path / "state.pt")
    second = start(augment=augment)
    second.load(tmp_path / "state.pt")
    resumed = run(second)
    assert [result.number for result in resumed] == [2, 3]
    np.testing.assert_array_equal(resumed[-1].probabilities, whole[-1].probabilities)


def test_divergence_is_said_with_its_place() -> None:
    with pytest.raises(TrainingError, match=r"loss is nan in epoch 1, step \d"):
        fit = start()
        with torch.no_grad():
            next(fit.net.parameters()).fill_(float("nan"))
        run(fit)


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b"", lambda data: b"junk" * 100])
def test_damaged_checkpoint_is_refused(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "state.pt"
    start().save(path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]  # a parameter of the test
    with pytest.raises(TrainingError, match="checkpoint is damaged"):
        start().load(path)


def test_positive_weights_are_bounded() -> None:
    weights = positive_weights([0, 1, 100, 199, 200], 200)
    assert weights.tolist() == pytest.approx([MAX_WEIGHT, MAX_WEIGHT, 1, 1, 1])


def test_thresholds_maximise_f1_and_distrust_rare_classes() -> None:
    scores = np.linspace(0, 1, 200, dtype=np.float32)[:, None].repeat(3, 1)
    labels = np.zeros((200, 3), np.uint8)
    labels[40:, 0] = 1  # many positives from 0.2 up
    labels[[41, 199], 1] = 1  # two positives
    thresholds = fit_thresholds(scores, labels)
    assert thresholds[0] == pytest.approx(0.2, abs=0.05)
    assert abs(thresholds[1] - 0.5) < 0.2
    assert thresholds[2] == 0.5


def test_unknown_model_and_device() -> None:
    with pytest.raises(SettingsError, match='Did you mean "resnet18"'):
        create_net("resnet8", mean=[0], std=[1], num_classes=2)
    with pytest.raises(TrainingError, match='no device "cuda:9"'):
        pick_device("cuda:9")
