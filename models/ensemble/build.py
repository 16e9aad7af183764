"""A bundle of several bundles, with what it reached, what it gains over the best of them, and what it costs.

Flows in: folders of bundles of one dataset, their shares, and that dataset. Flows out: the ensemble's folder.

Over the logits of the members' mean probability a temperature and the thresholds are fitted on validation, as for any
net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.bundle.config import BundleConfig
from models.bundle.weights import Bundle, load_bundle, write_bundle
from models.ensemble.candidates import check, probabilities_of
from models.ensemble.cost import BATCH as TIMED
from models.ensemble.cost import cost_beside
from models.ensemble.join import Joined, join
from models.measure.calibrate import fit_calibration
from models.measure.evaluate import BATCH, evaluate
from models.measure.metrics import score
from models.training.kept_bundle import example_of
from pipelines.errors import BundleError
from pipelines.feeding.batches import assemble
from pipelines.feeding.shared import Feed

SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Built:
    """A bundle of several that was written.

    Args:
        config: of it; `trial["ensemble"]` says `metric`, place of the `best` member, `gain` by split, and `cost`.
        metrics: split to what it reached.
    """

    config: BundleConfig
    metrics: dict[str, dict[str, Any]]

    @property
    def said(self) -> dict[str, Any]:
        """Gain and cost, as they stand in the bundle."""
        found: dict[str, Any] = self.config.trial["ensemble"]
        return found


def build(
    sources: Sequence[Path],
    shares: Sequence[float],
    out: Path,
    data: Feed,
    *,
    metric: str,
    beta: float = 1.0,
    device: torch.device | None = None,
    batch_size: int = BATCH,
    splits: Sequence[str] = SPLITS,
    trial: Mapping[str, Any] | None = None,
    origins: Sequence[Mapping[str, Any]] = (),
    said: Mapping[str, Any] | None = None,
) -> Built:
    """Put bundles into one, fit its calibration, score it beside the best of them, and write it.

    Args:
        sources: bundles of one dataset.
        shares: of each in the mean, above 0; only their ratios count.
        out: the ensemble's folder; one that is there is replaced.
        data: what they were trained on, with all their bands, and the splits that are to be scored.
        metric: key of what the best member is told by, and the gain is told of.
        beta: of the F-beta that thresholds are fitted for.
        splits: what to score, validation among them; those that are empty are left out.
        trial, said: what else to keep under `trial` and `trial["ensemble"]`.
        origins: what else to keep under each member's `trial`.

    Raises:
        BundleError: a source is damaged, of another dataset, or an ensemble itself; or there is none.
        ShardError, BandError: see `Feed.get`.
        TrainingError: a patch does not fit into memory, or a net gives no numbers.
        StorageError: the disk is full.
    """
    if not sources or len(sources) != len(shares) or min(shares) <= 0:
        raise BundleError(f"{len(sources)} bundles and {len(shares)} shares make no ensemble", hint="Give one each.")
    device = device or torch.device("cpu")
    bundles = [load_bundle(folder, device) for folder in sources]
    for folder, bundle in zip(sources, bundles, strict=True):
        check(bundle.config, data.manifest, folder)
    joined = join(bundles, [share / sum(shares) for share in shares], origins)
    there = [split for split in splits if data.manifest.rows(split)]
    joined, metrics = _scored(joined, data, there, beta, batch_size)
    best, theirs = _best(bundles, data, there, metric, batch_size)
    both = {split: {"ensemble": metrics[split][metric], "best": theirs[split][metric]} for split in there}
    gain = {split: values for split, values in both.items() if None not in values.values()}
    rows = data.get("validation", joined.config.bands)
    chunk = rows.take(torch.arange(min(TIMED, len(rows))).numpy())
    images = assemble(chunk, joined.config.bands, joined.config.image_size, device)
    alone = joined.net.backbone.channels_of(best, images)
    cost = cost_beside((joined.net, images), (bundles[best].net, alone))
    known = dict(said or {}) | {"metric": metric, "best": best, "gain": gain, "cost": cost}
    config = joined.config.model_copy(update={"trial": dict(trial or {}) | {"ensemble": known}})
    config = write_bundle(out, joined.net, config, metrics, example_of(rows), replace=True)
    return Built(config, metrics)


def _scored(
    joined: Joined, data: Feed, splits: Sequence[str], beta: float, batch_size: int
) -> tuple[Joined, dict[str, dict[str, Any]]]:
    """The ensemble with its calibration, and what it reaches with it."""
    config, device = joined.config, joined.net.mean.device
    rows = {split: data.get(split, config.bands) for split in splits}
    logits = {
        split: evaluate(joined.net, each, config.image_size, device, batch_size=batch_size).logits
        for split, each in rows.items()
    }
    fitted = fit_calibration(logits["validation"], rows["validation"].labels, beta)
    thresholds = dict(zip(config.label_names, fitted.thresholds, strict=True))
    config = config.model_copy(update={"temperature": fitted.temperature, "thresholds": thresholds})
    metrics = {
        split: score(fitted.probabilities(logits[split]), each.labels, config.label_names, fitted.thresholds)
        for split, each in rows.items()
    }
    return Joined(config, joined.net), metrics


def _best(
    bundles: Sequence[Bundle], data: Feed, splits: Sequence[str], metric: str, batch_size: int
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Place of the member that is best on validation, and what it reaches by itself."""

    def metrics(bundle: Bundle, split: str) -> dict[str, Any]:
        said = probabilities_of(bundle, data, split, batch_size)
        labels, names = data.get(split, bundle.config.bands).labels, bundle.config.label_names
        return score(said, labels, names, [bundle.config.thresholds[name] for name in names])

    found = [metrics(bundle, "validation") for bundle in bundles]
    best = max(range(len(bundles)), key=lambda place: (found[place][metric] or 0.0, -place))
    rest = {split: metrics(bundles[best], split) for split in splits if split != "validation"}
    return best, {"validation": found[best]} | rest
