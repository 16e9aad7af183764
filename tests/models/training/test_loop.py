"""The fit loop: it learns, it repeats itself bit for bit, it goes on where it stopped, it says when it diverged."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.device import pick_device
from models.measure.evaluate import evaluate
from models.measure.thresholds import fit_thresholds
from models.nets.build import ReflectanceNet, create_net
from models.settings import TrainSettings
from models.training.fit_state import load, save
from models.training.loop import EpochResult, Fit
from models.training.losses import MAX_WEIGHT, positive_weights
from pipelines.errors import SettingsError, TrainingError
from tests.models.bright import bright_or_dark

CPU = torch.device("cpu")
ONE_ROUNDING = 2 * float(np.finfo(np.float32).eps)
"""Relative: how far two float32 lie apart that were rounded from the same float64, or nearly the same."""

pytestmark = pytest.mark.usefixtures("one_thread")


def start(model: str = "landnet-s", **settings: object) -> Fit:
    parsed = TrainSettings.parse({"model": model, "epochs": 3, "batch_size": 16, "seed": 3, **settings})
    net = create_net(model, mean=[1000.0], std=[500.0], bands=["B04"], num_classes=2, image_size=24, seed=parsed.seed)
    return Fit(net, parsed, 24, CPU)


def run(fit: Fit) -> list[EpochResult]:
    return list(fit.epochs(bright_or_dark(64, 0), bright_or_dark(32, 1)))


@pytest.mark.parametrize("model", ["landnet-s", "test_resnet"])
def test_it_learns_what_can_be_learned(model: str) -> None:
    results = run(start(model, epochs=8, learning_rate=3e-3))
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
    save(first, tmp_path / "state.pt")
    second = start(augment=augment)
    load(second, tmp_path / "state.pt")
    resumed = run(second)
    assert [result.number for result in resumed] == [2, 3]
    np.testing.assert_array_equal(resumed[-1].probabilities, whole[-1].probabilities)


EVERYTHING = {
    "augment": {"rotation": 20, "mixup": 0.4},
    "loss": {"name": "hybrid"},
    "ema": 0.9,
    "accumulate": 3,
    "sampling": "weighted",
    "schedule": "plateau",
    "plateau_patience": 1,
    "learning_rate": 5e-3,
    "epochs": 4,
}


@pytest.mark.parametrize("settings", [{}, EVERYTHING, {"precision": "bf16"}, {"precision": "fp16", "epochs": 1}])
def test_fit_interrupted_within_an_epoch_continues_bit_for_bit(settings: dict[str, object], tmp_path: Path) -> None:
    whole = start(**settings)
    results = run(whole)
    place = (len(results) - 1, 2)

    def stop(fit: Fit) -> None:
        if (fit.done, fit.step) == place:
            save(fit, tmp_path / "state.pt")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(start(**settings).epochs(bright_or_dark(64, 0), bright_or_dark(32, 1), stop))
    resumed = start(**settings)
    load(resumed, tmp_path / "state.pt")
    torch.manual_seed(99)  # whatever happens between loading and going on
    (last,) = run(resumed)
    assert last.train_loss == results[-1].train_loss
    for net, other in ((whole.net, resumed.net), (whole.kept, resumed.kept)):
        for name, tensor in net.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name


def linear(**settings: object) -> Fit:
    """A net without batch norm, in float64: what is the same but for the order of its sums is so to 1e-12."""
    parsed = TrainSettings.parse({"epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "seed": 3, **settings})
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(24 * 24, 2))
    return Fit(ReflectanceNet(backbone, [1000.0], [500.0]).double(), parsed, 24, CPU)


def test_a_batch_cut_into_parts_learns_the_same() -> None:
    whole, parts = linear(), linear(accumulate=5)
    sizes: list[int] = []
    parts.net.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    for one, other in zip(run(whole), run(parts), strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-6)
        np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=ONE_ROUNDING)
    assert sizes[:5] == [4, 3, 3, 3, 3]


def test_a_last_batch_of_one_patch_is_joined_to_the_one_before() -> None:
    fit = start(epochs=1)
    sizes: list[int] = []
    fit.net.register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])) if net.training else None)
    list(fit.epochs(bright_or_dark(65, 0), bright_or_dark(32, 1)))
    assert sizes == [16, 16, 16, 17]
    assert fit.steps(65) == 4


def test_batch_norm_of_a_single_patch_is_refused() -> None:
    with pytest.raises(SettingsError, match="batch norm needs 2 patches a step"):
        run(start(batch_size=1))
    with pytest.raises(SettingsError, match="batch norm needs 2 patches a step"):
        list(start().epochs(bright_or_dark(1, 0), bright_or_dark(32, 1)))
    assert len(run(linear(batch_size=1))) == 2, "a net without batch norm may"


def test_the_mean_of_the_weights_is_what_is_evaluated_and_kept() -> None:
    fit = start(ema=0.99, epochs=1)
    (result,) = run(fit)
    assert fit.kept is not fit.net
    again = evaluate(fit.kept, bright_or_dark(32, 1), 24, CPU)
    np.testing.assert_array_equal(result.logits, again.logits)
    assert not np.array_equal(evaluate(fit.net, bright_or_dark(32, 1), 24, CPU).logits, again.logits)


@pytest.mark.parametrize(("clip", "shortened"), [(0.01, True), (0, False)])
def test_gradients_are_no_longer_than_the_settings_allow(clip: float, shortened: bool) -> None:
    fit = start(epochs=1, clip=clip)
    run(fit)
    length = torch.cat([each.grad.flatten() for each in fit.net.parameters() if each.grad is not None]).norm()
    assert (length <= 0.01001) == shortened


@pytest.mark.parametrize(("precision", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_activations_have_the_precision_asked_for_and_weights_stay_float32(
    precision: str, expected: torch.dtype
) -> None:
    fit = start(epochs=1, precision=precision)
    seen: set[tuple[bool, torch.dtype]] = set()
    fit.net.register_forward_hook(lambda net, inputs, logits: seen.add((net.training, logits.dtype)))
    (result,) = run(fit)
    assert seen == {(True, expected), (False, torch.float32)}
    assert {each.dtype for each in fit.net.parameters()} == {torch.float32}
    served = evaluate(fit.kept, bright_or_dark(32, 1), 24, CPU)
    np.testing.assert_array_equal(result.logits, served.logits, "thresholds are fitted on what will be served")


@pytest.mark.parametrize("room", [1, 5, 64])
def test_a_batch_that_does_not_fit_into_memory_is_scored_in_parts(room: int) -> None:
    net, sizes = linear().net.eval(), list[int]()

    def ask(_: nn.Module, inputs: tuple[Tensor]) -> None:
        if len(inputs[0]) > room:
            torch.empty(10**15, dtype=torch.uint8)
        sizes.append(len(inputs[0]))

    rows = bright_or_dark(70, 1)
    whole = evaluate(net, rows, 24, CPU).logits
    net.register_forward_pre_hook(ask)
    np.testing.assert_allclose(evaluate(net, rows, 24, CPU).logits, whole, rtol=ONE_ROUNDING)
    assert (sum(sizes), max(sizes) <= room) == (70, True)


def test_rare_classes_come_more_often_where_sampling_is_weighted() -> None:
    rows = bright_or_dark(256, 0)
    rows.chunks[0]["labels"][:, 1] = np.arange(256) < 8
    rows.chunks[0]["B04"][:8] = 60_000
    drawn = {}
    for sampling in ("shuffled", "weighted"):
        fit = linear(epochs=1, sampling=sampling)
        rare: list[int] = []
        fit.net.register_forward_pre_hook(lambda _, inputs, rare=rare: rare.append(int((inputs[0] > 50_000).sum())))
        list(fit.epochs(rows, bright_or_dark(32, 1)))
        drawn[sampling] = sum(rare) // 24**2
    assert drawn["shuffled"] == 8
    assert 16 < drawn["weighted"] < 64, "29 are expected: sqrt(256 / 8) against sqrt(2) for the 248 others"


def test_divergence_is_said_with_its_place() -> None:
    with pytest.raises(TrainingError, match=r"loss is nan in epoch 1, step \d"):
        fit = start()
        with torch.no_grad():
            next(fit.net.parameters()).fill_(float("nan"))
        run(fit)


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path) -> None:
    fit = start()
    with torch.no_grad():
        next(fit.net.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="weights are no numbers"):
        save(fit, tmp_path / "state.pt")
    assert not list(tmp_path.iterdir())


class Greedy(nn.Module):
    """Asks for a petabyte."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.empty(10**15, dtype=torch.uint8, device=images.device)


def test_out_of_memory_says_what_to_lower() -> None:
    parsed = TrainSettings(batch_size=16)
    fit = Fit(ReflectanceNet(nn.Sequential(nn.Conv2d(1, 1, 1), Greedy()), [0.0], [1.0]), parsed, 24, CPU)
    with pytest.raises(TrainingError, match=r"a step of 16 patches of 24 px does not fit.* --accumulate"):
        run(fit)


def test_a_net_that_cannot_be_compiled_is_refused() -> None:
    from torch._inductor import config

    without = config.patch({"cpp.cxx": (None, "/nonexistent"), "force_disable_caches": True})
    with without, pytest.raises(SettingsError, match=r"compile: the net cannot be compiled .* C\+\+ compiler"):
        run(linear(compile=True))


def test_a_compiled_net_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced, but not turned into machine code: that takes a compiler, and a minute."""
    traced = partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", traced)
    plain, compiled = start(epochs=1, ema=0.9), start(epochs=1, ema=0.9, compile=True)
    np.testing.assert_array_equal(run(plain)[0].logits, run(compiled)[0].logits)
    assert plain.net.state_dict().keys() == compiled.net.state_dict().keys()


def test_empty_splits_are_refused() -> None:
    with pytest.raises(TrainingError, match="no patches to learn from"):
        list(start().epochs(bright_or_dark(0, 0), bright_or_dark(32, 1)))
    with pytest.raises(TrainingError, match="no patches to validate on"):
        list(start().epochs(bright_or_dark(64, 0), bright_or_dark(0, 1)))


def test_a_state_of_another_net_or_other_settings_is_refused(tmp_path: Path) -> None:
    save(start(), tmp_path / "state.pt")
    for other in (start("test_resnet"), start(ema=0.9), linear()):
        with pytest.raises(TrainingError, match="checkpoint does not fit these settings"):
            load(other, tmp_path / "state.pt")


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b"", lambda data: b"junk" * 100])
def test_damaged_checkpoint_is_refused(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "state.pt"
    save(start(), path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]  # a parameter of the test
    with pytest.raises(TrainingError, match="checkpoint is damaged"):
        load(start(), path)


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
        create_net("resnet8", mean=[0], std=[1], bands=["B04"], num_classes=2)
    with pytest.raises(SettingsError, match='no device "cuda:99"'):
        pick_device("cuda:99")
