"""The regression is scikit-learn's, folded into the features' own scale; its strength is the one that is liked best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.probe.fit import STRENGTHS, fit, path, scale_of
from models.probe.neighbours import COUNTS, Neighbours

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(rows: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Features of very different scales, the third always the same; three classes that depend on them, with noise."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(rows, 4))
    logits = plain @ np.random.default_rng(1).normal(size=(4, 3)) * 2 + rng.logistic(size=(rows, 3))
    features = plain * (1, 100, 0, 0.01) + (0, 5000, 7, 0)
    return features.astype(np.float32), (logits > 0).astype(np.uint8)


def likes(strength: float) -> Callable[[Any], float]:
    """A judge to whom so strong a penalty, and each as far from it in the list, is worth most."""
    asked = iter(STRENGTHS)
    return lambda _: -abs(STRENGTHS.index(next(asked)) - STRENGTHS.index(strength))


@pytest.mark.parametrize("strength", STRENGTHS[::4])
def test_it_is_scikit_learns_regression_on_standardised_features(strength: float) -> None:
    features, labels = drawn(300)
    found = fit(features, labels, features[:5], likes(strength))
    assert (found.strength, list(found.tried)) == (strength, list(STRENGTHS))
    scaled = scale_of(features)(features)
    for column in range(3):
        theirs = LogisticRegression(C=1 / (strength * len(labels)), tol=1e-8, max_iter=10_000)
        theirs.fit(scaled, labels[:, column])
        expected = theirs.decision_function(scaled)
        np.testing.assert_allclose(found.logits(features)[:, column], expected, atol=2e-3 * np.abs(expected).max())


def test_each_regression_of_the_path_stays_what_it_was() -> None:
    features, labels = drawn(100)
    found = list(path(features, labels))
    assert [each.strength for each in found] == list(STRENGTHS)
    sizes = [float(np.square(each.weight * features.std(0)).sum()) for each in found]
    assert sizes == sorted(sizes)
    chosen = fit(features, labels, features[:5], likes(STRENGTHS[4]))
    np.testing.assert_array_equal(chosen.weight, found[4].weight)


def test_of_equals_the_strongest_is_taken_and_flat_features_get_no_weight() -> None:
    features, labels = drawn(100)
    found = fit(features, labels, features, lambda _: 1.0)
    assert found.strength == max(STRENGTHS)
    assert (found.weight[:, 2] == 0).all()
    assert (found.weight[:, [0, 1, 3]] != 0).all()
    scaled = scale_of(features)(features)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(0), (1, 1, 0, 1), atol=1e-3)


def test_a_class_that_none_or_all_have_is_as_likely_as_it_was() -> None:
    features, labels = drawn(99)
    labels[:, 0], labels[:, 2] = 0, 1
    found = fit(features, labels, features, lambda _: 1.0)
    alone = fit(features, labels[:, [1]], features, lambda _: 1.0)
    logits = found.logits(features)
    np.testing.assert_allclose(logits[:, [0, 2]], np.broadcast_to((-np.log(199), np.log(199)), (99, 2)), rtol=1e-5)
    np.testing.assert_allclose(logits[:, 1], alone.logits(features)[:, 0], atol=1e-4)
    same = fit(features, labels[:, [0, 2]], features, lambda _: 1.0)
    np.testing.assert_allclose(same.logits(features), logits[:, [0, 2]], rtol=1e-5)


def test_the_nearest_neighbour_of_a_known_patch_is_itself() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(50, 8)).astype(np.float32), rng.integers(0, 2, (50, 3)).astype(np.uint8)
    known = Neighbours(features, labels)
    assert (known.probabilities(3 * features[:10], 1) == labels[:10]).all(), "length does not count"
    many = known.probabilities(features, 30)
    assert ((many >= 0) & (many <= 1)).all()
    assert ((many > 0.5) == labels).mean() > 0.9, "the nearer count more"
    for wanted in (1, 30):
        asked = iter(COUNTS)
        assert known.choose(features, lambda _, asked=asked, wanted=wanted: float(next(asked) == wanted)) == wanted
    assert known.choose(features, lambda _: 0.0) == 1, "of equals the fewest"
