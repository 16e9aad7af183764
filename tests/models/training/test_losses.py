"""Losses: equal to their formulas, stable where formulas are not, and what sampling draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from torch import Tensor

from models.settings import Loss, TrainSettings
from models.training.losses import MAX_WEIGHT, create_loss, positive_weights
from models.training.sampling import sample_weights
from pipelines.errors import SettingsError, TrainingError

COUNTS, ROWS = [0, 3, 30, 80, 100], 100

LOSSES = {
    "bce": Loss(),
    "focal": Loss(name="focal"),
    "focal, steep": Loss(name="focal", gamma=0.5),
    "asymmetric": Loss(name="asymmetric"),
    "asymmetric, no margin": Loss(name="asymmetric", margin=0),
    "asymmetric, steep": Loss(name="asymmetric", margin=0, gamma_negative=0.1, gamma_positive=0.1),
    "asymmetric, steep with margin": Loss(name="asymmetric", margin=0.2, gamma_negative=0.1, gamma_positive=1),
    "soft-f1": Loss(name="soft-f1"),
    "hybrid": Loss(name="hybrid", f1_share=0.3),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def batch(rows: int = 12, seed: int = 0, soft: bool = False) -> tuple[Tensor, Tensor]:
    """float64 logits and labels of 5 classes; the first has no positives."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(rows, 5, generator=generator, dtype=torch.float64)
    labels = (torch.rand(rows, 5, generator=generator) < 0.4).double()
    labels[:, 0] = 0
    return logits, 0.7 * labels + 0.3 * labels.roll(1, 0) if soft else labels


def by_formula(loss: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    """As the papers write them, in plain float64."""
    p, y = 1 / (1 + torch.exp(-logits)), labels
    weights = positive_weights(COUNTS, ROWS).double()
    bce = -(weights * y * p.log() + (1 - y) * (1 - p).log()).mean()
    f1 = (2 * (p * y).sum(0) + loss.smoothing) / (p.sum(0) + y.sum(0) + loss.smoothing)
    if loss.name == "bce":
        return bce
    if loss.name == "focal":
        positive = weights * y * (1 - p) ** loss.gamma * p.log()
        return -(positive + (1 - y) * p**loss.gamma * (1 - p).log()).mean()
    if loss.name == "asymmetric":
        shifted = (p - loss.margin).clamp_min(0)
        negative = (1 - y) * shifted**loss.gamma_negative * (1 - shifted).log()
        return -(y * (1 - p) ** loss.gamma_positive * p.log() + negative).mean()
    share = 1.0 if loss.name == "soft-f1" else loss.f1_share
    return (1 - share) * bce + share * (1 - f1.mean())


@each_loss
@pytest.mark.parametrize("soft", [False, True])
def test_equal_to_the_formula(loss: Loss, soft: bool) -> None:
    logits, labels = batch(soft=soft)
    found = create_loss(loss, COUNTS, ROWS)(logits, labels)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, by_formula(loss, logits, labels), rtol=1e-9, atol=1e-12)


@each_loss
def test_smoothed_labels_are_nearer_to_one_half(loss: Loss) -> None:
    logits, labels = batch()
    smoothed = loss.model_copy(update={"label_smoothing": 0.1})
    found = create_loss(smoothed, COUNTS, ROWS)(logits, labels)
    torch.testing.assert_close(found, create_loss(loss, COUNTS, ROWS)(logits, labels * 0.9 + 0.05))
    assert found != create_loss(loss, COUNTS, ROWS)(logits, labels)


@each_loss
@pytest.mark.parametrize("soft", [False, True])
def test_gradients_are_those_of_the_value(loss: Loss, soft: bool) -> None:
    logits, labels = batch(4, soft=soft)
    module = create_loss(loss, COUNTS, ROWS)
    assert torch.autograd.gradcheck(lambda each: module(each, labels), logits.requires_grad_())


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("labels", [0.0, 0.3, 1.0])
def test_extreme_logits_have_a_finite_loss_and_slope(loss: Loss, dtype: torch.dtype, labels: float) -> None:
    logits = torch.tensor([[-100, -30, 0, 30, 100], [100, 88, 0, -88, -100.0]], dtype=dtype, requires_grad=True)
    value = create_loss(loss, COUNTS, ROWS)(logits, torch.full((2, 5), labels))
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    value.backward()
    assert torch.isfinite(logits.grad).all()


@each_loss
def test_being_wrong_by_far_still_teaches(loss: Loss) -> None:
    """All but soft F1, whose slope goes with the sigmoid's, as its formula says."""
    logits = torch.tensor([[-100.0, 100.0]], requires_grad=True)
    create_loss(loss, [50, 50], 100)(logits, torch.tensor([[1.0, 0.0]])).backward()
    assert logits.grad is not None
    if loss.name != "soft-f1":
        assert logits.grad[0, 0] < -0.1
        assert logits.grad[0, 1] > (0.1 if loss.margin == 0 or loss.name != "asymmetric" else -1e-9)


@each_loss
def test_same_under_bf16_autocast(loss: Loss) -> None:
    logits, labels = (each.float() for each in batch())
    module = create_loss(loss, COUNTS, ROWS)
    with torch.autocast("cpu", torch.bfloat16):
        inside = module(logits, labels)
    assert torch.equal(inside, module(logits, labels))


@each_loss
def test_right_is_better_than_wrong(loss: Loss) -> None:
    _, labels = batch()
    module = create_loss(loss, COUNTS, ROWS)
    assert module(8 * labels - 4, labels) < module(torch.zeros_like(labels), labels) < module(4 - 8 * labels, labels)


def test_the_default_is_binary_cross_entropy_with_weighted_positives_to_the_bit() -> None:
    logits, labels = (each.float() for each in batch(64))
    today = torch.nn.BCEWithLogitsLoss(pos_weight=positive_weights(COUNTS, ROWS))
    assert torch.equal(create_loss(TrainSettings().loss, COUNTS, ROWS)(logits, labels), today(logits, labels))


@pytest.mark.parametrize(
    "same",
    [
        Loss(name="focal", gamma=0),
        Loss(name="hybrid", f1_share=0),
    ],
)
def test_losses_meet_where_their_parameters_say(same: Loss) -> None:
    logits, labels = batch()
    torch.testing.assert_close(create_loss(same, COUNTS, ROWS)(logits, labels), by_formula(Loss(), logits, labels))


def test_without_focus_and_margin_asymmetric_is_plain_cross_entropy() -> None:
    logits, labels = batch()
    found = create_loss(Loss(name="asymmetric", gamma_negative=0, margin=0), COUNTS, ROWS)(logits, labels)
    torch.testing.assert_close(found, torch.nn.functional.binary_cross_entropy_with_logits(logits, labels))


def test_asymmetric_learns_nothing_from_easy_negatives() -> None:
    logits = torch.tensor([[-3.0, 0.0]], requires_grad=True)  # probabilities 0.047 and 0.5
    create_loss(Loss(name="asymmetric"), [1, 1], 2)(logits, torch.zeros(1, 2)).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] == 0 < logits.grad[0, 1]


def test_soft_f1_of_sure_decisions_is_macro_f1() -> None:
    labels = batch(40)[1]
    decisions = batch(40, seed=1)[1]
    found = create_loss(Loss(name="soft-f1", smoothing=1e-3), COUNTS, ROWS)(200 * decisions - 100, labels)
    expected = f1_score(labels, decisions, average="macro", zero_division=1)
    assert 1 - found.item() == pytest.approx(expected, abs=1e-3)


def test_soft_f1_unlearns_a_class_that_the_batch_has_not() -> None:
    logits = torch.zeros(4, 1, requires_grad=True)
    create_loss(Loss(name="soft-f1"), [1], 100)(logits, torch.zeros(4, 1)).backward()
    assert logits.grad is not None
    assert (logits.grad > 0).all()


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"logits are \(2, 3\), labels \(2, 1\)"):
        create_loss(Loss(name="focal"), [1, 1, 1], 3)(torch.zeros(2, 3), torch.zeros(2, 1))


def test_positive_weights_are_bounded() -> None:
    weights = positive_weights([0, 1, 20, 100, 199, 200], 200)
    assert weights.tolist() == pytest.approx([MAX_WEIGHT, MAX_WEIGHT, 3, 1, 1, 1])
    assert positive_weights([0, 1, 20], 200, largest=1).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "hinge"}, "loss.name: input should be 'bce'"),
        ({"gamma": -1}, "loss.gamma: input should be greater than or equal to 0"),
        ({"margin": 0.6}, "loss.margin: input should be less than or equal to 0.5"),
        ({"smoothing": 0}, "loss.smoothing: input should be greater than or equal to 0.001"),
        ({"max_positive_weight": 0.5}, "loss.max_positive_weight: input should be greater than or equal to 1"),
        ({"alpha": 1}, 'unknown key "loss.alpha"'),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        TrainSettings.parse({"loss": wrong})


def test_a_rare_class_is_drawn_by_the_square_root() -> None:
    """100 rows: all have the first class, four the second too, one the third too."""
    labels = np.zeros((100, 3), np.uint8)
    labels[:, 0] = 1
    labels[:5, 1] = [1, 1, 1, 1, 0]
    labels[4, 2] = 1
    weights = sample_weights(labels)
    assert (weights / weights[99]).tolist() == pytest.approx([5] * 4 + [10] + [1] * 95)
    assert weights.mean() == pytest.approx(1)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 50), st.integers(1, 6), st.floats(0, 1))
def test_sampling_weights_hang_on_the_labels_alone(seed: int, rows: int, classes: int, share: float) -> None:
    labels = (np.random.default_rng(seed).random((rows, classes)) < share).astype(np.uint8)
    weights = sample_weights(labels)
    assert weights.shape == (rows,)
    assert weights.dtype == np.float64
    assert (weights > 0).all()
    assert weights.max() / weights.min() <= np.sqrt(rows) * (1 + 1e-12)
    np.testing.assert_allclose(sample_weights(np.tile(labels, (3, 1))), np.tile(weights, 3))
    np.testing.assert_allclose(sample_weights(labels[::-1, ::-1]), weights[::-1])
    counts = np.where(labels.any(axis=1), np.where(labels, labels.sum(axis=0), rows).min(axis=1, initial=rows), 0)
    counts[counts == 0] = (~labels.any(axis=1)).sum()
    order = np.argsort(counts, kind="stable")
    assert (np.diff(weights[order]) <= 1e-12).all()  # the rarer, the more
