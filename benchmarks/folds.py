"""Nets on the five folds of a small labelled dataset: what the tables of accuracy have in common.

Flows in: a dataset folder (its own splits are joined), and what is to be fitted. Flows out: what each net says of the
patches that it did not learn from.

Folds are stratified by class and the same for all. Statistics are those of the patches that are learned from. A net is
judged after its last epoch, so nothing is chosen by what it is judged on. Each fit has a process and one thread to
itself.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from models.measure.metrics import score
from models.nets.build import ReflectanceNet, create_net
from models.pretrained.load import load_pretrained
from models.settings import TrainSettings
from models.training.loop import Fit
from pipelines.dataset.manifest import open_dataset
from pipelines.feeding.open_rows import open_rows
from pipelines.feeding.rows import Chunk, Split

FOLDS = 5


@dataclass(frozen=True)
class Fold:
    """What is learned from, what is judged on, and each band's mean and deviation over the former."""

    train: Split
    held_out: Split
    label_names: tuple[str, ...]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_folds(shards: Path) -> list[Fold]:
    """All rows of a dataset in `FOLDS` folds, its bands in its own order."""
    manifest = open_dataset(str(shards))
    bands = tuple(manifest.band_names)
    splits = open_rows(str(shards), manifest, list(manifest.splits), bands, "memory")
    chunks = [split.take(np.arange(len(split))) | {"patch_id": split.patch_ids} for split in splits]
    whole: Chunk = {key: np.concatenate([chunk[key] for chunk in chunks]) for key in (*bands, "labels", "patch_id")}
    whole = {key: values[np.argsort(whole["patch_id"].astype(str))] for key, values in whole.items()}
    number = deal(whole["labels"])
    names, size = tuple(manifest.label_names), max(column.size for column in manifest.bands)
    return [_fold(whole, bands, names, size, number == each) for each in range(FOLDS)]


def deal(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The fold of each row: each class's rows, shuffled, go to the folds in turn; of several classes, the last's."""
    generator, found = np.random.default_rng(0), np.empty(len(labels), np.int64)
    for column in labels.T:
        rows = generator.permutation(column.nonzero()[0])
        found[rows] = np.arange(len(rows)) % FOLDS
    return found


def _fold(whole: Chunk, bands: tuple[str, ...], names: tuple[str, ...], size: int, out: NDArray[np.bool_]) -> Fold:
    train, held_out = (Split(bands, ({key: each[rows] for key, each in whole.items()},)) for rows in (~out, out))
    pixels = [train.chunks[0][band] for band in bands]
    mean = tuple(float(each.mean(dtype=np.float64)) for each in pixels)
    return Fold(train, held_out, names, size, mean, tuple(float(each.std(dtype=np.float64)) for each in pixels))


@dataclass(frozen=True)
class Entry:
    """A row of a table: its name, how its net is fitted, with how many seeds, and what is done to it before.

    Seeds count from 0, the same for all folds; or each fold has its own (`apart`), so that the luck of one
    initialisation, which is worth a point of precision, is not in all folds alike, where their spread does not show it.
    """

    name: str
    settings: TrainSettings
    seeds: int = 1
    change: Callable[[ReflectanceNet], object] = id
    apart: bool = False

    def fits(self) -> list[tuple[int, int]]:
        """Folds and seeds."""
        pairs = [(fold, seed) for seed in range(self.seeds) for fold in range(FOLDS)]
        return [(fold, seed * FOLDS + fold) for fold, seed in pairs] if self.apart else pairs


@dataclass(frozen=True)
class Outcome:
    """What one fit came to on its held-out fold: metrics from 0 to 1, and an epoch's seconds of a core."""

    fold: int
    seed: int
    accuracy: float
    average_precision: float
    seconds: float = 0.0
    parameters: int = 0


def judge(fold: Fold, probabilities: NDArray[np.floating]) -> tuple[float, float]:
    """Share of patches whose likeliest class is one of theirs, and macro average precision."""
    truth = fold.held_out.labels
    right = truth[np.arange(len(truth)), probabilities.argmax(1)].mean()
    return float(right), score(probabilities.astype(np.float32), truth, fold.label_names)["ap_macro"]


def fit(entry: Entry, folds: Sequence[Fold], number: int, seed: int) -> Outcome:
    """Train on all folds but one, and judge on that."""
    torch.set_num_threads(1)
    fold, settings = folds[number], entry.settings.model_copy(update={"seed": seed})
    net = create_net(
        settings.model,
        mean=fold.mean,
        std=fold.std,
        num_classes=len(fold.label_names),
        image_size=fold.size,
        seed=seed,
        bands=fold.train.bands,
    )
    if settings.pretrained:
        load_pretrained(
            net,
            settings.model,
            settings.pretrained,
            bands=fold.train.bands,
            labels=fold.label_names,
            channels=settings.pretrained_bands,
            normalisation=settings.pretrained_normalisation,
        )
    torch.manual_seed(seed)
    entry.change(net)
    started = time.process_time()
    *_, last = Fit(net, settings, fold.size, torch.device("cpu")).epochs(fold.train, fold.held_out)
    seconds = (time.process_time() - started) / settings.epochs
    parameters = sum(each.numel() for each in net.parameters())
    return Outcome(number, seed, *judge(fold, last.probabilities), seconds, parameters)


_FOLDS: list[Fold] = []
"""Of a worker's process, read once."""


def _read(shards: Path) -> None:
    _FOLDS.extend(read_folds(shards))


def _fit(entry: Entry, number: int, seed: int) -> Outcome:
    return fit(entry, _FOLDS, number, seed)


def fit_all(shards: Path, entries: Sequence[Entry], only: int = FOLDS) -> Iterator[dict[str, list[Outcome]]]:
    """Fit every entry on every fold, or on the first few, with all of its seeds; as many at a time as there are cores.

    Yields what there is whenever an entry is done: it may take hours, and somebody may not want to wait for the last.
    """
    console, found = Console(stderr=True), dict[str, list[Outcome]]()
    cores, context = len(os.sched_getaffinity(0)), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, context, _read, (shards,)) as pool:
        jobs = {
            entry.name: [pool.submit(_fit, entry, fold, seed) for fold, seed in entry.fits() if fold < only]
            for entry in entries
        }
        for name, fits in jobs.items():
            for job in as_completed(fits):
                outcome = job.result()
                found.setdefault(name, []).append(outcome)
                console.print(f"{name}, seed {outcome.seed}, fold {outcome.fold}: {outcome.average_precision:.4f}")
            yield found


def spread(values: Iterable[float]) -> str:
    """Mean and standard deviation, if there are several, in percent."""
    values = [100 * each for each in values]
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.fmean(values):.1f} ± {statistics.pstdev(values):.1f}"


def over_seeds(outcomes: Sequence[Outcome], of: Callable[[Outcome], float]) -> list[float]:
    """The mean over the folds, one a seed."""
    seeds = sorted({each.seed for each in outcomes})
    return [statistics.fmean(of(each) for each in outcomes if each.seed == seed) for seed in seeds]
