"""Learning curves as HTML and SVG, drawn here: nothing to load, and as sharp in a dark page on a phone.

Flows in: one line a trial. Flows out: HTML. The SVG stretches with the page while its text, set in HTML around
it, keeps its size. How a trial ended shows in the line's dash and weight as well as in its colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

Points = list[tuple[float, float]]

_TICKS = 5
_KINDS = ("best", "running", "complete", "pruned", "failed")


@dataclass(frozen=True)
class Line:
    """One trial's curve: points (epoch, value) by rising epoch; `kind` is one of best or a trial's state."""

    name: str
    kind: str
    points: Points


def draw(lines: Sequence[Line], metric: str) -> str:
    """The chart with its axes and the key to its lines."""
    lines = [line for line in lines if line.points]
    if not lines:
        return '<div class="ls-chart-empty">No epoch is finished yet: curves appear with the first one.</div>'
    across, up = _axes(lines)
    ordered = sorted(lines, key=lambda line: line.kind == "best")
    drawn = "".join(_polyline(line, across, up) for line in ordered)
    kinds = [kind for kind in _KINDS if any(line.kind == kind for line in lines)]
    best = next((line.name for line in lines if line.kind == "best"), "")
    key = "".join(_entry(kind, f"best: {best}" if kind == "best" else kind) for kind in kinds)
    return (
        f'<figure class="ls-chart"><figcaption><b>{escape(metric)}</b><span class="ls-key">{key}</span></figcaption>'
        f'<div class="ls-plot">{_marks(across, up)}<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(metric)} by epoch, {len(lines)} trials">{_grid(up)}{drawn}</svg></div>'
        '<div class="ls-axis">epoch</div></figure>'
    )


def ticks(low: float, high: float, count: int = _TICKS) -> list[float]:
    """Round numbers that span low to high, about `count` of them."""
    apart = high - low > 1e-9 * max(abs(low), abs(high))  # else by rounding alone
    span = (high - low if apart else abs(high)) or 1.0
    size = 10.0 ** math.floor(math.log10(span / count))
    step = next(factor * size for factor in (1, 2, 5, 10) if span / (factor * size) <= count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def _axes(lines: Sequence[Line]) -> tuple[list[float], list[float]]:
    epochs = [x for line in lines for x, _ in line.points]
    values = [y for line in lines for _, y in line.points]
    last = int(max(*epochs, 2))
    step = max(1, math.ceil(last / 10))
    return [float(epoch) for epoch in range(1, last + 1, step)], ticks(min(values), max(values))


def _place(value: float, marks: Sequence[float]) -> float:
    return 100 * (value - marks[0]) / (marks[-1] - marks[0])


def _grid(up: Sequence[float]) -> str:
    return "".join(f'<path class="ls-grid" d="M0 {100 - _place(mark, up):.2f}H100"/>' for mark in up)


def _marks(across: Sequence[float], up: Sequence[float]) -> str:
    digits = max(0, -math.floor(math.log10(up[1] - up[0]) + 1e-9))
    left = "".join(f'<i class="ls-y" style="bottom:{_place(mark, up):.2f}%">{mark:.{digits}f}</i>' for mark in up)
    return left + "".join(f'<i class="ls-x" style="left:{_place(mark, across):.2f}%">{mark:.0f}</i>' for mark in across)


def _polyline(line: Line, across: Sequence[float], up: Sequence[float]) -> str:
    places = [f"{_place(x, across):.2f} {100 - _place(y, up):.2f}" for x, y in line.points]
    path = "M" + "L".join(places)
    # A stroke of no length with round ends is a dot that the stretched axes leave round.
    dots = "".join(f"M{place}h0" for place in places)
    epoch, value = line.points[-1]
    told = escape(f"{line.name}, {line.kind}: {value:.4g} after epoch {epoch:.0f}")
    return (
        f'<g class="ls-line ls-{escape(line.kind)}"><title>{told}</title><path class="ls-hit" d="{path}"/>'
        f'<path class="ls-stroke" d="{path}"/><path class="ls-dots" d="{dots}"/></g>'
    )


def _entry(kind: str, text: str) -> str:
    line = '<svg viewBox="0 0 24 6" aria-hidden="true"><path class="ls-stroke" d="M1 3H23"/></svg>'
    return f'<span class="ls-line ls-{kind}">{line}{escape(text)}</span>'
