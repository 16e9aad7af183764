"""Calibration: never worse, finds a known optimum, distrusts what is rare, and does not care for order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from numpy.typing import NDArray

from models.measure.calibrate import (
    TEMPERATURES,
    Calibration,
    calibration_effect,
    fit_calibration,
    fit_temperature,
)
from pipelines.errors import InputError
from tests.models.measure.drawn import Split, splits


def entropy(logits: NDArray[np.float32], labels: NDArray[np.uint8], temperature: float) -> float:
    signed = np.where(labels == 1, -1, 1) * logits.astype(np.float64) / temperature
    return float(np.logaddexp(0, signed).mean())


def certain(rows: int, temperature: float, seed: int = 0) -> Split:
    """Labels drawn with the probabilities that the logits have at this temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 3, (rows, 4)).astype(np.float32)
    return logits, (rng.random(logits.shape) < 1 / (1 + np.exp(-logits / temperature))).astype(np.uint8)


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0, 2.5, 6.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    assert fit_temperature(*certain(20_000, temperature)) == pytest.approx(temperature, rel=0.05)


@settings(deadline=None)
@given(splits())
def test_no_temperature_nearby_is_better_and_one_is_never_better(split: Split) -> None:
    logits, labels = split
    found = fit_temperature(logits, labels)
    lowest, highest = TEMPERATURES
    assert lowest <= found <= highest
    if found != 1:
        reached = entropy(logits, labels, found)
        assert reached < entropy(logits, labels, 1)
        for other in (found * 0.98, found * 1.02):
            assert not lowest <= other <= highest or reached <= entropy(logits, labels, other) + 1e-12


@pytest.mark.parametrize(
    ("logits", "labels", "expected"),
    [
        ([[3.0], [-2.0]], [[0], [0]], 1.0),  # no positives
        ([[3.0], [-2.0]], [[1], [1]], 1.0),  # nothing but positives
        ([[0.0], [0.0]], [[1], [0]], 1.0),  # the net says nothing
        ([[1e4], [-1e4]], [[1], [0]], 1.0),  # right beyond what float64 can tell
        ([[1.0], [-1.0]], [[1], [0]], TEMPERATURES[0]),  # right everywhere: any sharper is better
        ([[1.0], [-1.0]], [[0], [1]], TEMPERATURES[1]),  # wrong everywhere
        ([[100.0], [-100.0]], [[0], [1]], TEMPERATURES[1]),
    ],
)
def test_a_temperature_that_cannot_be_learned_is_one_or_a_bound(
    logits: list[list[float]], labels: list[list[int]], expected: float
) -> None:
    assert fit_temperature(np.array(logits, np.float32), np.array(labels, np.uint8)) == pytest.approx(expected)


@pytest.mark.parametrize("logits", [np.full((2, 1), np.nan), np.full((2, 1), np.inf), np.zeros((3, 1))])
def test_logits_that_are_none_are_refused(logits: NDArray[np.float64]) -> None:
    with pytest.raises(InputError, match="logits"):
        fit_temperature(logits, np.array([[1], [0]]))


def test_probabilities_are_the_ones_that_the_loop_gives() -> None:
    logits = torch.randn(20, 3)
    expected = torch.sigmoid(logits / 1.7).float().numpy()
    np.testing.assert_array_equal(Calibration(1.7, []).probabilities(logits.numpy()), expected)


@pytest.mark.parametrize(("beta", "key"), [(1.0, "f1_macro"), (2.0, "f2_macro")])
def test_a_calibration_fitted_on_validation_helps_on_test(beta: float, key: str) -> None:
    calibration = fit_calibration(*certain(4000, 2.5), beta)
    effect = calibration_effect(calibration, *certain(4000, 2.5, seed=1), list("abcd"))
    assert list(effect) == ["without", "with"]
    plain, fitted = effect["without"], effect["with"]
    assert fitted["ece"] < 0.3 * plain["ece"]  # type: ignore[operator]  # there are labels
    assert fitted["bce"] < plain["bce"]  # type: ignore[operator]
    assert fitted[key] > plain[key] + 0.01  # type: ignore[operator]


def test_no_calibration_changes_nothing() -> None:
    logits, labels = certain(50, 1.5)
    effect = calibration_effect(Calibration(1.0, [0.5] * 4), logits, labels, list("abcd"))
    assert effect["with"] == effect["without"]
    assert effect["with"]["bce"] == pytest.approx(entropy(logits, labels, 1))
