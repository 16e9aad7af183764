"""Pictures of heat: the class that is strongest has the pixel, names are there in full, and nothing is hidden."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.text import Text

from models.explain.maps import HeatMap
from models.explain.markers import RADIUS, places_for, radius_for
from models.explain.overlay import OUTLINED, Explained, blend, blend_one, draw_overlay, grey
from pipelines.drawing.canvas import png_of
from pipelines.errors import SettingsError
from pipelines.labels import LABEL_NAMES, colour_of

WATER, TOWN = "Marine waters", "Urban fabric"
PICTURE = np.random.default_rng(0).integers(0, 256, (6, 6, 3)).astype(np.uint8)


def heat_at(*places: tuple[int, int], size: int = 12) -> HeatMap:
    heat = np.zeros((size, size), np.float32)
    for place in places:
        heat[place] = 1
    return HeatMap(heat, bool(places))


def texts(figure: Figure) -> list[str]:
    return [" ".join(each.get_text().split()) for each in figure.findobj(Text) if each.get_text()]


def test_a_pixel_has_the_colour_of_its_strongest_class() -> None:
    weak = HeatMap(np.full((12, 12), 0.5, np.float32), True)
    found = blend(PICTURE, {WATER: heat_at((2, 3)), TOWN: weak}) / 255
    ground = grey(PICTURE.repeat(2, 0).repeat(2, 1))
    np.testing.assert_allclose(found[2, 3], 0.2 * ground[2, 3] + 0.8 * np.array(to_rgb(colour_of(WATER))), atol=0.01)
    np.testing.assert_allclose(found[0, 0], 0.6 * ground[0, 0] + 0.4 * np.array(to_rgb(colour_of(TOWN))), atol=0.01)


def test_where_there_is_no_heat_the_ground_is_grey() -> None:
    ground = np.rint(255 * grey(PICTURE.repeat(2, 0).repeat(2, 1)))
    found = blend(PICTURE, {WATER: heat_at((2, 3)), TOWN: heat_at()})
    seen = np.argwhere((found != ground).any(-1))
    assert seen.tolist() == [[2, 3]]
    np.testing.assert_array_equal(blend_one(PICTURE, heat_at()), ground)
    assert (ground[..., 0] == ground[..., 1]).all()
    assert np.argwhere((blend_one(PICTURE, heat_at((4, 5))) != ground).any(-1)).tolist() == [[4, 5]]


def test_without_classes_the_picture_keeps_its_size() -> None:
    assert blend(PICTURE, {}).shape == PICTURE.shape
    with pytest.raises(SettingsError, match="a picture of 6 px does not fit maps of 16 px"):
        blend(PICTURE, {WATER: heat_at(size=16)})


def test_maps_that_are_coarser_than_the_picture_are_brought_to_its_size() -> None:
    """As of a bundle of 20 m bands, before 10 m bands in true colour."""
    fine, heats = PICTURE.repeat(4, 0).repeat(4, 1), {WATER: heat_at((2, 3)), TOWN: heat_at((8, 8), (8, 9))}
    own = blend(PICTURE, heats)
    np.testing.assert_array_equal(blend(fine, heats), own.repeat(2, 0).repeat(2, 1))
    one = blend_one(PICTURE, heats[WATER])
    np.testing.assert_array_equal(blend_one(fine, heats[WATER]), one.repeat(2, 0).repeat(2, 1))
    with pytest.raises(SettingsError, match="a picture of 24 px does not fit maps of 16 px"):
        blend(fine, {WATER: heat_at(size=16)})


def test_lines_and_numbers_lie_the_same_on_a_finer_picture() -> None:
    heats = {WATER: heat_at((2, 3)), TOWN: heat_at((8, 8), (8, 9))}
    panels = [draw_overlay(Explained(PICTURE.repeat(by, 0).repeat(by, 1), heats), "x").axes[1] for by in (1, 2, 4)]
    for axes in panels:
        assert axes.get_images()[0].get_extent() == [-0.5, 11.5, 11.5, -0.5]
        places = [(text.get_position(), text.get_text()) for text in axes.texts]
        assert places == [((3.0, 2.0), "1"), ((8.0, 8.0), "2")]
        lines = [each.get_paths()[0].vertices for each in axes.findobj(QuadContourSet)]
        np.testing.assert_allclose([line.mean(0).round() for line in lines], [(3, 2), (8, 8)], atol=1)


@pytest.mark.parametrize("each", [True, False])
def test_every_class_is_named_in_full_with_its_number(each: bool) -> None:
    heats = {name: heat_at((1, 1 + place % 9)) for place, name in enumerate(LABEL_NAMES)}
    heats["Pastures"] = heat_at()
    facts = dict.fromkeys(heats, "found, 0.93")
    figure = draw_overlay(Explained(PICTURE, heats, facts), "a patch", "a note", each=each)
    written = texts(figure)
    for number, name in enumerate(LABEL_NAMES, start=1):
        none = ", no positive evidence" if name == "Pastures" else ""
        assert f"{number} {name}, found, 0.93{none}" in written
        assert (str(number) in written) is (name != "Pastures")
        assert (f"{number} {name} found, 0.93" in written) is each
    assert ("no positive evidence" in written) is each
    assert {"a patch", "a note"} <= set(written)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_nothing_leaves_the_figure(count: int) -> None:
    heats = {name: heat_at((0, 0), (11, 11)) for name in LABEL_NAMES[8 : 8 + count]}
    figure = draw_overlay(Explained(PICTURE, heats), "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57", each=True)
    assert png_of(figure).startswith(b"\x89PNG")
    width, height = figure.get_size_inches() * figure.dpi
    for text in [*figure.texts, *(each for axes in figure.axes for each in (axes.title, *axes.texts))]:
        if not text.get_text():
            continue
        box = text.get_window_extent()
        assert -1 <= box.x0 <= box.x1 <= width + 1, text.get_text()
        assert -1 <= box.y0 <= box.y1 <= height + 1, text.get_text()
    if not count:
        assert "no class to show" in texts(figure)


def test_a_name_is_no_formula_and_even_heat_needs_no_line() -> None:
    even = HeatMap(np.ones((12, 12), np.float32), True)
    one, other = (png_of(draw_overlay(Explained(PICTURE, {"a $b_c$ d": even}), "x", each=True)) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("count", [1, 2, 19, 43])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.5])
def test_no_number_covers_another_wherever_their_peaks_are(count: int, spread: float) -> None:
    peaks = (0.5 + spread * np.random.default_rng(count).uniform(-1, 1, (count, 2))).clip(0, 1)
    radius = radius_for(count)
    places = places_for(peaks, radius)
    gaps = np.linalg.norm(places[:, None] - places, axis=2) + 9 * np.eye(count)
    assert gaps.min() > 2 * radius
    assert radius <= places.min() + 1e-9
    assert places.max() <= 1 - radius + 1e-9


def test_a_number_that_finds_its_peak_free_stays_there() -> None:
    peaks = np.array([[0.2, 0.2], [0.2, 0.2], [0.2, 0.31], [0.8, 0.5], [1.0, 0.0]])
    places = places_for(peaks, RADIUS)
    np.testing.assert_array_equal(places[[0, 3]], peaks[[0, 3]])
    np.testing.assert_allclose(places[4], [1 - RADIUS, RADIUS])
    assert np.linalg.norm(places[1] - peaks[1]) < 4 * RADIUS


def test_classes_with_one_peak_have_their_numbers_apart() -> None:
    heats = dict.fromkeys(LABEL_NAMES, heat_at((5, 5)))
    figure = draw_overlay(Explained(PICTURE, heats), "a patch")
    png_of(figure)
    boxes = [each.get_window_extent() for each in figure.axes[1].texts]
    assert len(boxes) == len(LABEL_NAMES)
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])


@pytest.mark.parametrize(("count", "lined"), [(5, [1, 2, 3, 4, 5]), (7, [3, 4, 5, 6, 7])])
def test_of_many_classes_the_largest_have_lines(count: int, lined: list[int]) -> None:
    heats = {
        name: heat_at(*((row, column) for column in range(row + 1))) for row, name in enumerate(LABEL_NAMES[:count])
    }
    figure = draw_overlay(Explained(PICTURE, heats), "a patch")
    drawn = [to_rgb(each.get_edgecolor()[0][:3]) for each in figure.axes[1].findobj(QuadContourSet)]
    assert drawn == [to_rgb(colour_of(LABEL_NAMES[number - 1])) for number in lined]
    assert ("All classes together lines around the 5 largest" in texts(figure)) is (count > OUTLINED)
