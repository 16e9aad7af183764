"""What weights of others are worth on 700 real patches, frozen and fine-tuned, beside what needs none.

    python -m benchmarks.weights SHARDS --lite LITE.pth --cloud model_6b_l1c.onnx [--epochs 20] [--save]

SHARDS are EuroSAT's, as in `benchmarks.eurosat`, in the same five folds. LITE is ImageNet's tf_efficientnet_lite0; the
cloud net is the six bands' of ukis-csmask 1.0.0 at Level-1C, which EuroSAT is (`pip download --no-deps ukis-csmask`,
unpacked; its JSON beside it).

Probes are the product's own, `landsweep probe`: a logistic regression a class on standardised features of a net that is
not touched. Its strength is chosen on a fifth of the patches that are learned from, and it is then fitted on all of
these. Frozen nets are shown on the bands that they know, and on all thirteen, of which the others get the mean of their
kernels; and beside what their last layer is given, as the product has it, by the means of all their stages, since a
U-Net's encoder comes without the convolution before the last layer. The cloud net is the costliest by far, and may be
trained on fewer folds. Seconds are a core's, of a fold: features and fit of a probe, all epochs of a net.
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

from benchmarks.eurosat import PRETRAINED, TIMM_RATE
from benchmarks.folds import FOLDS, Entry, Fold, Outcome, deal, fit_all, judge, read_folds, spread
from benchmarks.rounds import Save, show
from models.measure.metrics import score
from models.nets.build import ReflectanceNet, create_net
from models.nets.random_convolutions import NAME as RANDOM
from models.pretrained.load import load_pretrained
from models.probe.features import features_of, last_layer
from models.probe.fit import fit, path
from models.probe.kernels import draw_kernels
from models.results.baselines import band_statistics
from models.settings import TrainSettings
from pipelines.bands import BAND_SETS
from pipelines.feeding.batches import assemble
from pipelines.feeding.rows import Split

CLOUD = "tf_efficientnet_b4"
_AT_ONCE = 50

Both = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Features of the patches that are learned from, and of those that are judged on: (rows, features) each."""


def statistics_of_bands(fold: Fold) -> Both:
    """Mean and deviation of each band."""
    return _both(fold, lambda each: band_statistics(each).astype(np.float32))


def random_convolutions(fold: Fold) -> Both:
    """What the product's probe takes where no weights are given."""
    net = _net(RANDOM, fold, fold.train.bands)
    draw_kernels(net, fold.train, fold.size, 0)
    return _last(net, RANDOM, fold, fold.train.bands)


def frozen(model: str, weights: Path, bands: Sequence[str] = (), *, stages: bool = False) -> Features:
    """What the last layer of a net with these weights is given, on all bands or on some; or the means of all stages."""

    def features(fold: Fold) -> Both:
        used = tuple(bands) or fold.train.bands
        net = _net(model, fold, used)
        load_pretrained(net, model, str(weights), bands=used, labels=fold.label_names)
        if stages:
            return _both(fold, lambda each: _stages(net, each, used, fold.size))
        return _last(net, model, fold, used)

    return features


Features = Callable[[Fold], Both]


def _both(fold: Fold, of: Callable[[Split], NDArray[np.float32]]) -> Both:
    return of(fold.train), of(fold.held_out)


def _net(model: str, fold: Fold, bands: Sequence[str]) -> ReflectanceNet:
    where = [fold.train.bands.index(band) for band in bands]
    given: dict[str, Any] = {"mean": [fold.mean[at] for at in where], "std": [fold.std[at] for at in where]}
    return create_net(model, **given, bands=bands, num_classes=len(fold.label_names), image_size=fold.size, seed=0)


def _last(net: ReflectanceNet, model: str, fold: Fold, bands: Sequence[str]) -> Both:
    layer, device = last_layer(net, fold.size, model), torch.device("cpu")
    return _both(
        fold, lambda each: features_of(net, layer, Split(tuple(bands), each.chunks), fold.size, device, _AT_ONCE)
    )


def _stages(net: ReflectanceNet, split: Split, bands: Sequence[str], size: int) -> NDArray[np.float32]:
    backbone: Any = net.eval().backbone
    found = []
    with torch.inference_mode():
        for part in torch.split(assemble(split.take(np.arange(len(split))), bands, size), _AT_ONCE):
            stages = backbone.forward_intermediates(net.prepare(part), intermediates_only=True)
            found.append(torch.cat([stage.mean((2, 3)) for stage in stages], 1))
    return np.asarray(torch.cat(found).numpy(), np.float32)


@dataclass(frozen=True)
class Probe:
    """A row of the table that trains no net."""

    name: str
    features: Features


def probe(row: Probe, folds: Sequence[Fold]) -> Iterator[Outcome]:
    """One outcome a fold."""
    for number, fold in enumerate(folds):
        started = time.process_time()
        train, held_out = row.features(fold)
        probabilities = _regress(train, fold.train.labels, held_out, fold.label_names)
        seconds = time.process_time() - started
        size = (train.shape[1] + 1) * len(fold.label_names)
        yield Outcome(number, 0, *judge(fold, probabilities), seconds, size)


def _regress(
    train: NDArray[np.float32], labels: NDArray[np.uint8], held_out: NDArray[np.float32], names: Sequence[str]
) -> NDArray[np.floating]:
    inner = deal(labels) == 0

    def precision(logits: NDArray[np.float32]) -> float:
        return float(score(_sigmoid(logits), labels[inner], names)["ap_macro"])

    chosen = fit(train[~inner], labels[~inner], train[inner], precision).strength
    whole = next(each for each in path(train, labels) if each.strength == chosen)
    return _sigmoid(whole.logits(held_out))


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return torch.from_numpy(logits).sigmoid().numpy()


def rows(found: dict[str, list[Outcome]]) -> Table:
    """A row an entry; ± is the deviation over folds."""
    table = Table("", "parameters that are fitted", "folds", "accuracy, %", "macro AP, %", "s/fold")
    for name, outcomes in found.items():
        seconds = statistics.median(each.seconds for each in outcomes)
        cells = (spread(each.accuracy for each in outcomes), spread(each.average_precision for each in outcomes))
        table.add_row(name, f"{outcomes[0].parameters:,}", str(len(outcomes)), *cells, f"{seconds:.0f}")
    return table


def main(
    shards: Path,
    lite: Annotated[Path | None, typer.Option(help=f"ImageNet's weights of {PRETRAINED}")] = None,
    cloud: Annotated[Path | None, typer.Option(help="ONNX file of the cloud net, six bands, Level-1C")] = None,
    epochs: Annotated[int, typer.Option(help="of nets; with 0 none is trained")] = 20,
    folds: Annotated[int, typer.Option(help="how many of the five; fewer to try it")] = FOLDS,
    cloud_folds: Annotated[int, typer.Option(help="how many of these the cloud net is trained on")] = FOLDS,
    save: Save = False,
) -> None:
    """Print accuracy, average precision and seconds of each on patches it did not learn from."""
    torch.set_num_threads(1)
    probes = [Probe("regression on band statistics", statistics_of_bands)]
    probes += [Probe("probe on random convolutions", random_convolutions)]
    probes += _probes("ImageNet's lite0", PRETRAINED, lite, BAND_SETS["rgb"]) if lite else []
    probes += _probes("the cloud net's B4", CLOUD, cloud, BAND_SETS["rgb-nir-swir"]) if cloud else []
    dealt, found = read_folds(shards)[:folds], dict[str, list[Outcome]]()
    note = f"{epochs} epochs of nets; ± is the deviation over folds; seconds of one core"
    for row in probes:
        found[row.name] = list(probe(row, dealt))
        print(f"{row.name}: {found[row.name][0].seconds:.0f} s a fold", file=sys.stderr)
    show("weights", save, rows(found), note)
    tasks = [(_entries(lite, epochs), folds)]
    if cloud:
        tasks.append(([_tuned("the cloud net's B4", CLOUD, cloud, epochs)], min(folds, cloud_folds)))
    for entries, number in tasks if epochs else []:
        for nets in fit_all(shards, entries, number):
            found |= {name: [_whole(each, epochs) for each in outcomes] for name, outcomes in nets.items()}
            show("weights", save, rows(found), note)


def _probes(what: str, model: str, weights: Path, bands: Sequence[str]) -> Iterator[Probe]:
    yield Probe(f"probe on {what}, {len(bands)} bands", frozen(model, weights, bands))
    yield Probe(f"probe on {what}, all bands", frozen(model, weights))
    yield Probe(f"probe on all stages of {what}, all bands", frozen(model, weights, stages=True))


def _entries(lite: Path | None, epochs: int) -> list[Entry]:
    nothing = Entry("landnet from nothing", TrainSettings(epochs=epochs))
    return [nothing, _tuned("ImageNet's lite0", PRETRAINED, lite, epochs)] if lite else [nothing]


def _tuned(what: str, model: str, weights: Path, epochs: int) -> Entry:
    settings = {"model": model, "epochs": epochs, "learning_rate": TIMM_RATE, "pretrained": str(weights)}
    return Entry(f"{what}, fine-tuned, all bands", TrainSettings.parse(settings))


def _whole(outcome: Outcome, epochs: int) -> Outcome:
    """With the seconds of all epochs."""
    said = (outcome.fold, outcome.seed, outcome.accuracy, outcome.average_precision)
    return Outcome(*said, outcome.seconds * epochs, outcome.parameters)


if __name__ == "__main__":
    typer.run(main)
