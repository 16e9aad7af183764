"""Importance of bands: exact for a net whose bands' weights are known, and by name."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from numpy.typing import NDArray
from torch import Tensor, nn

from models.bundle.weights import Bundle
from models.explain.band_importance import BandImportance, band_importance, draw_importance
from models.nets.build import ReflectanceNet
from pipelines.drawing.canvas import png_of, signed
from pipelines.errors import ShardError
from tests.models.seen import bundle_of, fresh

WEIGHTS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.0, 3.0]])  # (classes, bands); the second band counts for nothing
BANDS, CLASSES, TEMPERATURE = ("B02", "B08", "B11"), ("Sea", "Town"), 2.0


class ByMeans(nn.Module):
    """Logits are weighted means of the bands."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(WEIGHTS.clone())

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) @ self.weight.T


ROUNDED = 1e-6
"""What is computed in float64 and up to 16 large is off by no more once it is kept in float32."""


def known() -> Bundle:
    net = ReflectanceNet(ByMeans(), [500.0, 600.0, 700.0], [100.0, 200.0, 300.0]).double()
    return bundle_of(net, "landnet-s", CLASSES, 20, bands=BANDS, temperature=TEMPERATURE)


def patches(rows: int) -> Tensor:
    return torch.rand(rows, 3, 20, 20, generator=torch.Generator().manual_seed(rows)) * 1500


def test_change_is_what_the_band_had_added() -> None:
    bundle, images = known(), patches(5)
    found = band_importance(bundle, [images], 5)
    scaled = bundle.net.prepare(images).mean((2, 3))  # (rows, bands)
    added = torch.einsum("rb,cb->rbc", scaled, WEIGHTS.double())
    np.testing.assert_allclose(found.logits, -added.detach().numpy(), rtol=0, atol=ROUNDED)
    whole = scaled @ WEIGHTS.double().T
    shares = [torch.sigmoid(each / TEMPERATURE) for each in (whole[:, None] - added, whole[:, None])]
    np.testing.assert_allclose(found.probabilities, (shares[0] - shares[1]).detach().numpy(), rtol=0, atol=ROUNDED)
    assert not found.logits[:, 1].any()
    assert found.strength["B08"] == 0


def test_batches_change_nothing_and_are_told() -> None:
    told: list[tuple[int, int]] = []
    one = band_importance(known(), [patches(7)], 7)
    other = band_importance(known(), patches(7).split(3), 7, progress=lambda *done: told.append(done))
    np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=ROUNDED)
    assert told == [(3, 7), (6, 7), (7, 7)]


def test_a_batch_is_made_when_the_one_before_is_done() -> None:
    happened: list[str] = []

    def batches() -> Iterator[Tensor]:
        for number in range(3):
            happened.append(f"made {number}")
            yield patches(2)

    band_importance(known(), batches(), 6, progress=lambda done, _: happened.append(f"done {done}"))
    assert happened == ["made 0", "done 2", "made 1", "done 4", "made 2", "done 6"]


def test_a_net_of_the_zoo_gives_a_change_for_every_band() -> None:
    bundle = fresh("landnet-s", 40)
    images = torch.rand(2, 2, 40, 40, generator=torch.Generator().manual_seed(0)) * 3000
    kept = images.clone()
    found = band_importance(bundle, [images], 2)
    assert found.logits.shape == found.probabilities.shape == (2, 2, 2)
    assert (found.logits != 0).all()
    assert torch.equal(images, kept)


def test_no_patches_are_refused() -> None:
    with pytest.raises(ShardError, match="no patches to look at"):
        band_importance(known(), [], 0)


def test_table_and_figure_go_by_name() -> None:
    found = band_importance(known(), [patches(5)], 5)
    table = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert list(table) == list(BANDS)
    assert table["B11"]["logit"]["Town"] == pytest.approx(float(found.logits[:, 2, 1].mean()))
    assert table["B02"]["probability"]["Sea"] == pytest.approx(float(found.probabilities[:, 0, 0].mean()))
    figure = draw_importance(found, "test")
    png_of(figure)
    written = [each.get_text() for each in figure.findobj(Text)]
    assert {*BANDS, *CLASSES, "What the net decides by (test, 5 patches)"} <= set(written)
    assert signed(100 * found.probabilities[:, 2, 1].mean(), 1) in written
    assert "percentage points" in written


def test_orange_is_what_speaks_for_a_class() -> None:
    """As the note below the figure says: red above blue in orange, blue above red in purple."""
    change = np.array([[[-0.2], [0.2]]], np.float32)
    figure = draw_importance(BandImportance(("for", "against"), ("Sea",), change, change), "test")
    image = figure.axes[1].get_images()[0]
    spoke_for, spoke_against = image.to_rgba(image.get_array())[0, :, [0, 2]].T
    assert spoke_for[0] > spoke_for[1]
    assert spoke_against[0] < spoke_against[1]


def test_numbers_can_be_read_on_every_colour_and_none_is_minus_zero() -> None:
    change = np.linspace(-0.4, 0.4, 41, dtype=np.float32).reshape(1, 41, 1)
    change[0, 20] = -0.0004
    figure = draw_importance(BandImportance(tuple(f"B{each}" for each in range(41)), ("Sea",), change, change), "test")
    table = figure.axes[1]
    fills = [luminance(colour) for colour in table.get_images()[0].to_rgba(100 * change[0, :, 0])[:, :3]]
    for text, fill in zip(table.texts, fills, strict=True):
        ink = luminance(np.array(to_rgb(text.get_color())))
        assert (max(ink, fill) + 0.05) / (min(ink, fill) + 0.05) >= 4.5, text.get_text()
    assert [text.get_text() for text in table.texts[19:22]] == ["−2.0", "0.0", "+2.0"]


def luminance(colour: NDArray[np.float64]) -> float:
    """As WCAG 2.2 defines it; it asks for a contrast of 4.5."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
