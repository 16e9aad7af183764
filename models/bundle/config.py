"""What a search hands to serving: a folder that says everything about the model in it. No torch needed to read it.

    bundle/
      model.safetensors   weights; of an ensemble those of all members, as `backbone.members.0.…`
      config.json         timm's keys, and bands, statistics, thresholds by name; checksums of all files, this one too
      README.md           model card, written from the config and the metrics
      metrics.json        what it reached on which split
      example.tif         one patch it can be tried on

Flows in: a folder. Flows out: a checked `BundleConfig`, or a BundleError that names what does not fit.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from models.nets.catalog import ENSEMBLE
from models.nets.recipe import Recipe
from pipelines.errors import BundleError
from pipelines.files import sha256_of
from pipelines.pixels.meaning import MOST_NODATA, Known
from pipelines.settings import Settings

FORMAT_VERSION = 1
CONFIG, WEIGHTS, METRICS, CARD, EXAMPLE = "config.json", "model.safetensors", "metrics.json", "README.md", "example.tif"
FILES = (WEIGHTS, METRICS, CARD, EXAMPLE)

Deviation = Annotated[FiniteFloat, Field(ge=0)]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]

_HINT = "Copy the bundle again from where it was written, or take another one."


class Member(Settings):
    """One of the nets that an ensemble's bundle holds: what a bundle of its own would say of it."""

    architecture: str = Field(description="model name in the zoo")
    architecture_arguments: Recipe = Field(description="how the zoo built it")
    bands: list[str] = Field(min_length=1, description="bands it reads, in the order of its channels")
    mean: dict[str, FiniteFloat] = Field(description="band to mean digital number")
    std: dict[str, Deviation] = Field(description="band to standard deviation of digital numbers")
    temperature: FiniteFloat = Field(gt=0, description="its logits are divided by it")
    share: FiniteFloat = Field(gt=0, le=1, description="of the mean of all members' probabilities")
    trial: dict[str, Any] = Field(default_factory=dict, description="study, number and parameters")
    weights: str = Field(default="", description="SHA-256 of the weights of the bundle that it was taken from")

    @model_validator(mode="after")
    def _fits_itself(self) -> Self:
        bands = set(self.bands)
        if len(bands) != len(self.bands) or not bands == set(self.mean) == set(self.std):
            raise ValueError("a member's bands and statistics do not fit each other")
        return self


class BundleConfig(Settings):
    """Everything needed to rebuild and serve the model; whatever is per band or per class is keyed by name."""

    format: int = FORMAT_VERSION
    architecture: str = Field(description="model name in the zoo")
    architecture_arguments: Recipe | None = Field(default=None, description="how the zoo built it; none in old bundles")
    members: list[Member] = Field(default=[], max_length=100, description="of an ensemble: the nets that it is made of")
    num_classes: int
    label_names: list[str] = Field(description="classes in the order of the logits")
    in_chans: int
    bands: list[str] = Field(description="bands in the order of the channels")
    mean: dict[str, FiniteFloat] = Field(description="band to mean digital number")
    std: dict[str, Deviation] = Field(description="band to standard deviation of digital numbers")
    image_size: int = Field(gt=0, description="pixels a side")
    scale: int = Field(default=10_000, description="digital numbers for reflectance 1.0, in bundles without `numbers`")
    numbers: dict[str, Known] = Field(default={}, description="band to what its numbers mean, and how they are spread")
    max_nodata: Share = Field(default=MOST_NODATA, description="share of a patch that may lack data")
    temperature: FiniteFloat = Field(default=1.0, gt=0, description="logits are divided by it")
    thresholds: dict[str, Share] = Field(description="class to the probability from which it is predicted")
    dataset: str = Field(description="hash of the dataset's manifest")
    trial: dict[str, Any] = Field(default_factory=dict, description="study, number and parameters")
    seed: int = 0
    versions: dict[str, str] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict, description="file to SHA-256")
    checksum: str = Field(default="", description="SHA-256 of all the rest of this; see `checksum_of`")

    @model_validator(mode="after")
    def _fits_itself(self) -> Self:
        if self.num_classes != len(self.label_names) or set(self.thresholds) != set(self.label_names):
            raise ValueError("number of classes, label names and thresholds do not fit each other")
        if self.in_chans != len(self.bands) or not set(self.bands) == set(self.mean) == set(self.std):
            raise ValueError("number of channels, bands and statistics do not fit each other")
        if self.architecture_arguments and self.architecture_arguments.image_size not in (0, self.image_size):
            raise ValueError("image size and the size that the net is built for do not fit each other")
        if (self.architecture == ENSEMBLE) != bool(self.members):
            raise ValueError("an ensemble has members, and nothing else has")
        return self

    @model_validator(mode="after")
    def _fits_its_members(self) -> Self:
        if not self.members:
            return self
        if {band for each in self.members for band in each.bands} != set(self.bands):
            raise ValueError("bands and what the members read do not fit each other")
        if any(each.architecture_arguments.image_size not in (0, self.image_size) for each in self.members):
            raise ValueError("image size and the size that a member is built for do not fit each other")
        if not math.isclose(sum(each.share for each in self.members), 1, abs_tol=1e-6):
            raise ValueError("the members' shares do not add up to 1")
        return self

    def known(self) -> dict[str, Known]:
        """Band to what an upload's numbers are held against: in old bundles, reflectance around the mean."""
        return {band: self.numbers.get(band) or self._reckoned(band) for band in self.bands}

    def _reckoned(self, band: str) -> Known:
        mean, std = self.mean[band], self.std[band]
        low = max(mean - 3 * std, mean / 50)
        quantiles = {
            "0.1": low,
            "1": max(mean - 2 * std, low),
            "50": mean,
            "99": mean + 3 * std,
            "99.9": mean + 4 * std,
        }
        return Known(scale=1 / self.scale, unit="reflectance", quantiles=quantiles)


def checksum_of(values: Mapping[str, Any]) -> str:
    """SHA-256 of a config's values but `checksum`, as JSON with its keys sorted: what a hand has changed is not served.

    Order counts in lists, such as the bands, and not in mappings, such as their means.
    """
    rest = {key: value for key, value in values.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def config_text(config: BundleConfig) -> str:
    """What is written as config.json."""
    values = config.model_dump(mode="json", exclude=None if config.members else {"members"})
    return json.dumps(values | {"checksum": checksum_of(values)}, ensure_ascii=False, indent=1)


def read_config(folder: Path) -> BundleConfig:
    """Read a bundle's config.

    Raises:
        BundleError: no bundle there, one of a newer format, changed by hand, or one whose parts contradict each other.
    """
    path = folder / CONFIG
    if not path.is_file():
        what = f"not a bundle: {CONFIG} is missing" if folder.is_dir() else "no such bundle"
        hint = "Give the folder of a run or a search, or of one of its bundles, such as RUN/checkpoints/best_acc."
        raise BundleError(what, where=str(folder), hint=hint)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.get("format") if isinstance(values, dict) else None
        if version != FORMAT_VERSION:
            raise BundleError(f"format {version}, this version reads {FORMAT_VERSION}", where=str(path), hint=_HINT)
        if values.get("checksum") != checksum_of(values):
            raise BundleError("it was changed after it was written: its checksum differs", where=str(path), hint=_HINT)
        return BundleConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        reason = (f"{key}: " if key else "") + str(first["msg"]).removeprefix("Value error, ")
        raise BundleError(f"config does not fit: {reason}", where=str(path), hint=_HINT) from None
    except (ValueError, RecursionError):
        raise BundleError("config is damaged", where=str(path), hint=_HINT) from None


def check_bundle(folder: Path) -> BundleConfig:
    """Read a bundle's config and prove every other file by its checksum.

    Raises:
        BundleError: see `read_config`; or a file is missing, changed, or not of those that a bundle has.
    """
    config = read_config(folder)
    if missing := [name for name in FILES if name not in config.files]:
        raise BundleError(f"config names no {missing[0]}", where=str(folder), hint=_HINT)
    for name, checksum in config.files.items():
        file = folder / name
        if name not in FILES:
            raise BundleError(f'unexpected file "{name}"', where=str(folder), hint=_HINT)
        if not file.is_file():
            raise BundleError(f"{name} is missing", where=str(folder), hint=_HINT)
        if sha256_of(file) != checksum:
            raise BundleError(f"{name} is damaged: its checksum differs", where=str(folder), hint=_HINT)
    return config


def read_metrics(folder: Path) -> dict[str, Any]:
    """The bundle's metrics: split to metric key to value."""
    values: dict[str, Any] = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    return values
