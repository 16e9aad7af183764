"""Numbers on a picture, one at each peak: where two would cover each other, one steps aside, and a line leads back.

Flows in: peaks as shares of the picture's side. Flows out: places, none of which covers another, and what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from pipelines.drawing.canvas import ink_on

Places = NDArray[np.float64]

RADIUS = 0.048
"""Of a marker, as a share of the picture's side: two digits of 8 points fit in it where the side is 2.3 inches."""

_MANY = 25  # as many find room at that size, wherever their peaks are
_APART = 2.5  # radii between the centres of two
_GRID = 36  # steps a side in which a free place is looked for


def radius_for(count: int) -> float:
    """Markers are smaller where there are so many that they would not all find room."""
    return RADIUS * min(1.0, math.sqrt(_MANY / max(count, 1)))


def places_for(peaks: Places, radius: float) -> Places:
    """Where markers go: (markers, 2), within the picture. Those that can stay at their peak do, the first one first;
    the rest take the nearest free place from which a line to the peak crosses no other marker, if there is one.

    Args:
        peaks: (markers, 2) from 0 to 1.
        radius: of a marker, in the same unit; see `radius_for`.
    """
    inside = np.clip(peaks, radius, 1 - radius)
    grid = np.linspace(radius, 1 - radius, _GRID)
    free = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    placed: dict[int, Places] = {}
    for number, place in enumerate(inside):
        if all(np.hypot(*(place - other)) >= _APART * radius for other in placed.values()):
            placed[number] = place
    for number in (number for number in range(len(peaks)) if number not in placed):
        others = np.stack(list(placed.values()))
        placed[number] = free[_cost(free, inside[number], others, radius).argmin()]
    return np.array([placed[number] for number in range(len(peaks))]).reshape(-1, 2)


def _cost(free: Places, peak: Places, others: Places, radius: float) -> NDArray[np.float64]:
    """(free,): the way to the peak; more than any if the line crosses a marker, and more yet where one is covered."""
    gaps = np.linalg.norm(free[:, None] - others, axis=2).min(axis=1)
    covered = (_APART * radius - gaps).clip(min=0)
    away = others[np.linalg.norm(others - peak, axis=1) >= radius]  # one that lies on the peak is crossed anyway
    way = free - peak
    length = (way**2).sum(axis=1).clip(min=1e-12)
    along = (((away[None] - peak) * way[:, None]).sum(axis=2) / length[:, None]).clip(0, 1)
    nearest = np.linalg.norm(peak + along[..., None] * way[:, None] - away, axis=2).min(axis=1, initial=1.0)
    cost: NDArray[np.float64] = np.sqrt(length) + 2.0 * (nearest < radius) + 1000 * covered
    return cost


def draw_markers(axes: Axes, peaks: Mapping[int, tuple[float, float]], colours: Mapping[int, str], side: int) -> None:
    """Draw each number at its peak or near it.

    Args:
        axes: with a picture of `side` pixels, whose own view it is to keep.
        peaks: number to its column and row, in pixels.
        colours: number to its marker's colour.
    """
    at = (np.array(list(peaks.values()), np.float64).reshape(-1, 2) + 0.5) / side
    radius = radius_for(len(at))
    edge = [Stroke(linewidth=2, foreground="black"), Normal()]
    for number, peak, place in zip(peaks, at * side - 0.5, places_for(at, radius) * side - 0.5, strict=True):
        colour = colours[number]
        if np.hypot(*(place - peak)) > radius * side / 2:
            axes.plot(*zip(peak, place, strict=True), color=colour, linewidth=1, path_effects=edge, zorder=3)
            axes.plot(*peak, "o", color=colour, markersize=3, markeredgecolor="black", markeredgewidth=0.6, zorder=3)
        disc = Circle(tuple(place), radius * side, facecolor=colour, edgecolor="black", linewidth=0.8, zorder=4)
        axes.add_patch(disc)
        text = axes.text(place[0], place[1], str(number), ha="center", va="center", color=ink_on(colour), zorder=5)
        text.set_fontsize(8 * radius / RADIUS)
        text.set_in_layout(False)
