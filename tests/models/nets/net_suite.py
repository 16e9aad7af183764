"""What nets of every family must do alike, from their weights to their ONNX file. A family is tested by a class of two
lines: it names a small net and derives from `NetSuite`, or from `SeeingSuite` if the zoo knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from torch import Tensor, nn

from models.bundle.onnx_export import INPUT, OUTPUT, TOLERANCE, export_onnx
from models.bundle.weights import load_bundle, write_bundle
from models.explain.maps import METHODS, explain
from models.explain.target_layer import cam_target
from models.nets.build import ReflectanceNet, create_net
from models.nets.landnet import Block
from models.pretrained.load import load_pretrained
from models.settings import ExportSettings, TrainSettings
from models.training.fit_state import load, save
from models.training.loop import Fit
from pipelines.errors import BandError, SettingsError
from pipelines.pixels.patch import Patch
from tests.models.bright import bright_or_dark
from tests.models.seen import bundle_of

BANDS = ("B04", "B05", "B01", "B08")
MEAN, STD = (1000.0, 1100.0, 900.0, 1300.0), (300.0, 250.0, 200.0, 350.0)
LABELS = ("forest", "sea", "town")
SIZE = 50
"""Pixels a side of most patches here: one that most families must pad."""


def smaller(base: str, name: str, make: Callable[..., nn.Module] | None = None, **changes: Any) -> str:
    """Make timm know a net of the family of `base` with fewer blocks or channels, and give its name back.

    Args:
        make: builds it; `base` does if not given.
        changes: given to what builds it.
    """
    entrypoint = timm.model_entrypoint(base)

    @wraps(entrypoint)  # a model's module is its family
    def build(pretrained: bool = False, **given: Any) -> nn.Module:
        return (make or entrypoint)(pretrained=pretrained, **(changes | given))

    build.__name__ = name
    timm.models.register_model(build)
    return name


def weight_of_pixels(net: nn.Module, size: int) -> Tensor:
    """How much each pixel moves the logits: (size, size), 1 for the median pixel."""
    images = numbers(1, size).requires_grad_()
    logits = net(images)
    (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    assert images.grad is not None
    found = images.grad.abs().sum((0, 1))
    return found / found.median()


def numbers(rows: int, size: int) -> Tensor:
    """Patches of noise as bright and varied as the statistics say: float32 (rows, bands, size, size)."""
    drawn = torch.randn(rows, len(BANDS), size, size, generator=torch.Generator().manual_seed(size))
    return drawn * torch.tensor(STD).view(1, -1, 1, 1) + torch.tensor(MEAN).view(1, -1, 1, 1)


def lively_net(name: str, size: int = SIZE, **more: Any) -> ReflectanceNet:
    """A net whose scales are random too: as built, some are zero and hide what lies behind them."""
    given = {"mean": MEAN, "std": STD, "bands": BANDS, "num_classes": len(LABELS), "image_size": size, "seed": 0}
    net = create_net(name, **(given | more))
    generator = torch.Generator().manual_seed(1)
    for key, parameter in net.named_parameters():
        if parameter.squeeze().ndim <= 1 and key.endswith(("weight", "gamma", "scale")):
            parameter.data.uniform_(0.5, 1.5, generator=generator)
    return net.eval()


@pytest.mark.usefixtures("one_thread")
class SeeingSuite:
    name: str

    @pytest.fixture(scope="class")
    @classmethod
    def net(cls) -> ReflectanceNet:
        return lively_net(cls.name)

    @pytest.fixture(scope="class")
    @classmethod
    def bundle(cls, net: ReflectanceNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The net as a bundle. Its temperature is such that probabilities are spread from near 0 to near 1."""
        with torch.no_grad():
            spread = float(net(numbers(4, SIZE)).abs().max()) / 3
        rng = np.random.default_rng(0)
        example = Patch({band: rng.integers(400, 1600, (SIZE, SIZE), np.uint16) for band in BANDS})
        folder = tmp_path_factory.mktemp("bundle") / "bundle"
        config = bundle_of(net, cls.name, LABELS, SIZE, bands=BANDS, temperature=spread).config
        write_bundle(folder, net, config, {}, example)
        return folder

    @pytest.mark.parametrize("size", [20, 33, 50, 64, 120, 127])
    def test_every_pixel_moves_the_logits(self, size: int) -> None:
        net = lively_net(self.name, size)
        with torch.no_grad():
            assert net(numbers(3, size)).shape == (3, len(LABELS))
        weights = weight_of_pixels(net, size)
        assert weights.min() > 0
        assert min(weights.mean(0).min(), weights.mean(1).min()) > self.least(size)

    def least(self, size: int) -> float:
        """What a row or column at the edge counts at the least; 1 is the median pixel."""
        return 0.1

    @pytest.mark.parametrize("bands", [["B05"], [f"band{number}" for number in range(13)]], ids=len)
    def test_it_takes_the_bands_it_was_built_for_and_no_others(self, bands: list[str]) -> None:
        given = {"mean": [0.0] * len(bands), "std": [1.0] * len(bands), "bands": bands}
        net = lively_net(self.name, **given)
        with torch.no_grad():
            assert net(torch.rand(2, len(bands), SIZE, SIZE)).isfinite().all()
        for other in (1, 4, len(bands) + 1):
            if other != len(bands):
                with pytest.raises(BandError, match=f"{other} bands, and the net takes {len(bands)}"):
                    net(torch.rand(2, other, SIZE, SIZE))

    def test_the_seed_decides_the_weights_and_leaves_the_global_generator_alone(self) -> None:
        before = torch.random.get_rng_state()
        one, other, third = (lively_net(self.name, seed=seed).state_dict() for seed in (4, 4, 5))
        assert torch.equal(torch.random.get_rng_state(), before)
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert not all(torch.equal(one[key], third[key]) for key in one)

    def test_nets_share_nothing(self) -> None:
        """One that learns moves no other: not its weights, nor what its layers remember."""
        one, other = lively_net(self.name), lively_net(self.name)
        places = [{each.data_ptr() for each in chain(net.parameters(), net.buffers())} - {0} for net in (one, other)]
        assert not places[0] & places[1]
        images = numbers(4, SIZE)
        with torch.no_grad():
            before = other(images)
        one.train()(images).sum().backward()
        torch.optim.SGD(one.parameters(), lr=0.1).step()
        with torch.no_grad():
            assert torch.equal(other(images), before)
            assert not torch.equal(one.eval()(images), before)
        assert all(each.grad is None for each in other.parameters())

    def test_a_bundle_brings_the_same_net_back(self, net: ReflectanceNet, bundle: Path) -> None:
        loaded, images = load_bundle(bundle), numbers(2, SIZE)
        with torch.no_grad():
            assert torch.equal(loaded.net(images), net(images))
        assert loaded.net.recipe == net.recipe == loaded.config.architecture_arguments

    def test_the_order_of_bands_changes_nothing_but_their_places(self, net: ReflectanceNet, bundle: Path) -> None:
        """Their statistics and their weights go with them by name."""
        order = [2, 0, 3, 1]

        def turned(values: Sequence[Any]) -> list[Any]:
            return [values[place] for place in order]

        other = create_net(
            self.name,
            mean=turned(MEAN),
            std=turned(STD),
            bands=turned(BANDS),
            num_classes=len(LABELS),
            image_size=SIZE,
        ).eval()
        load_pretrained(other, self.name, str(bundle), bands=turned(BANDS), labels=LABELS)
        net, other, images = deepcopy(net).double(), other.double(), numbers(2, SIZE).double()
        with torch.no_grad():
            expected = net(images)
            torch.testing.assert_close(other(images[:, order]), expected, rtol=1e-9, atol=1e-9 * float(expected.std()))
            assert (other(images) - expected).abs().max() > 0.01 * expected.std()

    @pytest.mark.parametrize("method", METHODS)
    def test_it_is_explained_and_left_as_it_was(self, net: ReflectanceNet, method: str) -> None:
        bundle = bundle_of(net, self.name, LABELS, SIZE, bands=BANDS)
        images = numbers(2, SIZE)
        before = net(images)
        maps = [heat for label in LABELS for heat in explain(bundle, images, label, method)]
        assert len(maps) == 2 * len(LABELS)
        for heat in maps:
            assert (heat.heat.shape, heat.heat.dtype) == ((SIZE, SIZE), np.float32)
            assert np.isfinite(heat.heat).all()
            assert (heat.heat.min() >= 0, heat.heat.max()) == (True, float(heat.evidence))
            assert bool(heat.remark("x")) is (heat.blind or not heat.evidence)
        assert not [each for each in net.modules() if each._forward_hooks]
        assert all(each.requires_grad and each.grad is None for each in net.parameters())
        assert torch.equal(net(images), before)

    def test_what_is_looked_at_lies_as_the_patch_does(self) -> None:
        net = lively_net(self.name, 120).requires_grad_(False)
        layer, reshape = cam_target(self.name, net)
        grids: list[Tensor] = []
        handle = layer.register_forward_hook(lambda _net, _given, out: grids.append(reshape(out) if reshape else out))
        images = numbers(1, 120)
        net(images)
        images[..., :40, 80:] += 1000
        net(images)
        handle.remove()
        changed = (grids[1] - grids[0]).abs().sum((0, 1))
        half = changed.shape[0] // 2
        others = (changed[:half, :half], changed[-half:, :half], changed[-half:, -half:])
        assert changed[:half, -half:].mean() > 1.2 * max(each.mean() for each in others)
        bundle = bundle_of(net, self.name, LABELS, 120, bands=BANDS)
        assert max(explain(bundle, images, label)[0].heat.std() for label in LABELS) > 0.05


class NetSuite(SeeingSuite):
    has_depth = True
    """Whether whole blocks of it can be skipped in training."""

    def test_dropout_reaches_it(self) -> None:
        still, images = {"drop_path": 0.0} if self.has_depth else {}, numbers(8, SIZE)
        for dropout in (0, 0.4):
            net = lively_net(self.name, dropout=dropout, **still).train()
            with torch.no_grad():
                assert torch.equal(net(images), net(images)) == (not dropout)

    def test_stochastic_depth_reaches_it(self) -> None:
        if not self.has_depth:
            with pytest.raises(SettingsError, match=r"drop_path: .* has no stochastic depth"):
                lively_net(self.name, drop_path=0.3)
            return
        modules = list(lively_net(self.name, drop_path=0.3).modules())
        rates = [each.drop_prob for each in modules if isinstance(each, timm.layers.DropPath)]
        assert max(rates + [each.drop_path for each in modules if isinstance(each, Block)]) == pytest.approx(
            0.3, rel=0.35
        )

    def test_a_fit_that_was_interrupted_goes_on_to_the_same_weights(self, tmp_path: Path) -> None:
        settings = TrainSettings(model=self.name, epochs=2, batch_size=16, seed=3, dropout=0.2)

        def start() -> Fit:
            given: dict[str, Any] = {"mean": [1000.0], "std": [500.0], "bands": ["B04"], "num_classes": 2}
            return Fit(
                create_net(self.name, **given, image_size=24, seed=3, dropout=0.2), settings, 24, torch.device("cpu")
            )

        def run(fit: Fit, *after: Any) -> ReflectanceNet:
            list(fit.epochs(bright_or_dark(48, 0), bright_or_dark(16, 1), *after))
            return fit.net

        def stop(fit: Fit) -> None:
            if (fit.done, fit.step) == (1, 2):
                save(fit, tmp_path / "state.pt")
                raise KeyboardInterrupt

        whole = run(start())
        with pytest.raises(KeyboardInterrupt):
            run(start(), stop)
        resumed = start()
        load(resumed, tmp_path / "state.pt")
        torch.manual_seed(99)  # whatever happens between loading and going on
        for key, tensor in run(resumed).state_dict().items():
            assert torch.equal(tensor, whole.state_dict()[key]), key

    @pytest.mark.slow
    def test_its_onnx_file_gives_torchs_numbers(self, bundle: Path, tmp_path: Path) -> None:
        check_export(bundle, tmp_path / "model.onnx")


class ExportedSuite(NetSuite):
    """Exported in every run: convolutions, attention, and attention in windows. Others wait for the slow tests."""

    def test_its_onnx_file_gives_torchs_numbers(self, bundle: Path, tmp_path: Path) -> None:
        check_export(bundle, tmp_path / "model.onnx")


def check_export(bundle: Path, file: Path) -> None:
    """That a bundle can be exported, and the file says what the bundle says."""
    found = export_onnx(ExportSettings(source=bundle, out=file))
    assert found["patches"] == 1 + 1 + 2 + 5
    assert found["largest_difference"] <= TOLERANCE
    loaded, images = load_bundle(bundle), numbers(3, SIZE)
    with torch.inference_mode():
        expected = torch.sigmoid(loaded.net(images) / loaded.config.temperature).numpy()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (given,) = session.run([OUTPUT], {INPUT: images.numpy()})
    np.testing.assert_allclose(given, expected, rtol=0, atol=TOLERANCE)
    assert np.ptp(given) > 0.1
    onnx.checker.check_model(file, full_check=True)
