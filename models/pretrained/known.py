"""Weights of others that know Sentinel-2: how a file of each is told, what its channels are, how they were normalised.

Flows in: what can be seen of a file: its form, its channels, its name. Flows out: the row of the table that it fits, or
what is to be said where several may fit and nobody says which.

Sources: torchgeo, `models/{resnet,swin}.py` (bands, order, normalisation of all of its files);
zhu-xlab/SSL4EO-S12, `src/benchmark`; ukis-csmask 1.0.0, the JSON beside each of its files; ESA, Sentinel-2 products
specification (8-bit true colour of Level-1C: 255 stands for 3,558). Numbers are for reflectance × 10,000.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.pretrained.normalisation import Normalisation
from pipelines.bands import ALL_BANDS, BAND_SETS, LEVEL_1C

RGB = BAND_SETS["rgb"]
"""What the channels of a net trained on photographs are, in their order: red, green, blue."""

SATLAS = (*RGB, "B05", "B06", "B07", "B08", "B11", "B12")
NDVI = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "NDVI")
TEN = tuple(BAND_SETS["all-imp"])
BY_GRID = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12", "B8A")
"""The ten without 60 m as some order them: those of 10 m first."""

REFLECTANCE = Normalisation(scale=10_000)
SOFTCON_MEAN = (1612.9, 1397.6, 1322.3, 1373.1, 1561.0, 2108.4, 2390.7, 2318.7, 2581.0, 837.7, 22.0, 2195.2, 1537.4)
SOFTCON_STD = (791.0, 854.3, 878.7, 1144.9, 1127.5, 1164.2, 1276.0, 1249.5, 1345.9, 577.5, 47.5, 1340.0, 1142.9)
SOFTCON = Normalisation(
    mean=dict(zip(LEVEL_1C, SOFTCON_MEAN, strict=True)), std=dict(zip(LEVEL_1C, SOFTCON_STD, strict=True))
)
TRUE_COLOUR = Normalisation(std=dict.fromkeys(RGB, 3558.0))
EIGHT_BITS = Normalisation(std={**dict.fromkeys(LEVEL_1C, 8160.0), **TRUE_COLOUR.std})


def _seasonal() -> Normalisation:
    """Percentiles of 8 bits to 0 and 1, then ImageNet's mean and deviation; its clipping between them has no place."""
    low, high, count = (0, 2, 3), (129, 103, 88), 255 / 10_000
    spans = [top - bottom for top, bottom in zip(high, low, strict=True)]
    mean = [(b + m * s) / count for b, m, s in zip(low, (0.485, 0.456, 0.406), spans, strict=True)]
    std = [d * s / count for d, s in zip((0.229, 0.224, 0.225), spans, strict=True)]
    return Normalisation(mean=dict(zip(RGB, mean, strict=True)), std=dict(zip(RGB, std, strict=True)))


@dataclass(frozen=True)
class Known:
    """One row: who publishes what, and how a file of it is told from others.

    Args:
        what: publisher and name of the weights, as it publishes them.
        bands: of its channels, in their order; empty where only the JSON beside it says.
        normalisation: none where only the JSON beside it says, or nobody does.
        forms: names of `models.pretrained.forms` that it comes in.
        named: pattern that the file's name has; without one, the form and the number of channels tell it.
        scale: of mean and std in a JSON beside it, as in `Normalisation`.
        source: where it is published.
    """

    what: str
    bands: tuple[str, ...]
    normalisation: Normalisation | None
    forms: frozenset[str]
    named: str = ""
    scale: float = 1.0
    source: str = ""

    def fits(self, form: str, channels: int, name: str) -> bool:
        """Whether a file of this form, with so many input channels and this name, is one of these."""
        if form not in self.forms or (self.bands and len(self.bands) != channels):
            return False
        return not self.named or re.search(self.named, name, re.IGNORECASE) is not None


_TORCHGEO = "torchgeo, on Hugging Face's hub"
_SOFTCON = "wangyi111/softcon on Hugging Face's hub"
_PLAIN = frozenset({"resnet", "vit", "dinov2", "headed"})
_HEADLESS = frozenset({"resnet", "vit", "dinov2"})
_SWIN = frozenset({"torchvision-swin"})
_SSL4EO = frozenset({"moco", "mocov3", "dino", "mae"})

TABLE: Sequence[Known] = (
    Known("SoftCon", LEVEL_1C, SOFTCON, _PLAIN, named="softcon", source=_SOFTCON),
    Known("torchgeo's SECO_ECO with NDVI", NDVI, REFLECTANCE, _PLAIN, named="ndvi", source=_TORCHGEO),
    Known("Satlas, multispectral", SATLAS, EIGHT_BITS, _PLAIN, named=r"satlas|[ms]i_ms", source=_TORCHGEO),
    Known("Satlas, multispectral", SATLAS, EIGHT_BITS, _SWIN, source=_TORCHGEO),
    Known("Satlas, true colour", RGB, TRUE_COLOUR, _PLAIN | _SWIN, named=r"satlas|[ms]i_rgb", source=_TORCHGEO),
    Known("torchgeo's SENTINEL2_RGB_SECO", RGB, _seasonal(), _PLAIN, named=r"rgb_seco", source=_TORCHGEO),
    Known("torchgeo's SENTINEL2_RGB_MOCO", RGB, REFLECTANCE, _PLAIN, named=r"sentinel2_rgb", source=_TORCHGEO),
    Known("torchgeo's SENTINEL2_ALL", LEVEL_1C, REFLECTANCE, _PLAIN, named=r"sentinel2_all", source=_TORCHGEO),
    Known(
        "torchgeo's SENTINEL2_ALL_SECO_ECO",
        ALL_BANDS,
        REFLECTANCE,
        _PLAIN,
        named=r"sentinel2_all|seco_eco",
        source=_TORCHGEO,
    ),
    Known("SoftCon's ViT", LEVEL_1C, SOFTCON, frozenset({"dinov2"}), source=_SOFTCON),
    Known("torchgeo's SENTINEL2_ALL_MOCO, _DINO or _DECUR", LEVEL_1C, REFLECTANCE, _HEADLESS, source=_TORCHGEO),
    Known("torchgeo's SENTINEL2_ALL_SECO_ECO", ALL_BANDS, REFLECTANCE, frozenset({"resnet"}), source=_TORCHGEO),
    Known("SSL4EO-S12", LEVEL_1C, REFLECTANCE, _SSL4EO, source="zhu-xlab/SSL4EO-S12 on GitHub"),
    Known("reBEN", (), None, frozenset({"reben"}), source="BIFOLD-BigEarthNetv2-0 on Hugging Face's hub"),
    Known(
        "ukis-csmask, cloud and shadow",
        (),
        None,
        frozenset({"efficientnet-pytorch"}),
        named=r"model_[46]b_l",
        scale=10_000,
        source="ukis-csmask in the Python package index",
    ),
)
"""Tried in this order: files that tell by their names come before those that only their form tells."""

_REBEN = f"Some of reBEN's versions have {','.join(BY_GRID)}, others {','.join(TEN)}: see the card of yours."
_NINE = f"Satlas has {','.join(SATLAS)}, SECO_ECO with NDVI {','.join(NDVI)}, Landsat 7 nine of its own."
SEVERAL: Mapping[tuple[str, int], str] = {("reben", 10): _REBEN, ("resnet", 9): _NINE}
"""Form and number of channels of which several orders are published, to what is said of them."""


def known(form: str, channels: int, name: str) -> Known | None:
    """The row that a file fits: of this form, with so many input channels, of this name; None of an unknown one."""
    return next((row for row in TABLE if row.fits(form, channels, name)), None)
