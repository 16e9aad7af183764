"""Names in any script: a font that has their characters is found, and what no font has is said."""

from __future__ import annotations

import io

import numpy as np
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image

from pipelines.drawing.canvas import blank, png_of
from pipelines.drawing.fonts import USUAL, families_for, unwritable

ODD = "𝒜"  # mathematical script A, which matplotlib's own STIX has, and DejaVu Sans has not


def test_the_usual_font_is_enough_for_most() -> None:
    assert families_for("Küstengewässer, лес, θάλασσα; 100 % <b>$x_1$\t") == []
    assert unwritable(["Forêt", "Übergang"]) == ""


def test_another_font_is_found_for_what_it_lacks() -> None:
    usual, *others = families_for(f"Wald {ODD}")
    assert usual == USUAL
    assert len(others) == 1
    path = font_manager.findfont(others[0])
    assert ord(ODD) in font_manager.get_font(path).get_charmap()
    assert unwritable([ODD]) == ""


def test_what_no_font_has_is_said() -> None:
    told = unwritable(["Forest", f"Wald {ODD}", ODD], fonts=())
    assert told.startswith(f"No font on this machine has {ODD}: ")
    assert "Install a font" in told


def test_such_a_name_is_drawn_and_not_as_a_box() -> None:
    def drawn(name: str) -> NDArray[np.uint8]:
        figure = blank(3, 1)
        axes = figure.add_subplot()
        axes.set_yticks([0.5], [name])
        with Image.open(io.BytesIO(png_of(figure))) as image:
            return np.asarray(image)

    # Boxes of one block of characters look alike: these two lie in the same.
    assert (drawn("𝒜") != drawn("𝒞")).any()
