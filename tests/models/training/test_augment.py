"""Augmentation: each function does what it says, sample by sample, and the same again from the same generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.settings import Augment, Loss, TrainSettings
from models.training.augment import MAX_DEVIATIONS, augment, erase, jitter, mixup, rotate, turn_and_flip
from models.training.losses import create_loss
from pipelines.errors import SettingsError

EVERYTHING = Augment(rotation=20, erasing=0.5, jitter=0.1, mixup=0.4)
ONE_BY_ONE = [
    Augment(),
    Augment(flips=False, rotation=20),
    Augment(flips=False, erasing=1),
    Augment(flips=False, jitter=0.1),
    Augment(flips=False, mixup=1),
]

seeds = st.integers(0, 2**32)


def drawing(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def patches(batch: int, bands: int = 3, size: int = 12, seed: int = 1) -> Tensor:
    """Digital numbers, no two alike, each band at its own level."""
    rng = np.random.default_rng(seed)
    pixels = rng.permutation(batch * bands * size * size).reshape(batch, bands, size, size) * 0.1 + 500
    return torch.from_numpy((pixels + 1000 * np.arange(bands)[:, None, None]).astype(np.float32))


def classes(batch: int, count: int = 5, seed: int = 2) -> Tensor:
    return torch.from_numpy((np.random.default_rng(seed).random((batch, count)) < 0.4).astype(np.float32))


@pytest.mark.parametrize("settings", [*ONE_BY_ONE, EVERYTHING, Augment(flips=False)])
@pytest.mark.parametrize("batch", [1, 16])
def test_form_is_kept_and_the_input_left_alone(settings: Augment, batch: int) -> None:
    images, labels = patches(batch), classes(batch)
    before = images.clone(), labels.clone()
    augmented, given_labels = augment(images, labels, settings, drawing())
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])
    for new, old in ((augmented, images), (given_labels, labels)):
        assert (new.shape, new.dtype, new.device) == (old.shape, old.dtype, old.device)
        assert new.is_contiguous()
        assert torch.isfinite(new).all()
        assert (new >= 0).all()


@pytest.mark.parametrize("settings", [*ONE_BY_ONE, EVERYTHING])
def test_same_generator_state_same_batch(settings: Augment) -> None:
    images, labels = patches(16), classes(16)
    generator = drawing(5)
    state = generator.get_state()
    first = augment(images, labels, settings, generator)
    second = augment(images, labels, settings, generator)
    generator.set_state(state)
    again = augment(images, labels, settings, generator)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("settings", ONE_BY_ONE[:4])
def test_each_sample_has_its_own_draw(settings: Augment) -> None:
    images = patches(1).repeat(32, 1, 1, 1)
    augmented, _ = augment(images, classes(32), settings, drawing())
    assert len({image.numpy().tobytes() for image in augmented}) >= 8


@pytest.mark.parametrize("settings", ONE_BY_ONE[:4])
def test_no_sample_sees_another_unless_mixed(settings: Augment) -> None:
    images, labels = patches(8), classes(8)
    whole, same = augment(images, labels, settings, drawing())
    others = images.clone()
    others[1:] = 0
    alone, _ = augment(others, labels, settings, drawing())
    assert torch.equal(whole[0], alone[0])
    assert torch.equal(same, labels)


def test_all_off_is_nothing_and_draws_nothing() -> None:
    images, labels, generator = patches(4), classes(4), drawing()
    before = generator.get_state()
    augmented, same = augment(images, labels, Augment(flips=False), generator)
    assert torch.equal(augmented, images)
    assert torch.equal(same, labels)
    assert torch.equal(generator.get_state(), before)


def test_everything_runs_in_the_order_that_is_said() -> None:
    images, labels = patches(6), classes(6)
    one, other = drawing(), drawing()
    step = turn_and_flip(images, one)
    step = rotate(step, 20, one)
    step = erase(step, 0.5, 0.2, one)
    step = jitter(step, 0.1, one)
    mixed, soft = mixup(step, labels, 0.4, one)
    got, got_labels = augment(images, labels, EVERYTHING, other)
    assert torch.equal(got, mixed)
    assert torch.equal(got_labels, soft)


def test_all_eight_symmetries_occur_as_drawn() -> None:
    image = torch.arange(25.0).view(1, 1, 5, 5)
    turned = turn_and_flip(image.repeat(64, 2, 1, 1), drawing())
    choice = torch.randint(8, (64,), generator=drawing()).tolist()
    assert set(choice) == set(range(8))
    for symmetry, sample in zip(choice, turned, strict=True):
        expected = torch.rot90(image[0, 0], symmetry % 4)
        expected = expected.flip(1) if symmetry >= 4 else expected
        assert torch.equal(sample, expected.expand(2, 5, 5))


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), seeds)
def test_a_symmetry_permutes_the_pixels_of_each_band(batch: int, bands: int, size: int, seed: int) -> None:
    images = patches(batch, bands, size)
    turned = turn_and_flip(images, drawing(seed))
    assert torch.equal(turned.flatten(2).sort().values, images.flatten(2).sort().values)


def test_rotation_by_nothing_changes_nothing() -> None:
    images = patches(4, size=24)
    torch.testing.assert_close(rotate(images, 0, drawing()), images, rtol=1e-3, atol=0)


@given(st.floats(0, 45), st.floats(0, 10_000, width=32), seeds)
def test_rotation_keeps_a_constant_patch(degrees: float, value: float, seed: int) -> None:
    images = torch.full((2, 2, 9, 9), value)
    torch.testing.assert_close(rotate(images, degrees, drawing(seed)), images, rtol=1e-5, atol=1e-6)


def test_rotation_turns_about_the_centre_by_up_to_what_is_said() -> None:
    """Ramps along x and y become ramps whose slopes are the cosine and the sine of the angle."""
    ramp = torch.arange(41.0).repeat(41, 1)
    images = torch.stack([ramp, ramp.T]).repeat(200, 1, 1, 1)
    turned = rotate(images, 30, drawing())
    centre = turned[:, :, 20, 20]
    torch.testing.assert_close(centre, images[:, :, 20, 20], rtol=0, atol=1e-4)
    slopes = torch.stack([turned[:, :, 20, 21] - centre, turned[:, :, 21, 20] - centre], dim=2)
    angles = torch.atan2(slopes[:, 1, 0], slopes[:, 0, 0])
    turns = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()], dim=1).view(-1, 2, 2)
    torch.testing.assert_close(slopes, turns, rtol=0, atol=1e-4)
    assert 29 < angles.rad2deg().max() < 30.01
    assert -30.01 < angles.rad2deg().min() < -29


@given(st.floats(0.05, 1), st.integers(2, 20), seeds)
def test_erasing_fills_one_rectangle_with_the_means_and_touches_nothing_else(
    largest: float, size: int, seed: int
) -> None:
    images = patches(6, 3, size)
    means = images.mean((2, 3), keepdim=True)
    changed = erase(images, 1.0, largest, drawing(seed)) != images
    hole = changed.any(dim=1, keepdim=True)  # no pixel equals its band's mean in every band
    assert torch.equal(erase(images, 1.0, largest, drawing(seed)), torch.where(hole, means, images))
    for sample in hole[:, 0]:
        rows, columns = sample.any(1).nonzero().flatten(), sample.any(0).nonzero().flatten()
        height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        assert sample.sum() == height * width
        assert 1 <= height * width <= max(4, largest * size * size)  # 4: pixels of a sliver, rounded up


def test_erasing_happens_as_often_as_is_said_and_anywhere() -> None:
    images = patches(1, 1, 10).repeat(2000, 1, 1, 1)
    hole = (erase(images, 0.3, 0.3, drawing()) != images)[:, 0]
    assert hole.any((1, 2)).float().mean() == pytest.approx(0.3, abs=0.04)
    assert hole.float().mean() == pytest.approx(0.3 * 0.15, rel=0.3)
    assert hole.any(0).all()
    assert torch.equal(erase(images, 0.0, 0.3, drawing()), images)


def test_jitter_scales_each_band_of_each_sample_by_its_own_factor() -> None:
    images = patches(500, 4, 4)
    factors = jitter(images, 0.1, drawing()) / images
    one = factors[:, :, :1, :1]
    torch.testing.assert_close(factors, one.expand_as(factors), rtol=1e-5, atol=0)
    assert len(one.flatten().unique()) > 1900
    assert one.mean() == pytest.approx(1, abs=0.01)
    assert one.std() == pytest.approx(0.1, rel=0.1)
    assert abs(torch.corrcoef(one[:, :, 0, 0].T)[0, 1]) < 0.2


def test_the_largest_jitter_that_can_be_set_leaves_reflectance_positive() -> None:
    images = torch.ones(20_000, 1, 1, 1)
    bright = jitter(images, Augment(jitter=0.3).jitter, drawing())
    assert bright.min() == pytest.approx(1 - 0.3 * MAX_DEVIATIONS)
    assert bright.max() == pytest.approx(1 + 0.3 * MAX_DEVIATIONS)


@given(st.sampled_from([0.01, 0.2, 1.0, 10.0]), st.integers(1, 9), seeds)
def test_mixup_mixes_labels_by_the_shares_of_the_images(alpha: float, batch: int, seed: int) -> None:
    """The shares are solved for from the images alone, and must explain the labels."""
    images, labels = patches(batch), torch.eye(batch)
    mixed, soft = mixup(images, labels, alpha, drawing(seed))
    shares = torch.linalg.lstsq(images.flatten(1).double().T, mixed.flatten(1).double().T).solution.T
    torch.testing.assert_close(soft.double(), shares, rtol=0, atol=1e-3)
    torch.testing.assert_close(soft.sum(1), torch.ones(batch))
    assert ((soft >= 0) & (soft <= 1)).all()
    assert ((soft > 0).sum(1) <= 2).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_mixup_draws_its_shares_from_beta(alpha: float) -> None:
    """A Beta(α, α) has mean 1/2 and variance 1 / (4 (2α + 1))."""
    generator = drawing()
    _, soft = mixup(torch.zeros(2000, 1, 1, 1), torch.eye(2000), alpha, generator)
    shares = soft.diagonal()
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)
    _, next_soft = mixup(torch.zeros(2000, 1, 1, 1), torch.eye(2000), alpha, generator)
    assert (next_soft.diagonal() == shares).float().mean() < 0.1


def test_loss_of_mixed_labels_is_the_mixed_loss() -> None:
    loss = create_loss(Loss(), [3, 50, 10, 80, 1], 100)
    logits = torch.randn(8, 5, generator=drawing(), dtype=torch.float64)
    one, other = classes(8, seed=3).double(), classes(8, seed=4).double()
    mixed = 0.3 * one + 0.7 * other
    torch.testing.assert_close(loss(logits, mixed), 0.3 * loss(logits, one) + 0.7 * loss(logits, other))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rotation": 46}, "augment.rotation: input should be less than or equal to 45"),
        ({"rotation": float("nan")}, "augment.rotation: input should be"),
        ({"erasing": 1.5}, "augment.erasing: input should be less than or equal to 1"),
        ({"erasing_area": 0}, "augment.erasing_area: input should be greater than 0"),
        ({"jitter": 0.5}, "augment.jitter: input should be less than or equal to 0.3"),
        ({"mixup": -1}, "augment.mixup: input should be greater than or equal to 0"),
        ({"mix_up": 1}, 'unknown key "augment.mix_up". Did you mean "mixup"?'),
        (False, "augment: input should be a valid dictionary"),
    ],
)
def test_impossible_settings_are_refused(wrong: object, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        TrainSettings.parse({"augment": wrong})
    assert said in str(caught.value)
