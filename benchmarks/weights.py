"""What weights of others are worth on 700 real patches, frozen and fine-tuned, beside what needs none.

    python -m benchmarks.weights SHARDS --lite LITE.pth --cloud model_6b_l1c.onnx [--epochs 20] [--save]

SHARDS are EuroSAT's, as in `benchmarks.eurosat`, in the same five folds. LITE is ImageNet's tf_efficientnet_lite0; the
cloud net is the six bands' of ukis-csmask 1.0.0 at Level-1C, which EuroSAT is (`pip download --no-deps ukis-csmask`,
unpacked; its JSON beside it).

A probe is a multinomial regression on standardised features of a net that is not touched; its strength is chosen on a
fifth of the patches that are learned from, and it is then fitted on all of these. Frozen nets are shown on the bands
that they know, and on all thirteen, of which the others get the mean of their kernels. Seconds are those of a fold on
one thread: features and fit of a probe, all epochs of a net.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.table import Table
from torch.nn import functional

from benchmarks.eurosat import PRETRAINED, TIMM_RATE
from benchmarks.folds import FOLDS, Entry, Fold, Outcome, deal, fit_all, judge, read_folds, spread
from benchmarks.rounds import Save, show
from models.nets.build import ReflectanceNet, create_net
from models.pretrained.load import load_pretrained
from models.results.baselines import band_statistics
from models.settings import TrainSettings
from pipelines.bands import BAND_SETS
from pipelines.feeding.batches import assemble
from pipelines.feeding.rows import Split

CLOUD = "tf_efficientnet_b4"
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse penalties that are tried."""

KERNELS, SIDE, STRIDE = 256, 5, 4
_AT_ONCE = 50

Features = Callable[[Fold], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Of the patches that are learned from, and of those that are judged on: (rows, features) each."""


def statistics_of_bands(fold: Fold) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of each band."""
    return tuple(band_statistics(each).astype(np.float32) for each in (fold.train, fold.held_out))  # type: ignore[return-value]  # two of them


def random_convolutions(fold: Fold) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Squares of the patches' own pixels, whitened, as kernels: how often each is answered to, and its opposite."""
    rng = np.random.default_rng(0)
    images = _normalised(fold, fold.train)
    squares = images.unfold(2, SIDE, 1).unfold(3, SIDE, 1)
    places = [
        torch.from_numpy(rng.integers(0, count, 20 * KERNELS)) for count in (*squares.shape[:1], *squares.shape[2:4])
    ]
    taken = squares.permute(0, 2, 3, 1, 4, 5)[places[0], places[1], places[2]].flatten(1).double()
    mean, covariance = taken.mean(0), torch.cov(taken.T)
    values, axes = torch.linalg.eigh(covariance)
    whiten = axes @ torch.diag((values.clamp_min(0) + 0.01 * values.mean()).rsqrt()) @ axes.T
    kernels = functional.normalize((taken[:KERNELS] - mean) @ whiten, dim=1) @ whiten
    weight = kernels.view(KERNELS, images.shape[1], SIDE, SIDE).float()
    bias = -(kernels @ mean).float()

    def answers(split: Split) -> NDArray[np.float32]:
        found = []
        for part in torch.split(_normalised(fold, split), _AT_ONCE):
            seen = functional.conv2d(part, weight, bias, STRIDE)
            found.append(torch.cat([functional.relu(sign * seen - 0.5).mean((2, 3)) for sign in (1, -1)], 1))
        return torch.cat(found).numpy()

    return answers(fold.train), answers(fold.held_out)


def frozen(model: str, weights: Path, bands: Sequence[str] = ()) -> Features:
    """The mean over the patch of what each stage of a net with these weights gives, on all bands or on some.

    Not what its last layer is given: a U-Net's encoder comes without the convolution before that.
    """

    def features(fold: Fold) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        used = tuple(bands) or fold.train.bands
        where = [fold.train.bands.index(band) for band in used]
        given: dict[str, Any] = {"mean": [fold.mean[at] for at in where], "std": [fold.std[at] for at in where]}
        net = create_net(model, **given, bands=used, num_classes=len(fold.label_names), image_size=fold.size, seed=0)
        load_pretrained(net, model, str(weights), bands=used, labels=fold.label_names)
        return _stages(net, fold.train, used, fold.size), _stages(net, fold.held_out, used, fold.size)

    return features


def _stages(net: ReflectanceNet, split: Split, bands: Sequence[str], size: int) -> NDArray[np.float32]:
    backbone: Any = net.eval().backbone
    found = []
    with torch.inference_mode():
        for part in torch.split(assemble(split.take(np.arange(len(split))), bands, size), _AT_ONCE):
            stages = backbone.forward_intermediates(net.prepare(part), intermediates_only=True)
            found.append(torch.cat([stage.mean((2, 3)) for stage in stages], 1))
    return np.asarray(torch.cat(found).numpy(), np.float32)


def _normalised(fold: Fold, split: Split) -> torch.Tensor:
    images = assemble(split.take(np.arange(len(split))), split.bands, fold.size)
    mean, std = (torch.tensor(each, dtype=torch.float32).view(1, -1, 1, 1) for each in (fold.mean, fold.std))
    return (images - mean) / std


@dataclass(frozen=True)
class Probe:
    """A row of the table that trains no net."""

    name: str
    features: Features


def probe(row: Probe, folds: Sequence[Fold]) -> Iterator[Outcome]:
    """One outcome a fold."""
    for number, fold in enumerate(folds):
        started = time.monotonic()
        train, held_out = row.features(fold)
        probabilities = _regress(train, fold.train.labels, held_out)
        seconds = time.monotonic() - started
        size = (train.shape[1] + 1) * len(fold.label_names)
        yield Outcome(number, 0, *judge(fold, probabilities), seconds, size)


def _regress(
    train: NDArray[np.float32], labels: NDArray[np.uint8], held_out: NDArray[np.float32]
) -> NDArray[np.floating]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    truth, inner = labels.argmax(1), deal(labels) == 0

    def fitted(strength: float, rows: NDArray[np.bool_]) -> Any:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, tol=1e-3, C=strength))
        return model.fit(train[rows], truth[rows])

    with threadpool_limits(1):
        judged = {each: fitted(each, ~inner).score(train[inner], truth[inner]) for each in STRENGTHS}
        best = max(judged, key=judged.__getitem__)
        return np.asarray(fitted(best, np.ones(len(train), bool)).predict_proba(held_out))


def rows(found: dict[str, list[Outcome]]) -> Table:
    """A row an entry; ± is the deviation over folds."""
    table = Table("", "parameters that are fitted", "accuracy, %", "macro AP, %", "s/fold")
    for name, outcomes in found.items():
        seconds = statistics.median(each.seconds for each in outcomes)
        cells = (spread(each.accuracy for each in outcomes), spread(each.average_precision for each in outcomes))
        table.add_row(name, f"{outcomes[0].parameters:,}", *cells, f"{seconds:.1f}")
    return table


def main(
    shards: Path,
    lite: Annotated[Path | None, typer.Option(help=f"ImageNet's weights of {PRETRAINED}")] = None,
    cloud: Annotated[Path | None, typer.Option(help="ONNX file of the cloud net, six bands, Level-1C")] = None,
    epochs: Annotated[int, typer.Option(help="of nets; with 0 none is trained")] = 20,
    folds: Annotated[int, typer.Option(help="how many of the five; fewer to try it")] = FOLDS,
    save: Save = False,
) -> None:
    """Print accuracy, average precision and seconds of each on patches it did not learn from."""
    torch.set_num_threads(1)
    probes = [Probe("regression on band statistics", statistics_of_bands)]
    probes += [Probe("probe on random convolutions", random_convolutions)]
    probes += _probes("ImageNet's lite0", PRETRAINED, lite, BAND_SETS["rgb"]) if lite else []
    probes += _probes("the cloud net's B4", CLOUD, cloud, BAND_SETS["rgb-nir-swir"]) if cloud else []
    dealt, found = read_folds(shards)[:folds], dict[str, list[Outcome]]()
    note = f"{folds} folds, {epochs} epochs of nets; ± is the deviation over folds; seconds on one thread"
    for row in probes:
        found[row.name] = list(probe(row, dealt))
        print(f"{row.name}: {found[row.name][0].seconds:.0f} s a fold", file=sys.stderr)
    show("weights", save, rows(found), note)
    entries = list(_entries(lite, cloud, epochs)) if epochs else []
    for nets in fit_all(shards, entries, folds):
        timed = {name: [_whole(each, epochs) for each in outcomes] for name, outcomes in nets.items()}
        show("weights", save, rows(found | timed), note)


def _probes(what: str, model: str, weights: Path, bands: Sequence[str]) -> list[Probe]:
    own = Probe(f"probe on {what}, {len(bands)} bands", frozen(model, weights, bands))
    return [own, Probe(f"probe on {what}, all bands", frozen(model, weights))]


def _entries(lite: Path | None, cloud: Path | None, epochs: int) -> Iterator[Entry]:
    for what, model, weights in (("ImageNet's lite0", PRETRAINED, lite), ("the cloud net's B4", CLOUD, cloud)):
        if weights:
            settings = {"model": model, "epochs": epochs, "learning_rate": TIMM_RATE, "pretrained": str(weights)}
            yield Entry(f"{what}, fine-tuned", TrainSettings.parse(settings))
    yield Entry("landnet from nothing", TrainSettings(epochs=epochs))


def _whole(outcome: Outcome, epochs: int) -> Outcome:
    """With the seconds of all epochs."""
    said = (outcome.fold, outcome.seed, outcome.accuracy, outcome.average_precision)
    return Outcome(*said, outcome.seconds * epochs, outcome.parameters)


if __name__ == "__main__":
    typer.run(main)
