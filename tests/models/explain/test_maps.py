"""Heat maps: they lie where the evidence is, hang on the weights, and say so where there is none."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from models.bundle.weights import Bundle
from models.explain.maps import METHODS, HeatMap, explain, explain_each
from models.explain.target_layer import cam_target
from models.nets.build import ReflectanceNet
from pipelines.errors import BundleError, LabelError, SettingsError
from tests.models.seen import CORNER, LABELS, corners, fresh, learned

SIZE = 64
ROUNDED = 1e-6
"""Maps from 0 to 1 that are the same in float64 differ by no more once they are kept in float32."""

pytestmark = pytest.mark.usefixtures("one_thread")


NETS = {"landnet-s": 25, "test_resnet": 25, "test_efficientnet": 25, "test_convnext": 25, "test_vit": 80}
"""What learns to find a bright corner, and in how many steps."""


@cache
def taught(name: str) -> Bundle:
    return learned(name, SIZE, NETS[name])


@pytest.fixture(params=["landnet-s", "test_resnet", "test_efficientnet"])
def trained(request: pytest.FixtureRequest) -> Bundle:
    """Nets whose last grid still lies where the patch's pixels do; see docs/explain.md for a ViT's."""
    return taught(request.param)


def bright(rows: int = 60) -> tuple[Tensor, list[int]]:
    """Patches with a bright corner, and which corner it is."""
    images, labels, places = corners(rows, SIZE, 999)
    has = labels[:, 0] == 1
    return images[has], places[has].tolist()


@pytest.mark.parametrize("method", METHODS)
def test_a_grid_of_one_cell_is_said_to_tell_no_place(method: str) -> None:
    bundle = fresh("test_resnet", 32)
    found = {label: explain(bundle, corners(1, 32, 1)[0], label, method)[0] for label in LABELS}
    seen = {label: heat for label, heat in found.items() if heat.evidence}
    assert seen and all(np.ptp(heat.heat) < 1e-6 for heat in seen.values())
    assert all(f'one cell, which speaks for "{label}"' in heat.remark(label) for label, heat in seen.items())
    assert {heat.caveat for heat in seen.values()} == {"one cell: not told where"}
    assert not any(heat.blind for heat in explain(fresh("test_resnet", 64), corners(1, 64, 1)[0], LABELS[0], method))


def test_one_patch_alone_gets_the_map_that_it_gets_in_a_batch() -> None:
    bundle, images = fresh("test_convnext", 50), corners(3, 50, 2)[0]
    bundle.net.double()
    for method in METHODS:
        together = explain(bundle, images, LABELS[1], method)
        for image, heat in zip(images, together, strict=True):
            alone = explain(bundle, image[None], LABELS[1], method)[0]
            assert alone.evidence == heat.evidence
            np.testing.assert_allclose(alone.heat, heat.heat, rtol=0, atol=ROUNDED)


def test_a_net_that_serves_is_explained_too() -> None:
    bundle, images = fresh("landnet-s", 40), corners(1, 40, 3)[0]
    expected = explain(bundle, images, LABELS[0])[0]
    with torch.inference_mode():
        found = explain(bundle, images * 1, LABELS[0])[0]
    np.testing.assert_array_equal(found.heat, expected.heat)


@pytest.mark.parametrize("method", METHODS)
def test_heat_lies_in_the_corner_that_decides(trained: Bundle, method: str) -> None:
    images, places = bright()
    half, shares = SIZE // 2, []
    for heat, place in zip(explain(trained, images, "Bright corner", method), places, strict=True):
        assert heat.evidence
        down, right = divmod(place, 2)
        quarter = heat.heat[down * half :, right * half :][:half, :half]
        shares.append(quarter.sum() / heat.heat.sum())
    chance = 1 / 4
    assert np.median(shares) > 1.6 * chance
    assert np.mean(np.array(shares) > chance) > 0.9


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("method", METHODS)
def test_maps_hang_on_the_weights(name: str, method: str) -> None:
    """Adebayo et al., "Sanity checks for saliency maps", 2018: what stays when weights are random explains nothing.

    Of one random net the map may be like it: a bright corner stirs any net, and half of them take it for evidence.
    """
    images, _ = bright(16)
    trained = taught(name)
    before = explain(trained, images, "Bright corner", method)
    nudged, random = fresh(name, SIZE), [fresh(name, SIZE, seed=seed) for seed in range(1, 9)]
    state = trained.net.state_dict()
    nudged.net.load_state_dict({key: each * 1.001 if each.is_floating_point() else each for key, each in state.items()})
    assert likeness(before, explain(nudged, images, "Bright corner", method)) > 0.95
    found = [likeness(before, explain(each, images, "Bright corner", method)) for each in random]
    assert np.mean(found) < 0.6


def likeness(one: list[HeatMap], other: list[HeatMap]) -> float:
    """Median rank correlation; a map that says nothing is like none."""
    pairs = zip(one, other, strict=True)
    return float(
        np.median([spearmanr(a.heat.ravel(), b.heat.ravel())[0] if a.evidence and b.evidence else 0 for a, b in pairs])
    )


@pytest.mark.parametrize("method", METHODS)
def test_classes_have_maps_of_their_own(trained: Bundle, method: str) -> None:
    images, _ = bright(30)
    maps = [explain(trained, images, label, method) for label in LABELS]
    assert likeness(*maps) < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_what_speaks_against_a_class_is_no_evidence_for_it(method: str) -> None:
    """Classes whose weights are all negative, all positive and all zero, over channels that are never negative."""
    bundle = fresh("test_resnet", SIZE, ("against", "for", "neither"))
    head = bundle.net.backbone.get_submodule("fc")
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[-1.0], [1.0], [0.0]]).expand_as(head.weight))
    images = corners(2, SIZE, 4)[0]
    found = {label: explain(bundle, images, label, method) for label in bundle.config.label_names}
    assert {label: [each.evidence for each in maps] for label, maps in found.items()} == {
        "against": [False, False],
        "for": [True, True],
        "neither": [False, False],
    }
    assert not any(each.heat.any() for label in ("against", "neither") for each in found[label])
    assert found["against"][0].remark("Sea") == 'No positive evidence: nothing in this patch speaks for "Sea".'
    assert found["for"][0].remark("Sea") == ""


def test_evidence_that_is_the_same_everywhere_is_evidence() -> None:
    """Scaled from its least to its most, as the library does, it would look like none."""

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Conv2d(2, 2, 1, bias=False)
            nn.init.ones_(self.features.weight)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.features(x).mean((2, 3))
            return found

    template = fresh("landnet-s", 40)
    bundle = Bundle(template.config, ReflectanceNet(Flat(), [0.0] * 2, [1.0] * 2).eval())
    for method in METHODS:
        heat = explain(bundle, torch.full((1, 2, 8, 8), 3.0), LABELS[0], method)[0]
        assert heat.evidence
        np.testing.assert_array_equal(heat.heat, 1)


def test_ablation_weighs_by_what_the_logit_loses() -> None:
    """After a ReLU and before a mean and a linear layer, the loss is known: weight times mean."""
    bundle, images = fresh("test_resnet", SIZE), corners(1, SIZE, 6)[0]
    backbone = bundle.net.double().backbone
    with torch.no_grad():
        grid = backbone.forward_features(bundle.net.prepare(images))  # type: ignore[operator]  # timm's
        weight = backbone.get_submodule("fc").weight[0]
        expected = torch.einsum("c,bchw->bhw", weight * grid.mean((2, 3))[0], grid).clamp_min(0)
        expected = nn.functional.interpolate(expected[None], (SIZE, SIZE), mode="bilinear")[0]
    heat = explain(bundle, images, LABELS[0], "ablationcam")[0]
    np.testing.assert_allclose(heat.heat, (expected / expected.max())[0], rtol=0, atol=ROUNDED)


def test_each_patch_gets_the_classes_that_are_wanted_of_it() -> None:
    bundle, images = fresh("landnet-s", 40), corners(3, 40, 7)[0]
    bundle.net.double()
    wanted = [("Dark corner",), (), ("Dark corner", "Bright corner")]
    found = explain_each(bundle, images, wanted)
    assert [tuple(heats) for heats in found] == wanted
    alone = explain(bundle, images[2:], "Bright corner")[0]
    np.testing.assert_allclose(found[2]["Bright corner"].heat, alone.heat, rtol=0, atol=ROUNDED)


@pytest.mark.parametrize("name", ["eva02_tiny_patch14_224", "beit_base_patch16_224"])
def test_transformers_that_keep_their_blocks_in_a_list_are_looked_at_in_the_last(name: str) -> None:
    net = fresh(name, SIZE).net
    layer, _ = cam_target(name, net)
    assert layer is net.backbone.get_submodule("blocks.11.norm1")


@pytest.mark.parametrize("name", ["cait_xxs24_224", "xcit_nano_12_p8_224"])
def test_a_class_token_that_comes_in_late_is_not_cut_off_before(name: str) -> None:
    bundle = fresh(name, SIZE)
    layer, reshape = cam_target(name, bundle.net)
    tokens, grid = list[Tensor](), bundle.net.recipe.padded(SIZE) // (16 if "cait" in name else 8)
    layer.register_forward_hook(lambda _module, _given, output: tokens.append(output))
    bundle.net(corners(2, SIZE, 1)[0])
    assert reshape is not None
    torch.testing.assert_close(reshape(tokens[0]), tokens[0].transpose(1, 2).reshape(2, -1, grid, grid))


def test_a_net_that_a_method_cannot_read_is_said_to_be_one() -> None:
    class Deaf(nn.Module):
        """No gradient comes to its grid."""

        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.features(x).detach().mean((2, 3)) * x.mean()
            return found

    template = fresh("landnet-s", 40)
    bundle = Bundle(template.config, ReflectanceNet(Deaf(), [0.0] * 2, [1.0] * 2).eval())
    with pytest.raises(SettingsError, match=r"gradcam finds nothing to look at in landnet-s"):
        explain(bundle, torch.full((1, 2, 8, 8), 3.0), LABELS[0])


def test_what_is_asked_wrongly_is_said() -> None:
    bundle, images = fresh("landnet-s", 40), corners(1, 40, 8)[0]
    with pytest.raises(SettingsError, match=r'unknown method "scorecam". Known: gradcam, ablationcam\.'):
        explain(bundle, images, LABELS[0], "scorecam")
    with pytest.raises(LabelError, match=r'unknown class "Bright korner"\. Did you mean "Bright corner"'):
        explain(bundle, images, "Bright korner")
    images[0, 0, 0, 0] = torch.inf
    for method in METHODS:
        with pytest.raises(BundleError, match="not finite"):
            explain(bundle, images, LABELS[0], method)
    assert all(each.requires_grad for each in bundle.net.parameters())


def test_the_corner_is_smaller_than_a_quarter() -> None:
    assert 2 * CORNER < SIZE
