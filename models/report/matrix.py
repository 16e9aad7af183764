"""A matrix of shares between classes, with all names in full and no colour that some eyes cannot tell from the next.

Flows in: shares and names. Flows out: a figure. Amounts go from light to dark in one hue; differences from purple
over white to orange, which stay apart for every kind of colour blindness, and are written with their sign.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from numpy.typing import NDArray

from models.report.panels import fold
from pipelines.drawing.canvas import ANNOTATED, MATRIX_INCHES, blank, ink_on, room_for, signed, wrap

_GREY = "#dddddd"
_LEAST_INCHES = 2.6
_PERCENT = PercentFormatter(1, decimals=0)
_POINTS = FuncFormatter(lambda share, _: signed(100 * share))


def draw_matrix(
    shares: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    heading: str,
    note: str,
    difference: bool = False,
) -> Figure:
    """Cells hold 100 × the share; those without anything stay empty, those without a share (NaN) are grey.

    Args:
        shares: (rows, columns) from 0 to 1, or from −1 to 1 if `difference`.
        rows, columns: names.
        heading, note: above and below; lines are folded to fit.
    """
    annotated = len(rows) <= ANNOTATED
    needed = len(rows) * max(0.42 if annotated else 0, room_for([*rows, *columns]))
    side = min(max(needed, _LEAST_INCHES), MATRIX_INCHES)
    width = 5 + side
    figure = blank(width, 4.2 + side)
    axes = figure.subplots()
    axes.set_facecolor(_GREY)
    known = shares[np.isfinite(shares)]
    most = max(float(np.abs(known).max(initial=0)), 0.05) if difference else 1.0
    image = axes.imshow(shares, cmap="PuOr_r" if difference else "Blues", vmin=-most if difference else 0, vmax=most)
    axes.set_xticks(range(len(columns)), [wrap(name) for name in columns], rotation=90, fontsize=9)
    axes.set_yticks(range(len(rows)), [wrap(name) for name in rows], fontsize=9)
    figure.suptitle(fold(heading, width), fontsize=12)
    figure.supxlabel(fold(note, width, 0.075), fontsize=9)
    fills = image.to_rgba(shares)
    for row, column in np.argwhere(np.nan_to_num(shares) != 0).tolist() if annotated else ():
        share = shares[row, column]
        text = signed(100 * share) if difference else f"{100 * share:.0f}"
        ink = ink_on(tuple(fills[row, column]))
        cell = axes.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
        cell.set_in_layout(False)  # it lies inside; measuring hundreds of them takes most of the time
    scale = figure.colorbar(image, ax=axes, format=_POINTS if difference else _PERCENT, shrink=0.6)
    scale.set_label("percentage points" if difference else "", fontsize=9)
    return figure
