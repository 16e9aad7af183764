"""Which bands a net decides by: each is taken away in turn, and what becomes of every class is measured.

A band that is taken away is replaced by its mean over the training split, which is 0 once normalised: the net sees an
ordinary value that tells patches no longer apart. Bands share what they say: where two tell the same, taking one away
changes little, however much the net relies on both.

Flows in: a loaded bundle, batches of images. Flows out: changes of logits and probabilities by band and class, a table
and a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from torch import Tensor

from models.bundle.weights import Bundle
from models.device import own_memory_errors
from pipelines.drawing.canvas import BLUE, blank, ink_on, room_for, signed, tidy, wrap
from pipelines.errors import ShardError

Values = NDArray[np.float32]

_LEAST = 0.5  # percentage points that have the strongest colours at least: what is written as 0.0 stays pale


@dataclass(frozen=True)
class BandImportance:
    """What taking a band away does; negative where the band spoke for the class.

    Args:
        bands, label_names: in the order of the arrays' second and third axis.
        logits, probabilities: float32 (rows, bands, classes), without the band less with it; probabilities are
            calibrated as they are served.
    """

    bands: tuple[str, ...]
    label_names: tuple[str, ...]
    logits: Values
    probabilities: Values

    @property
    def strength(self) -> dict[str, float]:
        """Band to how far it moves a logit: the mean over rows and classes, whatever the direction."""
        return dict(zip(self.bands, np.abs(self.logits).mean(axis=(0, 2)).tolist(), strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Means over rows, by band and class."""
        means = {"logit": self.logits.mean(axis=0), "probability": self.probabilities.mean(axis=0)}
        return {
            band: {"strength": self.strength[band]}
            | {kind: dict(zip(self.label_names, values[place].tolist(), strict=True)) for kind, values in means.items()}
            for place, band in enumerate(self.bands)
        }


@torch.inference_mode()
def band_importance(
    bundle: Bundle, batches: Iterable[Tensor], rows: int, *, progress: Callable[[int, int], None] = lambda *_: None
) -> BandImportance:
    """Take each band away in turn; as many passes as there are bands, and one more. One batch is held at a time.

    Args:
        batches: float32 digital numbers (batch, bands, size, size), as the net takes them, on any device.
        rows: of all batches together.
        progress: called with rows done, and of how many.

    Raises:
        ShardError: there are no rows.
        TrainingError: a batch does not fit into memory.
    """
    if not rows:
        raise ShardError("there are no patches to look at", hint="Give a split that has some.")
    net, config = bundle.net, bundle.config
    logits, probabilities = [], []
    done = 0
    for each in batches:
        with own_memory_errors(f"a batch of {len(each)} patches", "Use a smaller batch size."):
            batch = each.to(net.mean.device)
            # (1 + bands, rows, classes), in float64: a float32 of 20 and one of 20.0001 differ by noise
            found = torch.stack([net(batch), *(net(one) for one in _without(batch, net.mean))]).double()
        shares = torch.sigmoid(found / config.temperature)
        logits.append((found[1:] - found[0]).transpose(0, 1).float().cpu())
        probabilities.append((shares[1:] - shares[0]).transpose(0, 1).float().cpu())
        done += len(batch)
        progress(done, rows)
    return BandImportance(
        tuple(config.bands), tuple(config.label_names), torch.cat(logits).numpy(), torch.cat(probabilities).numpy()
    )


def _without(batch: Tensor, mean: Tensor) -> Any:
    """The batch without each band in turn, one at a time: all at once would take as many times the memory."""
    for band in range(batch.shape[1]):
        changed = batch.clone()
        changed[:, band] = mean[0, band]
        yield changed


def draw_importance(found: BandImportance, of: str) -> Figure:
    """A table of mean changes of probability, bands across and classes down, and above it each band's strength."""
    values = 100 * found.probabilities.mean(axis=0).T  # (classes, bands), in percentage points
    bands, names = found.bands, found.label_names
    table = max(0.3, room_for(names)) * len(names)
    figure = blank(max(6.5, 3.4 + 0.48 * len(bands)), 3.5 + table)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.1, table])
    upper.bar(range(len(bands)), list(found.strength.values()), color=BLUE, width=0.7)
    upper.set_ylabel("mean change of\na logit", fontsize=8)
    upper.tick_params(labelsize=8)
    tidy(upper)
    upper.set_title("How far each band moves the classes, whichever way", fontsize=9)
    image = _draw_table(lower, values)
    scale = figure.colorbar(image, ax=lower, location="bottom", shrink=0.7, aspect=40, pad=0.15 / table)
    scale.ax.xaxis.set_major_formatter(FuncFormatter(_point))
    scale.set_label("percentage points", fontsize=8)
    scale.ax.tick_params(labelsize=8)
    lower.set_xticks(range(len(bands)), bands, fontsize=8)
    lower.set_yticks(range(len(names)), [wrap(name) for name in names], fontsize=8)
    title = "Change of each class's probability, in percentage points, when the band is taken away"
    lower.set_title(title, fontsize=9, loc="right" if len(bands) < 8 else "center")
    rows = len(found.logits)
    figure.suptitle(f"What the net decides by ({of}, {rows:,} {'patch' if rows == 1 else 'patches'})", fontsize=12)
    note = "orange: the band spoke for the class; purple: against it. Bands that say the same stand in for each other."
    figure.supxlabel(note, fontsize=8)
    return figure


def _draw_table(axes: Axes, values: NDArray[np.float32]) -> AxesImage:
    most = max(float(np.abs(values).max()), _LEAST)
    image = axes.imshow(values, cmap="PuOr", norm=TwoSlopeNorm(0, -most, most), aspect="auto")
    fills = image.to_rgba(values)
    for (row, column), value in np.ndenumerate(values):
        ink = ink_on(tuple(fills[row, column]))
        axes.text(column, row, signed(float(value), 1), ha="center", va="center", fontsize=7, color=ink)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return image


def _point(value: float, _: int | None = None) -> str:
    return signed(value, 0 if value == round(value) else 1)
