"""The search file that `landsweep search init` writes: every setting with its meaning, on one line where that is short.

Flows in: a study's name and its dataset, which may not be there yet. Flows out: YAML text, which reads back as the
settings that it was made of.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from math import log2
from typing import Any

import yaml

from models.nets.priors import Bell, prior_of
from models.settings import FitSettings
from pipelines.bands import parse_bands
from pipelines.dataset.manifest import Manifest
from pipelines.errors import BandError
from pipelines.settings import Settings
from tune.ranges import ModelRanges, Range
from tune.settings import SearchSettings

WIDTH = 120

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("What is searched, and for how long",
     ("name", "data", "metric", "objectives", "constraints", "trials", "epochs", "time_budget", "patches", "seed")),
    ("What is varied; a list of one, or a number in place of a range, holds it", ("space",)),
    ("Who draws", ("sampler", "first", "priors", "earlier")),
    ("Which trials go on, and which one wins", ("scheduler", "finals")),
    ("What a trial may use, and where all is kept",
     ("cpus", "gpus", "concurrent", "feed", "experiments", "storage", "keep", "checkpoint_seconds", "explain")),
    ("How every trial is fitted, where the space does not say otherwise", tuple(FitSettings.model_fields)),
)  # fmt: skip
"""Settings in the order of a reader's interest; what a section above has is not in one below."""

_SETS = ("rgb-nir-swir", "rgb-nir", "rgb")
_SEEN = 10_000
"""Patches that a trial is to see, within 5 and 30 epochs: fewer teach a fresh net little."""


def sized(name: str, data: str, manifest: Manifest | None = None, where: str = "settings") -> SearchSettings:
    """Settings to begin with.

    Args:
        name: of the study.
        data: address of the dataset.
        manifest: what it has, if it is there: bands, batches and epochs are chosen by it.
        where: what an error is said of.

    Raises:
        SettingsError: the study cannot be called so.
    """
    models = {model: _own(model) for model in ("landnet", "resnet18")}
    plain: dict[str, Any] = {"name": name, "data": data}
    space: dict[str, Any] = {"model": models}
    if manifest is not None:
        rows = max(1, manifest.rows("train"))
        batch = 2 ** max(4, min(6, int(log2(max(1, rows / 30)))))
        space |= {"bands": _bands(manifest), "batch_size": [batch // 2, batch, 2 * batch]}
        plain["epochs"] = max(5, min(30, round(_SEEN / rows)))
    return SearchSettings.parse(plain | {"space": space}, where=where)


def template(settings: SearchSettings) -> str:
    """The file's text."""
    lines: list[str] = []
    told: set[str] = set()
    for title, names in SECTIONS:
        lines += [*([""] if lines else []), f"# {title}"]
        for name in names:
            if name not in told:
                lines += _lines(settings, name)
        told |= {*names}
    return "\n".join(lines) + "\n"


def _own(model: str) -> ModelRanges:
    prior = prior_of(model)
    return ModelRanges(
        learning_rate=_range(prior.learning_rate),
        weight_decay=_range(prior.weight_decay),
        drop_path=_range(prior.drop_path) if prior.drop_path else None,
    )


def _range(bell: Bell) -> Range:
    """Two standard deviations to either side, in two digits."""
    ends = (bell.centre / bell.spread**2, bell.centre * bell.spread**2)
    if not bell.log:
        ends = (max(0.0, bell.centre - 2 * bell.spread), bell.centre + 2 * bell.spread)
    low, high = (float(f"{end:.2g}") for end in ends)
    return Range(low=low, high=high, log=bell.log)


def _bands(manifest: Manifest) -> list[str]:
    """All, and the largest of the usual sets that the dataset has and that is not all of it."""
    for name in _SETS:
        try:
            if {*parse_bands(name, manifest.band_names)} < {*manifest.band_names}:
                return ["all", name]
        except BandError:
            continue
    return ["all"]


def _lines(settings: Settings, name: str, indent: str = "") -> Iterator[str]:
    """One setting: what it means beside it if there is room, else above it."""
    field, value = type(settings).model_fields[name], getattr(settings, name)
    key, meaning = f"{indent}{field.alias or name}:", field.description or ""
    plain = settings.model_dump(mode="json")[name]
    if isinstance(plain, dict) and not isinstance(value, Range):
        yield from _comment(meaning, indent)
        yield key
        inner = f"{indent}  "
        if isinstance(value, Settings):
            for each in plain:
                yield from _lines(value, each, inner)
        else:
            yield from _block(plain, inner)
        return
    line = f"{key} {_flow(plain)}"
    if len(line) + len(meaning) + 4 <= WIDTH:
        yield f"{line}  # {meaning}"
    else:
        yield from _comment(meaning, indent)
        yield line


def _block(values: dict[str, Any], indent: str) -> Iterator[str]:
    """A mapping, each of its values on one line if there is room."""
    for key, value in values.items():
        line = f"{indent}{key}: {_flow(value)}"
        if len(line) > WIDTH and isinstance(value, dict):
            yield f"{indent}{key}:"
            yield from _block(value, f"{indent}  ")
        else:
            yield line


def _comment(meaning: str, indent: str) -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(meaning, WIDTH, initial_indent=start, subsequent_indent=start, break_on_hyphens=False)


def _flow(value: Any) -> str:
    """A value on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9)
    if not text.replace("\n", "").isprintable():
        text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9)
    return text.removesuffix("...\n").removesuffix("\n")
