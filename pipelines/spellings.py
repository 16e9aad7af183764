"""One table of the names that people give to bands, and what they lead to: Sentinel-2's own names.

Flows in: names as files, tables, users, weights and requests write them: `B4`, `b04`, `red`, `Band 8A`, `SR_B4` of a
Landsat, `B4 - red, 665 nm`. Flows out: `B04`, or nothing where a name is of no band here.

Sources: ESA's names with and without leading zero; the common names of STAC's `eo` extension (v1.1 and v2.0) and of
Earth Engine, QGIS and sen2r; USGS, Landsat 8-9 and Landsat 4-7 Collection 2 Level 2 (`SR_B1` … of OLI and of TM, whose
numbers differ).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

WORDS: dict[str, str] = {
    **dict.fromkeys(("coastal", "coastalaerosol", "aerosol", "ultrablue"), "B01"),
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    **{word + ending: band
       for word in ("rededge", "vegetationrededge", "vre", "re")
       for endings, band in ((("1", "071", "705"), "B05"), (("2", "075", "740"), "B06"), (("3", "078", "783"), "B07"))
       for ending in endings},
    **dict.fromkeys(("nir", "nir1", "nearinfrared", "widenir"), "B08"),
    **dict.fromkeys(("nir08", "nir2", "narrownir", "nirnarrow", "narrownearinfrared", "nearinfrarednarrow",
                     "rededge4", "vegetationrededge4", "vre4", "re4"), "B8A"),
    **dict.fromkeys(("nir09", "watervapor", "watervapour"), "B09"),
    "cirrus": "B10",
    **dict.fromkeys(("swir16", "swir1", "shortwaveinfrared1", "swir1600"), "B11"),
    **dict.fromkeys(("swir22", "swir2", "shortwaveinfrared2", "swir2200"), "B12"),
}  # fmt: skip
"""Names in words, without spaces, marks and case, to bands."""

OLI = {1: "B01", 2: "B02", 3: "B03", 4: "B04", 5: "B8A", 6: "B11", 7: "B12"}
"""Landsat 8 and 9: number of a surface-reflectance band to the band of Sentinel-2 at its wavelength."""

TM = {1: "B02", 2: "B03", 3: "B04", 4: "B8A", 5: "B11", 7: "B12"}
"""Landsat 4 to 7, likewise."""

_SENTINEL = re.compile(r"(?:s2[ab]?)?b(?:and)?0?(1[0-2]|[1-9]|8a)(?:[126]0m)?")
_LANDSAT = re.compile(r"srb(?:and)?([1-7])")
_NUMBERED = re.compile(r"(?<!\w)(?:band[ _]?|b)0?(?:1[0-2]|8a|[1-9])(?!\w)", re.IGNORECASE)
_NUMBER = re.compile(r"(?:band[ _]?)?0*([1-9]\d*)", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\W_]+")


def canonical(name: str) -> str | None:
    """The band of Sentinel-2 (B10 is one) that a name means, whatever its case, marks and zeros.

    A description of several words means a band where it holds one band's number and no other's, or is one of `WORDS`.
    `SR_B4` is of a sensor that only its neighbours tell: see `canonical_names`.

    Returns:
        `B04`, for one; None where the name is of no band.
    """
    plain = _plain(name)
    found = _SENTINEL.fullmatch(plain)
    if found:
        return _numbered(found[1])
    if plain in WORDS:
        return WORDS[plain]
    held = {canonical(each[0]) for each in _NUMBERED.finditer(name)}
    return held.pop() if len(held) == 1 else None


def canonical_names(names: Sequence[str]) -> tuple[str, ...]:
    """All names of one file or set, each as Sentinel-2's where it means a band and no other of them means the same.

    Names of no band stay as they are, and so do all that mean one band together.
    """
    landsat = _landsat_of(names)
    meant = [landsat.get(name) or canonical(name) for name in names]
    return tuple(
        band if band and meant.count(band) == 1 and (band == name or band not in names) else name
        for band, name in zip(meant, names, strict=True)
    )


def only_numbered(names: Iterable[str]) -> bool:
    """Whether names are but places, `Band 1`, `Band 2` and so on, as programs write where nobody named anything."""
    found = [_NUMBER.fullmatch(name.strip()) for name in names]
    return all(each and int(each[1]) == place for place, each in enumerate(found, 1))


def find(name: str, known: Iterable[str]) -> str | None:
    """Which of the known names is meant: the same, or the one that means the same band; None where none or several."""
    known = list(known)
    if name in known:
        return name
    band = canonical(name)
    alike = [each for each in known if band and canonical(each) == band]
    return alike[0] if len(alike) == 1 else None


def _numbered(text: str) -> str:
    return "B8A" if text == "8a" else f"B{int(text):02d}"


def landsats_own(band: str, names: Sequence[str]) -> str:
    """What a Landsat, if the names are one's, calls the band: `SR_B7`, for B12 of OLI; "" for any other set."""
    sensor = _sensor_of(set(_numbers(names).values()))
    return next((f"SR_B{number}" for number, meant in sensor.items() if meant == band), "")


def _landsat_of(names: Sequence[str]) -> dict[str, str]:
    """Names such as `SR_B4` to bands."""
    numbers = _numbers(names)
    sensor = _sensor_of(set(numbers.values()))
    return {name: sensor[number] for name, number in numbers.items()} if sensor else {}


def _numbers(names: Sequence[str]) -> dict[str, int]:
    return {name: int(found[1]) for name in names if (found := _LANDSAT.fullmatch(_plain(name)))}


def _sensor_of(numbers: set[int]) -> dict[int, str]:
    """TM and ETM+ have no sixth, and OLI's sixth is what its set is told by; empty where nothing tells."""
    if 6 in numbers:
        return OLI
    return TM if numbers >= {5, 7} else {}


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", name)).lower()
