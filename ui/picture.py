"""Pixels to pictures: true colour, and Grad-CAM laid over it.

Flows in: a GeoTIFF's bytes, and a heat map. Flows out: arrays of 8-bit RGB, and `data:` URIs, so that no picture
is ever written to the server's disk or has an address that shows a path of it.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.bands import BAND_SETS, SENTINEL2
from pipelines.errors import PatchError, ServiceError
from pipelines.pixels.band_names import given_names
from pipelines.pixels.meaning import Known
from pipelines.pixels.patch import Patch, read_stack
from pipelines.spellings import find
from serve.schema import ModelInfo

RGB = BAND_SETS["rgb"]

HEAT = ("#42106b", "#932667", "#dd513a", "#fca50a", "#fcffa4")
"""From weakest to strongest evidence: rises in lightness, so that it can be read without seeing hues."""

_STRONGEST = 0.85
_CONTRAST = 0.06
"""Of reflectance."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """What a patch looks like: `rgb` of shape (height, width, 3), and how it came about, in words."""

    rgb: Pixels
    title: str
    caption: str


def take_picture(tiff: bytes, model: ModelInfo, bands: str = "") -> Picture:
    """See a patch in true colour; in grey, by the model's first band, where it lacks a band for that.

    Args:
        bands: comma list of what the file's bands are; empty leaves it to the file.

    Raises:
        PatchError: the file does not hold what the model reads.
        BandError: see `given_names`.
    """
    patch = _read(tiff, model, given_names(bands) if bands else None)
    colours = [find(band, patch.pixels) for band in RGB]
    if all(colours):
        layers = np.stack([patch.pixels[band] for band in colours if band], axis=-1)
        rgb, words = _stretch(layers, model.numbers)
        return Picture(rgb, "True colour", f"Red {RGB[0]}, green {RGB[1]}, blue {RGB[2]}; {words}")
    band = model.bands[0]
    grey, words = _stretch(patch.pixels[band], model.numbers)
    name = f"{band} ({SENTINEL2[band].meaning})" if band in SENTINEL2 else band
    why = f"This file has no {', '.join(RGB)} for true colour, so one band is shown in grey; {words}"
    return Picture(np.repeat(grey[..., None], 3, axis=-1), f"Band {name}", why)


def _read(tiff: bytes, model: ModelInfo, names: tuple[str, ...] | None) -> Patch:
    # One call for both: asked for RGB alone, the reader would take a nameless three-band file for it.
    more = [band for band in RGB if not find(band, model.bands)]
    first = next(iter(model.numbers.values()), Known())
    wanted = (*model.bands, *more)
    # Without quantiles: the endpoint has judged the patch already.
    known = {band: model.numbers.get(band, first).model_copy(update={"quantiles": {}}) for band in wanted}
    try:
        return read_stack(tiff, wanted=wanted, names=names, known=known, max_nodata=1)
    except PatchError:
        return read_stack(tiff, wanted=model.bands, names=names, known=known, max_nodata=1)


def _stretch(layers: NDArray[Any], numbers: Mapping[str, Known]) -> tuple[Pixels, str]:
    """Brighten jointly over all channels, which keeps hues true, and say from where to where, in the model's unit.

    What is no data is black.
    """
    known = next(iter(numbers.values()), Known())
    values = layers.astype(np.float32) * known.scale + known.offset
    seen = values[np.isfinite(values)]
    low, high = (float(value) for value in np.percentile(seen, (1, 99))) if seen.size else (0.0, 1.0)
    high = max(high, low + _least_span(known))
    bright = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0, 1) ** 0.85
    digits = max(0, 1 - math.floor(math.log10(high - low))) if high - low < 100 else 0
    words = f"{known.unit or 'numbers'} {low:.{digits}f} to {high:.{digits}f} stretched from black to white."
    return (bright * 255).astype(np.uint8), words


def _least_span(known: Known) -> float:
    """Least contrast that is stretched, so that a calm sea does not become noise."""
    if known.unit == "reflectance":
        return _CONTRAST
    if not known.quantiles:
        return _CONTRAST * 10_000
    return 0.1 * max(known.scale * (known.quantiles["99"] - known.quantiles["1"]), 1e-6)


def read_heat(png: bytes, shape: tuple[int, ...]) -> Pixels:
    """Decode the endpoint's heat map to (height, width).

    Args:
        png: the file's bytes.
        shape: of the picture that it is to lie on: (height, width, …).

    Raises:
        ServiceError: it is no picture.
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            grey = image.convert("L").resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    except (OSError, ValueError, Image.DecompressionBombError):
        raise ServiceError("the endpoint sent no readable heat map", hint="Is it Landsweep's?") from None
    return np.asarray(grey, dtype=np.uint8)


def lay_over(rgb: Pixels, heat: Pixels) -> Pixels:
    """The picture, paler and greyer, with evidence in colours whose opacity rises with it.

    Args:
        rgb: (height, width, 3).
        heat: (height, width), 0 for no evidence to 255 for the strongest.
    """
    strength = heat.astype(np.float32) / 255
    anchors = np.array([_channels(colour) for colour in HEAT], dtype=np.float32)
    steps = np.linspace(0, 1, len(HEAT))
    colour = np.stack([np.interp(strength, steps, anchors[:, channel]) for channel in range(3)], axis=-1)
    grey = rgb.mean(axis=-1, keepdims=True)
    base = 0.35 * rgb + 0.65 * grey
    opacity = (_STRONGEST * strength**0.6)[..., None]
    return np.asarray(np.clip(base * (1 - opacity) + colour * opacity, 0, 255), dtype=np.uint8)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def as_uri(rgb: Pixels, side: int | None = None) -> str:
    """A picture as a `data:` URI, made smaller to `side` px where given."""
    image = Image.fromarray(rgb)
    if side:
        image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
