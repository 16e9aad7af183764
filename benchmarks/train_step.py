"""Time of a training step of every model of the zoo: ours against a plain loop of timm and torch, in one run.

    python -m benchmarks.train_step [--save]

`benchmarks.loops` says what ours is, `benchmarks.plain_loop` what the plain loop is. All have the same backbone with
the same weights, patches padded to the same size, as many threads, and no augmentation; that they give the same logits
of the same patches is checked first. One plain loop takes uint16 patches of one grid from a DataLoader, as it must
where a split made ready is larger than memory. The other finds its patches ready, normalised, padded and in channels
last, where the net runs, before the clock starts, so that all that our feed costs beyond gathering rows counts
against us.

A CPU computes in float32, a GPU in bf16. In each round every loop does some steps that are not timed, which fill queues
and caches, and then as many as take ours about `--seconds`. Patches are made up: what is on them changes no step's
time. GFLOP are of one patch, forwards; the share of the peak is that of whole steps of ours, both as
`benchmarks.operations` counts and measures them.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from statistics import median
from typing import Annotated, NamedTuple

import torch
import typer
from rich.table import Table

from benchmarks.loops import LOADER, OURS, READY, Target, loops, make_rows
from benchmarks.operations import Operations, count_operations, matrix_peak
from benchmarks.rounds import Rates, Rounds, Save, cores, show
from models.device import own_memory_errors, pick_device
from models.nets.catalog import MODELS
from pipelines.bands import ALL_BANDS, PATCH_SIZE
from pipelines.errors import TrainingError
from pipelines.feeding.rows import Chunk

PRECISION = {"cpu": "fp32", "cuda": "bf16"}
BATCHES = {"cpu": (16,), "cuda": (256, 1024)}
WARM = {"cpu": 1, "cuda": 10}
LEAST_PATCHES = 512  # 80 MB, more than caches hold
WANTED = 0.95

Names = Annotated[str, typer.Option(help="models, with commas between; the whole zoo if empty")]
Sizes = Annotated[list[int] | None, typer.Option(help="patches a step; may be given several times")]
Seconds = Annotated[float, typer.Option(help="that the timed steps of ours take in a round, about; one step at least")]
Threads = Annotated[int, typer.Option(help="CPU threads of each loop; 0 leaves torch's own choice")]


class Result(NamedTuple):
    """Of one model."""

    parameters: int
    operations: Operations
    rates: Rates


def measure(name: str, chunks: Sequence[Chunk], batch: int, target: Target, seconds: float, rounds: int) -> Result:
    """Run all loops of a model in turn, `rounds` times.

    Raises:
        TrainingError: a step does not fit into memory.
    """
    warm = WARM[target.device.type]
    with own_memory_errors(f"a step of {batch} patches", "Lower --batch."):
        net, sides = loops(name, chunks, batch, target)
        first = {who: loop.run(warm, 1) for who, loop in sides.items()}
        steps = max(1, round(seconds / first[OURS].wall))
        rates = Rates({who: [] for who in sides})
        for _ in range(rounds):
            for who, loop in sides.items():
                rates.runs[who].append(loop.run(warm, steps))
    side = net.recipe.padded(PATCH_SIZE)
    operations = count_operations(net.backbone, (batch, len(ALL_BANDS), side, side))
    return Result(sum(each.numel() for each in net.parameters()), operations, rates)


def cells(result: Result, batch: int, peak: float) -> list[str]:
    """Of a table's row."""
    rates = result.rates
    ours = rates.median(OURS)
    found = [
        f"{result.parameters:,}",
        f"{result.operations.forward / 1e9:.2f}",
        f"{batch / ours * 1e3:.1f}",
        f"{ours:.1f}",
        f"{result.operations.step * ours / peak:.0%}",
    ]
    for peer in (READY, LOADER):
        if peer in rates.runs:
            ratios = [one / other for one, other in zip(rates.rates(OURS), rates.rates(peer), strict=True)]
            found += [f"{rates.median(peer):.1f}", f"{median(ratios):.2f}", f"{min(ratios):.2f}–{max(ratios):.2f}"]
    return found


def race(
    names: Sequence[str], batch: int, target: Target, peak: float, seconds: float, rounds: int
) -> list[Table | str]:
    """A row a model, and what is to be said of it all."""
    peers = (READY, LOADER)
    titles = [title for peer in peers for title in (f"{peer}, patches/s", "×", "lowest–highest")]
    table = Table("model", "parameters", "GFLOP", "ms/step", "patches/s", "of peak", *titles)
    chunks = make_rows(max(LEAST_PATCHES, 2 * batch))
    results: dict[str, Result] = {}
    for name in names:
        try:
            results[name] = measure(name, chunks, batch, target, seconds, rounds)
            table.add_row(name, *cells(results[name], batch, peak))
        except TrainingError as error:
            table.add_row(name, error.what)
        print(name, *(cells(results[name], batch, peak) if name in results else ()), flush=True)
        gc.collect()
        if target.device.type == "cuda":
            torch.cuda.empty_cache()
    below = {
        peer: ", ".join(name for name, found in results.items() if found.rates.ratio(OURS, peer) < WANTED) or "none"
        for peer in peers
    }
    head = f"batches of {batch}, medians of {rounds} rounds; {cores(each.rates for each in results.values())}"
    return [
        head,
        table,
        f"wanted: × ≥ {WANTED}; " + "; ".join(f"below {peer}: {names}" for peer, names in below.items()),
    ]


def main(
    models: Names = "",
    batch: Sizes = None,
    seconds: Seconds = 2.0,
    rounds: Rounds = 5,
    threads: Threads = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, …; auto takes a GPU if there is one")] = "auto",
    save: Save = False,
) -> None:
    """Print a table for each batch size."""
    if threads:
        torch.set_num_threads(threads)
    place = pick_device(device)
    target = Target(place, PRECISION[place.type])
    peak = matrix_peak(place, target.dtype)
    kind = torch.cuda.get_device_name(place) if place.type == "cuda" else f"{torch.get_num_threads()} threads"
    head = f"{place.type}, {kind}, {target.precision}; 12 bands at {PATCH_SIZE} px; peak {peak / 1e9:,.0f} GFLOP/s"
    parts: list[Table | str] = [head]
    for size in batch or BATCHES[place.type]:
        parts += race(models.split(",") if models else list(MODELS), size, target, peak, seconds, rounds)
    show("train_step" if place.type == "cpu" else f"train_step_{place.type}", save, *parts)


if __name__ == "__main__":
    typer.run(main)
