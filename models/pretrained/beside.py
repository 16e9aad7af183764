"""What stands beside a file of weights and says what its channels are.

    FILE.bands.json     ours: {"bands": ["B04", …], "scale": 10000, "mean": {"B04": 0.1, …}, "std": {…}}, or bands alone
    NAME.json           the publisher's, of the same name but for its ending, as ukis-csmask has it
    config.json         the publisher's, as Hugging Face's hub has it, such as reBEN's

Of a publisher's JSON it is known only that bands are a list of names under one of a few keys, and means and deviations
lists of the same length, or by band; where it says no such thing it is as if it were not there.

Flows in: a file's path, and how many channels its first layer has. Flows out: names of bands, and a normalisation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, FiniteFloat

from models.pretrained.normalisation import Normalisation
from pipelines.errors import SettingsError
from pipelines.settings import Settings
from pipelines.spellings import canonical

ENDING = ".bands.json"
MAX_BYTES = 1_000_000

_BANDS = ("bands", "band_names", "band_order", "channel_names", "channels", "input_bands")
_MEANS, _STDS = ("mean", "means"), ("std", "stds")
_CLASSES, _MODEL = ("class_names", "label_names"), ("timm_model_name",)
_PAIR = "img"
"""Key under which ukis-csmask has the means, and then the deviations, of all bands."""

_DEPTH = 8

Above = Annotated[FiniteFloat, Field(gt=0)]


@dataclass(frozen=True)
class Beside:
    """What a JSON says: names of the channels as it writes them, normalisation, names of classes, the net's name."""

    file: Path
    bands: tuple[str, ...] = ()
    normalisation: Normalisation | None = None
    labels: tuple[str, ...] = ()
    model: str = ""


class Sidecar(Settings):
    """What FILE.bands.json says."""

    bands: list[str] = Field(min_length=1, description="names of the channels, in their order")
    scale: Above = Field(default=1, description="what digital numbers were divided by first, for all bands")
    mean: dict[str, FiniteFloat] = Field(default={}, description="band to what was then subtracted")
    std: dict[str, Above] = Field(default={}, description="band to what was then divided by")


def sidecar_of(path: Path) -> Path:
    """Where a user writes down what the channels of a file are."""
    return path.with_name(path.name + ENDING)


def read_sidecar(path: Path) -> Beside | None:
    """FILE.bands.json; None where there is none.

    Raises:
        SettingsError: it is damaged, too large, or says other things than a `Sidecar` does.
    """
    file = sidecar_of(path)
    if not file.is_file():
        return None
    found = _json(file)
    if not isinstance(found, dict):
        hint = 'Write {"bands": ["B04", "B03", "B02"]}, and scale, mean and std if they are known.'
        raise SettingsError("not a JSON object of at most 1 MB", where=str(file), hint=hint)
    said = Sidecar.parse(found, where=str(file))
    mean, std = ({canonical(band) or band: value for band, value in each.items()} for each in (said.mean, said.std))
    known = said.model_fields_set & {"scale", "mean", "std"}
    return Beside(file, tuple(said.bands), Normalisation(said.scale, mean, std) if known else None)


def read_publishers(path: Path, channels: int, classes: int, scale: float) -> Beside | None:
    """A publisher's JSON beside a file; None where there is none that names as many bands as there are channels.

    Args:
        channels, classes: of the file's net.
        scale: of the means and deviations; see `Normalisation`.
    """
    for file in (path.with_suffix(".json"), path.with_name("config.json")):
        found = _json(file) if file.is_file() else None
        said = list(_walk(found))
        bands = _names(said, _BANDS, channels)
        if bands:
            model = next((value for key, value in said if key in _MODEL and isinstance(value, str)), "")
            return Beside(file, bands, _statistics(said, bands, scale), _names(said, _CLASSES, classes), model)
    return None


def _json(file: Path) -> Any:
    try:
        if file.stat().st_size > MAX_BYTES:
            return None
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _walk(values: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every key with its value, those of outer objects first."""
    if isinstance(values, dict) and depth < _DEPTH:
        yield from values.items()
        for value in values.values():
            yield from _walk(value, depth + 1)


def _names(said: list[tuple[str, Any]], keys: tuple[str, ...], count: int) -> tuple[str, ...]:
    """The first list of so many names, each of another thing, under one of these keys; none where there is none."""
    lists = (value for key, value in said if key in keys and isinstance(value, list) and len(value) == count)
    return next((tuple(value) for value in lists if value and _are_names(value)), ())


def _are_names(values: list[Any]) -> bool:
    if not all(isinstance(each, str) and each.strip() for each in values):
        return False
    return len({canonical(each) or each for each in values}) == len(values)


def _statistics(said: list[tuple[str, Any]], bands: tuple[str, ...], scale: float) -> Normalisation | None:
    for key, value in said:
        if key == _PAIR and isinstance(value, list) and len(value) == 2:
            said = [*said, ("mean", value[0]), ("std", value[1])]
    mean, std = (
        next((found for key, value in said if key in keys and (found := _by_band(value, bands))), None)
        for keys in (_MEANS, _STDS)
    )
    if not mean or not std or min(std.values()) <= 0:
        return None
    return Normalisation(scale, mean, std)


def _by_band(value: Any, bands: tuple[str, ...]) -> dict[str, float]:
    """Numbers of all the bands, from a list or from a mapping; none where it is neither."""
    names = [canonical(band) or band for band in bands]
    if isinstance(value, list) and len(value) == len(bands):
        value = dict(zip(names, value, strict=True))
    if not isinstance(value, Mapping):
        return {}
    given = {canonical(band) or band: number for band, number in value.items()}
    kept = {name: given.get(name) for name in names}
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in kept.values()):
        return {}
    return {name: float(number) for name, number in kept.items() if number is not None}
