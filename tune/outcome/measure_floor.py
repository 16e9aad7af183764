"""What a search has to beat, measured before its first trial: regressions on what needs no training.

Flows in: a search's settings, and the data that its trials will see. Flows out: a row for a logistic regression on each
band's mean and deviation, and one for a probe of each pretrained net that the space names; kept in the study's folder,
and measured again only where the dataset or the question is another.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.device import pick_device
from models.measure.metrics import score
from models.measure.thresholds import fit_thresholds
from models.probe.probe import fit_probe
from models.results.baselines import band_regression
from models.settings import ProbeSettings
from pipelines.bands import parse_bands
from pipelines.dataset.part_file import ROWS_PER_GROUP
from pipelines.errors import LandsweepError
from pipelines.feeding.epoch_order import ALL, Plan
from pipelines.feeding.rows import Chunk, Rows
from pipelines.feeding.shared import Feed
from pipelines.files import write_whole
from tune.outcome.floor import FLOOR, FloorRow, Kept, kept_floor
from tune.settings import SearchSettings

Found = dict[str, float | None]
"""Split to the metric."""


MOST = 8192
"""Patches of a split that are used, at most: what means and deviations say is said by fewer."""

Tell = Callable[[str], None]


def floor(
    settings: SearchSettings,
    data: Feed,
    folder: Path,
    tell: Tell = lambda _: None,
    *,
    splits: Sequence[str] = ("validation",),
    most: int = MOST,
) -> list[FloorRow]:
    """The rows, best on validation first; read from the study's folder where they stand there already.

    Args:
        settings: of the search.
        data: the training split and all of `splits`, with the bands of all trials.
        folder: of the study.
        tell: gets a line for each row that is measured.
        splits: what to score, validation among them; thresholds, where the metric needs some, are fitted there.
        most: patches of a split that are used.

    Raises:
        ShardError, BandError, ServiceError: see `Feed.get`.
        StorageError: the disk is full.
    """
    question = _question(settings, data, most)
    kept = kept_floor(folder)
    if kept and kept.question == question and set(splits) <= set(kept.splits):
        return kept.rows
    rows = []
    for row in measure(settings, data, splits, most):
        tell(f"To beat: {settings.metric} of {row}.")
        rows.append(row)
    rows.sort(key=lambda row: -row.values.get("validation", -1.0))
    write_whole(folder / FLOOR, Kept(question=question, splits=list(splits), rows=rows).model_dump_json(indent=1))
    return rows


def measure(settings: SearchSettings, data: Feed, splits: Sequence[str], most: int) -> Iterator[FloorRow]:
    """The regression on all bands of the search; then a probe for each model and weights of its space, if it has any.

    What cannot be measured, such as weights of another model, gives a row that says why.
    """
    names = data.manifest.band_names
    union = list(dict.fromkeys(band for bands in settings.space.bands for band in parse_bands(bands, names)))
    regression = partial(_regression, settings, data.manifest.label_names)
    yield _row("logistic regression on band means and deviations", regression, data, union, splits, most)
    first = parse_bands(settings.space.bands[0], names)
    for pretrained in filter(None, settings.space.pretrained):
        for model in settings.space.model:
            probe = partial(_probe, settings, data, model, pretrained)
            yield _row(f"probe of {model} from {pretrained}", probe, data, list(first), splits, most)


def _row(
    name: str,
    reach: Callable[[Mapping[str, Rows]], Found],
    data: Feed,
    bands: list[str],
    splits: Sequence[str],
    most: int,
) -> FloorRow:
    begun = time.perf_counter()
    whole = {split: data.get(split, bands) for split in dict.fromkeys(("train", *splits))}
    rows = {split: some(each, most) for split, each in whole.items()}
    known: dict[str, Any] = {"name": name, "bands": bands}
    known |= {"patches": {split: len(each) for split, each in rows.items()}}
    known |= {"of": {split: len(each) for split, each in whole.items()}}
    try:
        found = reach(rows)
        values = {split: value for split, value in found.items() if value is not None}
        note = "" if values else "the metric has no value"
    except LandsweepError as error:
        values, note = {}, str(error)
    return FloorRow(**known, values=values, note=note, seconds=round(time.perf_counter() - begun, 3))


def _regression(settings: SearchSettings, names: Sequence[str], rows: Mapping[str, Rows]) -> Found:
    said = {split: band_regression(rows["train"], each) for split, each in rows.items() if split != "train"}
    limits = fit_thresholds(said["validation"], rows["validation"].labels, settings.beta)
    return {split: score(each, rows[split].labels, names, limits)[settings.metric] for split, each in said.items()}


def _probe(settings: SearchSettings, data: Feed, model: str, pretrained: str, rows: Mapping[str, Rows]) -> Found:
    asked = ProbeSettings(
        data=settings.data,
        model=model,
        pretrained=pretrained,
        bands=settings.space.bands[0],
        metric=settings.metric,
        beta=settings.beta,
        seed=settings.seed,
        device="auto" if settings.gpus else "cpu",
    )
    fitted = fit_probe(asked, data.manifest, dict(rows), pick_device(asked.device), lambda _: None)
    return {split: values[settings.metric] for split, values in fitted.floor["probe"].items()}


def some(rows: Rows, most: int) -> Rows:
    """Rows themselves where there are no more, else so many of them.

    They are runs of neighbours, evenly spread: rows that are each taken alone would have all of a dataset read.
    """
    if len(rows) <= most:
        return rows
    length = min(ROWS_PER_GROUP, most)
    groups = len(rows) // length
    chosen = np.unique(np.linspace(0, groups - 1, most // length).round().astype(np.int64))
    return _Some(rows, (chosen[:, None] * length + np.arange(length)).ravel())


@dataclass(frozen=True)
class _Some:
    """Some of the rows of others, in their order."""

    rows: Rows
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def bands(self) -> tuple[str, ...]:
        return self.rows.bands

    @property
    def patch_ids(self) -> NDArray[Any]:
        return self.rows.patch_ids[self.places]

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        return self.rows.labels[self.places]

    def select(self, bands: Sequence[str]) -> _Some:
        return _Some(self.rows.select(bands), self.places)

    def take(self, rows: NDArray[np.int64]) -> Chunk:
        return self.rows.take(self.places[rows])

    def epoch(self, batch_size: int, seed: Sequence[int] | None, plan: Plan = ALL) -> Iterator[Chunk]:
        order = plan.order(len(self), seed)
        for step in range(plan.skip, plan.steps(len(order), batch_size)):
            start = step * batch_size
            yield self.take(np.sort(plan.mine(order[start : start + plan.size(step, len(order), batch_size)])))


def _question(settings: SearchSettings, data: Feed, most: int) -> str:
    """Hash of all that the rows depend on."""
    space = settings.space
    asked = {"data": data.manifest.hash, "metric": settings.metric, "beta": settings.beta, "most": most}
    asked |= {"bands": space.bands, "seed": settings.seed}
    asked |= {"model": space.model, "pretrained": space.pretrained} if any(space.pretrained) else {}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
