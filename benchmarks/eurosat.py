"""landnet against what it has to beat on 700 real patches, nothing but those to learn from.

    python -m benchmarks.eurosat SHARDS [--models landnet=2,resnet18=2] [--weights FILE] [--epochs 20] [--save]

SHARDS are EuroSAT's 13 bands at 64 px, one of ten classes a patch, in five folds. All nets have the same optimiser,
schedule, flips and number of epochs; landnet has its usual learning rate, and timm's nets half of it. What another
rate would do is shown by `--models resnet18@2e-3=1 --table eurosat-rates`. The regression is multinomial, on each
band's mean and deviation, with the better of two penalties. With --weights, a net whose weights were learned on
ImageNet is shown too, with and without them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from benchmarks.folds import FOLDS, Entry, Fold, Outcome, fit_all, judge, over_seeds, read_folds, spread
from benchmarks.rounds import Save, show
from models.nets.landnet import SIZES
from models.results.baselines import band_statistics
from models.settings import TrainSettings

TIMM_RATE = 1e-3
MODELS = "landnet=2,landnet-s=1,resnet18=2,resnet50=1"
PRETRAINED = "tf_efficientnet_lite0"
PENALTY = 10.0  # inverse; the better of 1 and 10
REGRESSION = "regression on band statistics"


def regression(folds: list[Fold]) -> list[Outcome]:
    """Multinomial logistic regression on every fold; nothing in it is drawn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = []
    for number, fold in enumerate(folds):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, C=PENALTY))
        model.fit(band_statistics(fold.train), fold.train.labels.argmax(1))
        probabilities = np.asarray(model.predict_proba(band_statistics(fold.held_out)))
        parameters = (2 * len(fold.train.bands) + 1) * len(fold.label_names)
        found.append(Outcome(number, 0, *judge(fold, probabilities), parameters=parameters))
    return found


def rows(found: dict[str, list[Outcome]]) -> Table:
    """A row an entry."""
    result = Table("", "parameters", "seeds", "accuracy, %", "macro AP, %", "its spread over folds", "s/epoch")
    for name, outcomes in found.items():
        seeds = len({each.seed for each in outcomes})
        accuracy = spread(over_seeds(outcomes, lambda each: each.accuracy))
        precision = spread(over_seeds(outcomes, lambda each: each.average_precision))
        folds = [
            float(np.mean([each.average_precision for each in outcomes if each.fold == number]))
            for number in range(FOLDS)
        ]
        seconds = float(np.median([each.seconds for each in outcomes]))
        parameters = f"{outcomes[0].parameters:,}"
        cells = (accuracy, precision, spread(folds), f"{seconds:.1f}" if seconds else "")
        result.add_row(name, parameters, str(seeds), *cells)
    return result


def main(
    shards: Path,
    models: Annotated[str, typer.Option(help="NAME@RATE=SEEDS of each; rate and seeds may be left out")] = MODELS,
    weights: Annotated[Path | None, typer.Option(help=f"ImageNet's, of {PRETRAINED}")] = None,
    epochs: Annotated[int, typer.Option()] = 20,
    table: Annotated[str, typer.Option(help="what --save calls the table")] = "eurosat",
    save: Save = False,
) -> None:
    """Print accuracy and average precision of each net on patches it did not learn from."""
    wanted = [each.partition("=") for each in models.split(",") if each]
    entries = [Entry(name, _settings(name, epochs), int(seeds or 1)) for name, _, seeds in wanted]
    entries += _pretrained(weights, epochs) if weights else []
    known = {REGRESSION: regression(read_folds(shards))}
    note = "± is the deviation over seeds of the mean over folds; seconds on one thread, with validation"
    for found in fit_all(shards, entries):
        show(table, save, rows(known | found), f"{FOLDS} folds, {epochs} epochs; {note}")


def _settings(wanted: str, epochs: int) -> TrainSettings:
    """Of NAME or NAME@RATE."""
    model, _, rate = wanted.partition("@")
    usual = TrainSettings(model=model, epochs=epochs)
    if rate or model not in SIZES:
        return usual.model_copy(update={"learning_rate": float(rate or TIMM_RATE)})
    return usual


def _pretrained(weights: Path, epochs: int) -> list[Entry]:
    """The same net from fresh weights, and from these."""
    fresh = _settings(PRETRAINED, epochs)
    given = fresh.model_copy(update={"pretrained": str(weights)})
    return [Entry(PRETRAINED, fresh), Entry(f"{PRETRAINED}, ImageNet's weights", given)]


if __name__ == "__main__":
    typer.run(main)
