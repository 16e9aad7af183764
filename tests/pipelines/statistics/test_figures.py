"""Figures: all there, all PNGs, and no name cut off or hidden behind the next."""

from __future__ import annotations

import io
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from pipelines.bands import ALL_BANDS
from pipelines.drawing.canvas import MAX_INCHES, NAME_WIDTH, blank, png_of, wrap
from pipelines.labels import LABEL_NAMES
from pipelines.statistics.counts import Bins, count_rows
from pipelines.statistics.figures import DRAWERS, draw_figures
from pipelines.statistics.measure import DatasetStatistics, statistics_of

ROOT = Path(__file__).parents[3]
LONGEST = max(LABEL_NAMES, key=len)
AWKWARD = ("a $\\bad{ name$ that is no formula", "x" * 90, "a class whose name goes on and on and on " * 5)


def made_up(
    names: tuple[str, ...] = LABEL_NAMES, bands: tuple[str, ...] = ALL_BANDS, labels: int = 3, most: int = 9000
) -> DatasetStatistics:
    """Statistics of 60 patches in three splits, each with the first `labels` classes or some of them."""
    rng, groups = np.random.default_rng(0), {}
    for split in ("train", "validation", "test"):
        columns = {band: rng.integers(0, most, (20, 3, 3)).astype(np.uint16) for band in bands}
        marks = (rng.random((20, len(names))) < 0.3).astype(np.uint8)
        marks[:, labels:] = 0
        countries = rng.choice(["", "Finland", "Bosnia and Herzegovina"], 20)
        groups[split] = dict(
            count_rows(columns | {"labels": marks, "country": countries}, dict.fromkeys(bands, Bins()))
        )
    return statistics_of("hash", names, groups)


def image_of(figure: Figure) -> Image.Image:
    return Image.open(io.BytesIO(png_of(figure)))


def check_nothing_cut(image: Image.Image) -> None:
    """A picture's rim is white: whatever is cut off would reach it."""
    pixels = np.asarray(image.convert("L"))
    rim = np.concatenate([pixels[:2].ravel(), pixels[-2:].ravel(), pixels[:, :2].ravel(), pixels[:, -2:].ravel()])
    assert rim.min() == 255


def shown_names(figure: Figure) -> dict[str, Text]:
    """Names on the vertical axis as they were given, and their text."""
    return {" ".join(text.get_text().split()): text for text in figure.axes[0].get_yticklabels()}


@pytest.mark.parametrize(("bands", "most"), [(ALL_BANDS, 9000), ((*ALL_BANDS, "B10"), 65536), (("B02",), 1)])
def test_every_figure_is_a_png_of_a_sensible_size(bands: tuple[str, ...], most: int) -> None:
    figures = draw_figures(made_up(bands=bands, most=most))
    assert set(figures) == set(DRAWERS)
    for figure in figures.values():
        image = image_of(figure)
        assert image.format == "PNG"
        assert 200 <= min(image.size) <= max(image.size) <= 2000
        assert np.asarray(image.convert("L")).std() > 10, "an empty picture"
        check_nothing_cut(image)


@pytest.mark.parametrize("name", ["label_counts", "co_occurrence"])
@pytest.mark.parametrize("names", [LABEL_NAMES, ("one",), (*LABEL_NAMES, *AWKWARD)])
def test_class_names_are_there_in_full_and_apart(name: str, names: tuple[str, ...]) -> None:
    figure = DRAWERS[name](made_up(names))
    check_nothing_cut(image_of(figure))
    texts = shown_names(figure)
    if name == "label_counts":
        # A word longer than a line is broken.
        assert {text.replace(" ", "") for text in texts} == {known.replace(" ", "") for known in names}
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = sorted((text.get_window_extent(renderer) for text in texts.values()), key=lambda box: box.y0)
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(below.y1 <= above.y0 for below, above in pairwise(boxes))


def test_long_names_are_balanced() -> None:
    lines = wrap(LONGEST).split("\n")
    assert min(map(len, lines)) > 0.6 * NAME_WIDTH


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=200))
def test_wrapped_names_are_whole_and_fit(name: str) -> None:
    lines = wrap(name).split("\n")
    assert max(map(len, lines)) <= NAME_WIDTH
    assert "".join("".join(lines).split()) == ("".join(name.split()) or "(unknown)")


def test_most_frequent_class_comes_first() -> None:
    statistics = made_up()
    counts = statistics.whole.label_counts
    shown = list(shown_names(DRAWERS["label_counts"](statistics)))
    assert [counts[name] for name in shown] == sorted(counts.values(), reverse=True)


def test_matrix_shows_conditional_shares() -> None:
    statistics = made_up()
    shares = np.ma.filled(DRAWERS["co_occurrence"](statistics).axes[0].images[0].get_array(), np.nan)
    one, other = LABEL_NAMES[:2]
    whole = statistics.whole
    assert shares[0, 1] == whole.co_occurrence[one][other] / whole.label_counts[one]
    assert shares[1, 0] == whole.co_occurrence[one][other] / whole.label_counts[other]
    assert np.isnan(shares[0, 0])
    assert np.isnan(shares[5]).all(), "no patch has this class"


def test_without_pixels_there_are_no_pictures_of_pixels() -> None:
    assert set(draw_figures(made_up(bands=()))) == set(DRAWERS) - {"histograms", "spectrum"}


def test_no_side_is_longer_than_a_png_can_be() -> None:
    assert image_of(blank(1, 5000)).size == (100, 100 * MAX_INCHES)


def test_same_statistics_give_the_same_bytes() -> None:
    one, other = (png_of(DRAWERS["spectrum"](made_up())) for _ in range(2))
    assert one == other


def test_pyplot_and_its_global_state_stay_out() -> None:
    code = "import sys, pipelines.statistics.figures as f; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
