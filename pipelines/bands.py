"""Sentinel-2's bands as one frozen table, and the band sets a run may ask for by name.

Flows in: a band set as a user writes it (`rgb`, `all`, `B04,B08,B11`).
Flows out: an ordered tuple of band names. Order given is order used; everything downstream is keyed by name.

Wavelengths and sampling distances: ESA, Sentinel-2 MSI, spectral bands of S2A (B10, cirrus, is absent from
Level-2A products and so from BigEarthNet).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.errors import BandError, nearest, shown
from pipelines.spellings import find

PATCH_METRES = 1200
"""Side of a BigEarthNet patch in metres."""

PATCH_SIZE = 120
"""Side of a BigEarthNet patch in 10 m pixels."""


@dataclass(frozen=True)
class Band:
    """One spectral band: `gsd` is its ground sampling distance in metres, `centre` its wavelength in nanometres."""

    name: str
    gsd: int
    centre: float
    meaning: str

    @property
    def size(self) -> int:
        """Side in pixels of a BigEarthNet patch in this band: 120, 60 or 20."""
        return PATCH_METRES // self.gsd


SENTINEL2: dict[str, Band] = {
    band.name: band
    for band in (
        Band("B01", 60, 442.7, "coastal aerosol"),
        Band("B02", 10, 492.4, "blue"),
        Band("B03", 10, 559.8, "green"),
        Band("B04", 10, 664.6, "red"),
        Band("B05", 20, 704.1, "red edge 1"),
        Band("B06", 20, 740.5, "red edge 2"),
        Band("B07", 20, 782.8, "red edge 3"),
        Band("B08", 10, 832.8, "near infrared"),
        Band("B8A", 20, 864.7, "narrow near infrared"),
        Band("B09", 60, 945.1, "water vapour"),
        Band("B11", 20, 1613.7, "short-wave infrared 1"),
        Band("B12", 20, 2202.4, "short-wave infrared 2"),
    )
}

CIRRUS = Band("B10", 60, 1373.5, "cirrus")
"""Of Level-1C alone, so in no named set."""

ALL_BANDS: tuple[str, ...] = tuple(SENTINEL2)

LEVEL_1C: tuple[str, ...] = (*ALL_BANDS[:10], CIRRUS.name, *ALL_BANDS[10:])
"""All thirteen of a Level-1C product, in the order of their numbers: B8A after B08, B10 before B11."""

EUROSAT_ORDER: tuple[str, ...] = (*(name for name in LEVEL_1C if name != "B8A"), "B8A")
"""The same thirteen as EuroSAT's tool writes them."""

BAND_SETS: dict[str, tuple[str, ...]] = {
    "all": ALL_BANDS,
    "all-imp": tuple(name for name, band in SENTINEL2.items() if band.gsd < 60),
    "rgb": ("B04", "B03", "B02"),
    "rgb-nir": ("B04", "B03", "B02", "B08"),
    "rgb-swir": ("B04", "B03", "B02", "B11", "B12"),
    "rgb-nir-swir": ("B04", "B03", "B02", "B08", "B11", "B12"),
}


def is_coarse(name: str) -> bool:
    """Whether a band is measured on a coarser grid than the 10 m of a patch; one that is not Sentinel-2's is not."""
    band = CIRRUS if name == CIRRUS.name else SENTINEL2.get(name)
    return band is not None and band.gsd > PATCH_METRES // PATCH_SIZE


def listed(spec: str) -> tuple[str, ...]:
    """The names that a band set's name stands for, or those of a comma list, as they are written."""
    return BAND_SETS.get(spec.strip()) or tuple(part.strip() for part in spec.split(",") if part.strip())


def parse_bands(spec: str, available: Sequence[str] = ALL_BANDS) -> tuple[str, ...]:
    """Turn a band set's name or a comma list into band names, in the order given.

    `all` means every band the dataset has, whatever its nomenclature. In a list any spelling of a band will do.

    Raises:
        BandError: a name is unknown, absent from the dataset, or given twice.
    """
    spec = spec.strip()
    if spec == "all":
        return tuple(available)
    names = listed(spec)
    if not names:
        raise BandError("no band given", where=repr(spec), hint=f"Name a set ({', '.join(BAND_SETS)}) or bands.")
    meant = tuple(find(name, available) or name for name in names)
    for name in meant:
        if name not in available:
            sets = "" if "," in spec else f" Band sets: {', '.join(BAND_SETS)}."
            raise BandError(
                f'unknown band "{shown(name)}"', where=f'band set "{spec}"', hint=nearest(name, available) + sets
            )
    if len(set(meant)) != len(meant):
        twice = next(name for name in meant if meant.count(name) > 1)
        raise BandError(f'band "{twice}" is given twice', where=f'band set "{spec}"', hint="Name each band once.")
    return meant
