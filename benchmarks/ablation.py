"""What each part of landnet is worth, and what was tried and is not in it.

    python -m benchmarks.ablation SHARDS [--model landnet-s] [--seeds 1] [--epochs 20] [--save]

Every row is the real net with one part exchanged, fitted on the same folds with the same seeds, each fold's its own. A
difference is the mean of those to the net as it is, fold by fold and seed by seed; ± is its standard error. What is
within two of these may be chance.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from benchmarks.folds import FOLDS, Entry, Outcome, fit_all
from benchmarks.parts import (
    band_figures_joined,
    early_joined,
    four_by_four_stem,
    global_response,
    mean_pooling,
    narrow_spectrum,
    plain_blocks,
    pooling_of_all_stages,
    small_kernel,
    squeeze_and_excite,
    two_pointwise_layers,
    unbranched_stem,
    with_drop_path,
)
from benchmarks.rounds import Save, show
from models.settings import TrainSettings

AS_IS = "as it is"
CHANGES = {
    "stem: bands not told apart by grid": unbranched_stem,
    "stem: bands of both grids summed one layer earlier": early_joined,
    "stem: pixels folded 4×4 at once, no mixing before": four_by_four_stem,
    "stem: half as many channels of mixed spectrum": narrow_spectrum,
    "stem: two pointwise layers": two_pointwise_layers,
    "blocks: two 3×3 convolutions, as in ResNet": plain_blocks,
    "blocks: depthwise 3×3": small_kernel,
    "attention: squeeze and excitation": squeeze_and_excite,
    "attention: global response normalisation": global_response,
    "pooling: mean alone": mean_pooling,
    "pooling: of all stages": pooling_of_all_stages,
    "head: band means and deviations joined": band_figures_joined,
    "stochastic depth of 0.1": with_drop_path,
}


def row(outcomes: list[Outcome], reference: list[Outcome]) -> tuple[str, ...]:
    """Parameters, accuracy and average precision in percent, and by how much the latter differs."""
    known = {(each.fold, each.seed): each.average_precision for each in reference}
    differences = [100 * (each.average_precision - known[each.fold, each.seed]) for each in outcomes]
    accuracy = 100 * statistics.fmean(each.accuracy for each in outcomes)
    precision = 100 * statistics.fmean(each.average_precision for each in outcomes)
    error = statistics.stdev(differences) / len(differences) ** 0.5
    difference = f"{statistics.fmean(differences):+.1f} ± {error:.1f}" if outcomes is not reference else ""
    return f"{outcomes[0].parameters:,}", f"{accuracy:.1f}", f"{precision:.1f}", difference


def main(
    shards: Path,
    model: Annotated[str, typer.Option(help="one of landnet's sizes")] = "landnet-s",
    seeds: Annotated[int, typer.Option()] = 1,
    epochs: Annotated[int, typer.Option()] = 20,
    part: Annotated[str, typer.Option(help="only what begins with this, such as stem")] = "",
    table: Annotated[str, typer.Option(help="what --save calls the table")] = "ablation",
    save: Save = False,
) -> None:
    """Print what each exchanged part does to average precision."""
    settings = TrainSettings(model=model, epochs=epochs)
    chosen = {name: change for name, change in CHANGES.items() if name.startswith(part)}
    entries = [Entry(name, settings, seeds, change, apart=True) for name, change in {AS_IS: id, **chosen}.items()]
    *_, found = fit_all(shards, entries)
    rows = Table(model, "parameters", "accuracy, %", "macro AP, %", "difference of AP")
    for name, outcomes in found.items():
        rows.add_row(name, *row(outcomes, found[AS_IS]))
    show(table, save, rows, f"folds: {FOLDS}, seeds: {seeds}, epochs: {epochs}")


if __name__ == "__main__":
    typer.run(main)
