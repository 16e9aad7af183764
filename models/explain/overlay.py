"""A patch and where its classes were seen, as pictures: all classes in one, colour-coded, and each for itself.

Flows in: a thumbnail, and heat maps by class. Flows out: blended pixels, or a figure with a legend that names every
class in full. Colours of classes are `pipelines.labels.colour_of`'s, and as some lie close to each other, and not
everybody sees them, each class also has a number, at the peak of its heat and in the legend; see `markers` for peaks
that coincide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from models.explain.maps import HeatMap
from models.explain.markers import draw_markers
from models.report.panels import CELL, fold, grid_places, heading_room, named, title_room
from pipelines.drawing.canvas import blank
from pipelines.errors import SettingsError
from pipelines.labels import colour_of

Picture = NDArray[np.uint8]

OUTLINED = 5
"""Classes that get a line in the picture of all: nobody can follow more."""

_STRONGEST = 0.8  # share of a class's colour, or of the heat's, at its peak
_FAINT = 0.02  # heat below which a pixel belongs to no class
_GROUND = (0.15, 0.75)  # grey that black and white become, so that colours stand out on both
_SIDE, _LINE = 2.3, 0.19  # inches of a picture's side, and of a line of the legend
_HEAT = colormaps["inferno"]  # rises evenly in lightness, whatever colours an eye can tell apart


@dataclass(frozen=True)
class Explained:
    """A patch with maps of some classes.

    Args:
        picture: (side, side, 3) uint8.
        heats: class to its map, all of one size: the picture's, or one that is a multiple of it or divides it.
        facts: what is to be said of a class beside its name, such as `found, 0.91`.
    """

    picture: Picture
    heats: Mapping[str, HeatMap]
    facts: Mapping[str, str] = field(default_factory=dict)


def blend(picture: Picture, heats: Mapping[str, HeatMap]) -> Picture:
    """Every pixel in the colour of the class that is strongest there, the stronger the more; the ground is grey.

    Args:
        picture: (side, side, 3).
        heats: class to map of (size, size); none, or only such without evidence, leave the ground as it is.

    Returns:
        (larger, larger, 3): of side and size the larger one; what has the other is repeated.

    Raises:
        SettingsError: neither side divides the other.
    """
    side = _common_side(picture, heats)
    seen = {label: _repeated(heat.heat, side) for label, heat in heats.items() if heat.evidence}
    ground = grey(_repeated(picture, side))
    if not seen:
        return _pixels(ground)
    stack = np.stack(list(seen.values()))
    colours = np.array([to_rgb(colour_of(label)) for label in seen], np.float32)
    return _pixels(_laid_over(ground, colours[stack.argmax(axis=0)], stack.max(axis=0)))


def blend_one(picture: Picture, heat: HeatMap) -> Picture:
    """One class's heat, from dark to bright, over grey.

    Raises:
        SettingsError: see `blend`.
    """
    side = _common_side(picture, {"": heat})
    ground, shares = grey(_repeated(picture, side)), _repeated(heat.heat, side)
    return _pixels(_laid_over(ground, _HEAT(shares)[..., :3].astype(np.float32), shares))


def grey(picture: Picture) -> NDArray[np.float32]:
    """(side, side, 3) from 0 to 1: the picture's luma by ITU-R BT.601, neither black nor white anywhere."""
    light = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    dark, bright = _GROUND
    return np.repeat((dark + (bright - dark) * light)[..., None], 3, axis=-1)


def draw_overlay(shown: Explained, heading: str, note: str = "", *, each: bool = False) -> Figure:
    """The patch, all its classes in one picture, and a legend.

    Args:
        heading: above everything.
        note: below the legend, what must be known of the pictures.
        each: also a picture a class.

    Raises:
        SettingsError: see `blend`.
    """
    labels = list(shown.heats)
    many = sum(heat.evidence for heat in shown.heats.values()) > OUTLINED
    together = named("All classes together", f"lines around the {OUTLINED} largest" if many else "")
    titles = _level(["The patch", together, *([_title(shown, label) for label in labels] if each else [])])
    places, width, depth = grid_places(titles, _SIDE + 0.25)
    words = _legend(shown, width)
    top, foot = heading_room(heading, width), fold(note, width, 0.075) if note else ""
    below = _LINE * sum(text.count("\n") + 1 for _, text in words) + 0.1
    below += 0.15 * (foot.count("\n") + 1) + 0.12 if foot else 0
    height = top + depth + below
    figure = blank(width, height)
    figure.set_layout_engine("none")
    figure.text(0.5, 1 - 0.1 / height, fold(heading, width), ha="center", va="top", fontsize=12)
    if foot:
        figure.text(0.5, 0.08 / height, foot, ha="center", va="bottom", fontsize=8.5)
    cells = [
        _cell(figure, title, left, top + down) for title, (left, down) in zip(titles, places.tolist(), strict=True)
    ]
    cells[0].imshow(shown.picture, interpolation="nearest")
    end = _size(shown.heats, shown.picture.shape[0]) - 0.5  # lines and numbers are placed in pixels of the maps
    blended = blend(shown.picture, shown.heats)
    cells[1].imshow(blended, interpolation="nearest", extent=(-0.5, end, end, -0.5))
    _mark(cells[1], shown)
    for axes, label in zip(cells[2:], labels, strict=each):
        axes.imshow(blend_one(shown.picture, shown.heats[label]), interpolation="nearest")
        _say(axes, shown.heats[label].caveat)
    _draw_legend(figure, words, top + depth)
    return figure


def _title(shown: Explained, label: str) -> str:
    number = list(shown.heats).index(label) + 1
    return named(f"{number} {label}", shown.facts.get(label, ""))


def _level(titles: Sequence[str]) -> list[str]:
    """All with as many lines, so that the pictures below them lie in a row."""
    most = max(title.count("\n") for title in titles)
    return ["\n" * (most - title.count("\n")) + title for title in titles]


def _cell(figure: Figure, title: str, left: float, down: float) -> Axes:
    width, height = figure.get_size_inches()
    bottom = height - down - title_room(title) - 0.06 - _SIDE
    axes = figure.add_axes(((left + (CELL - _SIDE) / 2) / width, bottom / height, _SIDE / width, _SIDE / height))
    axes.set_title(title, fontsize=8, pad=3, linespacing=1.1)
    axes.axis("off")
    return axes


def _mark(axes: Axes, shown: Explained) -> None:
    """Each class's number where its heat peaks, and a line around what is above half of that."""
    heats = {number: each.heat for number, each in enumerate(shown.heats.values(), start=1) if each.evidence}
    colours = {number: colour_of(label) for number, label in enumerate(shown.heats, start=1)}
    for number in _outlined(heats):
        if heats[number].min() < 0.5:  # else there is nothing to draw a line between
            axes.contour(heats[number], levels=[0.5], colors=[colours[number]], linewidths=1.2)
    peaks = {}
    for number, heat in heats.items():
        row, column = divmod(int(heat.argmax()), heat.shape[1])
        peaks[number] = (float(column), float(row))
    if peaks:
        draw_markers(axes, peaks, colours, next(iter(heats.values())).shape[0])


def _outlined(heats: Mapping[int, NDArray[np.float32]]) -> list[int]:
    """The classes that get a line: all if they are few, else those that have most of the picture's pixels."""
    if len(heats) <= OUTLINED:
        return list(heats)
    stack = np.stack(list(heats.values()))
    won = np.bincount(stack.argmax(axis=0)[stack.max(axis=0) > _FAINT], minlength=len(heats))
    most = np.lexsort((-stack.sum(axis=(1, 2)), -won))[:OUTLINED].tolist()
    return [number for place, number in enumerate(heats) if place in most]


def _legend(shown: Explained, width: float) -> list[tuple[str, str]]:
    """The colour of a class and its line; those without evidence last, white, and listed as such."""
    lines = []
    for evidence in (True, False):
        for number, (label, heat) in enumerate(shown.heats.items(), start=1):
            if heat.evidence is evidence:
                parts = [f"{number}  {label}", shown.facts.get(label, ""), heat.caveat]
                colour = colour_of(label) if evidence else "white"
                lines.append((colour, fold(", ".join(filter(None, parts)), width - 0.5, 0.08)))
    return lines or [("none", "no class to show")]


def _draw_legend(figure: Figure, lines: Sequence[tuple[str, str]], down: float) -> None:
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))  # in inches from the top left
    axes.axis("off")
    for colour, text in lines:
        edge = "none" if colour == "none" else "black"
        axes.add_patch(Rectangle((0.25, down), 0.18, 0.13, facecolor=colour, edgecolor=edge, linewidth=0.6))
        axes.text(0.52, down - 0.01, text, ha="left", va="top", fontsize=9, linespacing=1.2)
        down += _LINE * (text.count("\n") + 1)


def _say(axes: Axes, caveat: str) -> None:
    if caveat:
        box, where = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85}, axes.transAxes
        axes.text(0.5, 0.5, caveat, ha="center", va="center", fontsize=9, bbox=box, transform=where)


def _size(heats: Mapping[str, HeatMap], without: int) -> int:
    """Pixels a side of the maps; `without` where there are none."""
    return next((heat.heat.shape[0] for heat in heats.values()), without)


def _common_side(picture: Picture, heats: Mapping[str, HeatMap]) -> int:
    """That of the picture or of the maps, whichever is larger."""
    side: int = picture.shape[0]
    size = _size(heats, side)
    if size % side and side % size:
        hint = "Give a picture whose side divides the maps', or is a multiple of it."
        raise SettingsError(f"a picture of {side} px does not fit maps of {size} px", hint=hint)
    return max(side, size)


def _repeated(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    """At another size, pixels repeated."""
    factor = side // pixels.shape[0]
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _laid_over(
    ground: NDArray[np.float32], colour: NDArray[np.float32], heat: NDArray[np.float32]
) -> NDArray[np.float32]:
    share = np.where(heat > _FAINT, _STRONGEST * heat, 0)[..., None]
    return ((1 - share) * ground + share * colour).astype(np.float32)


def _pixels(shares: NDArray[np.float32]) -> Picture:
    return np.rint(255 * shares).astype(np.uint8)
