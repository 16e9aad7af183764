"""What a second trial at once costs in memory, when both use the same data: shared, and streamed.

    python -m benchmarks.sharing SHARDS

A trial is an actor that has imported what trials import. It takes the training split and goes over it for some epochs
in batches of 64 of all bands at 120 px; then a second one comes, and both go over it at once. Private is what only the
one trial's process has. The total is of the driver, Ray, its object store and the trials, with shared pages counted
once (PSS); its peak is from five looks a second while trials run. What the second trial adds has three parts: a process
with its imports, which any second process costs; taking the data; and what it holds while it runs, which is batches.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from benchmarks.processes import Watch, memory_below, memory_of, mib
from benchmarks.rounds import Save, show
from pipelines.bands import ALL_BANDS
from pipelines.cluster import prepare, ray_cluster
from pipelines.feeding.batches import Batches
from pipelines.feeding.shared import Feed, feed

SPLIT = "train"


class Trial:
    """Runs as an actor. Each step returns the bytes that are private to its process."""

    def __init__(self) -> None:
        importlib.import_module("tune.trials.trial")
        self.rows: Any = None

    def idle(self) -> int:
        return memory_of(os.getpid()).private

    def take(self, data: Feed) -> int:
        self.rows = data.get(SPLIT, ALL_BANDS)
        return self.idle()

    def run(self, epochs: int) -> int:
        batches = Batches(self.rows, 64, 120, shuffle_seed=0)
        for _ in range(epochs):
            for images, _ in batches:
                images.sum()
        return self.idle()


def measure(shards: Path, mode: Literal["shared", "streamed"], epochs: int, table: Table) -> str:
    """Run one trial, then two; add rows, and return what the second one costs in words."""
    with ray_cluster():
        import ray

        def total() -> int:
            return memory_below(os.getpid()).shared_once

        def add(step: str, first: int, second: int | None, size: int) -> None:
            table.add_row(mode, step, mib(first), "" if second is None else mib(second), mib(size))

        def start() -> Any:
            trial = ray.remote(Trial).options(num_cpus=1).remote()
            return trial, ray.get(trial.idle.remote())

        data = feed(shards, [SPLIT], ALL_BANDS, mode)
        (one, first) = start()
        add("one has started", first, None, total())
        add("one has taken the data", ray.get(one.take.remote(data)), None, total())
        with Watch(os.getpid()) as alone:
            first = ray.get(one.run.remote(epochs))
        add("one has run", first, None, total())
        add("peak while one ran", first, None, alone.peak.shared_once)
        before = total()
        (two, second) = start()
        process = total() - before
        add("two has started", first, second, total())
        taken = ray.get(two.take.remote(data))
        add("two has taken the data", first, taken, total())
        with Watch(os.getpid()) as both:
            first, held = ray.get([each.run.remote(epochs) for each in (one, two)])
        add("both have run", first, held, total())
        add("peak while both ran", first, held, both.peak.shared_once)
    table.add_section()
    more, data_more = both.peak.shared_once - alone.peak.shared_once, taken - second
    parts = f"its process {mib(process)}, taking the data {mib(data_more)}, running {mib(more - process - data_more)}"
    share = f"{more / alone.peak.shared_once:.1%}"
    return f"{mode}: the second trial raises the peak of the total by {share}, {mib(more)} MiB: {parts}"


def main(shards: Path, epochs: Annotated[int, typer.Option()] = 3, save: Save = False) -> None:
    """Print memory step by step, and what the second trial costs."""
    prepare()
    table = Table("data", "step", "private to one, MiB", "private to two, MiB", "total, MiB")
    modes: tuple[Literal["shared", "streamed"], ...] = ("shared", "streamed")
    costs = [measure(shards, mode, epochs, table) for mode in modes]
    show("sharing", save, table, *costs, "wanted of shared: < 10 %")


if __name__ == "__main__":
    typer.run(main)
