"""Timing in rounds, cold starts, and the tables that come of them: what every benchmark here does alike.

Flows in: contenders. Flows out: patches a second of each, round by round, and text on the screen or in `results/`.

Rounds are interleaved (A B C A B C …), so what disturbs the machine disturbs all alike; rates are medians over the
rounds, and a ratio is the median of the ratios within one round. Cold means that the contender's own files were put
out of the page cache right before it ran, and that this was checked; names and inodes stay cached.
"""

from __future__ import annotations

import io
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console, RenderableType

from benchmarks.processes import seconds_below, seconds_of_all

RESULTS = Path(__file__).parent / "results"
TRIES = 5  # pages that another core is just about to file away stay at first

Go = Callable[[], int]
"""Does the work, and returns how many patches it did."""

Save = Annotated[bool, typer.Option("--save", help="write the tables to benchmarks/results/ too")]
Rounds = Annotated[int, typer.Option(help="rounds; rates are their medians")]


class Run(NamedTuple):
    """Seconds: by the clock, of processors for this run, and of processors that others had meanwhile."""

    patches: int
    wall: float
    own: float
    others: float


@dataclass(frozen=True)
class Rates:
    """Runs of each contender, one a round."""

    runs: dict[str, list[Run]]

    def rates(self, name: str) -> list[float]:
        """Patches a second."""
        return [run.patches / run.wall for run in self.runs[name]]

    def ratio(self, name: str, peer: str, at: Rates | None = None) -> float:
        """How much faster `name` was than `peer`, here or in the rounds `at`: the median of the ratios by round."""
        pairs = zip(self.rates(name), (at or self).rates(peer), strict=True)
        return statistics.median(one / other for one, other in pairs)

    def median(self, name: str) -> float:
        return statistics.median(self.rates(name))

    def cells(self, name: str) -> tuple[str, str, str]:
        """For a table: patches a second, those of the slowest and fastest round, and CPU time a patch in µs."""
        rates, spent = self.rates(name), statistics.median(run.own / run.patches for run in self.runs[name])
        return f"{statistics.median(rates):.0f}", f"{min(rates):.0f}–{max(rates):.0f}", f"{spent * 1e6:.0f}"


CELLS = ("patches/s", "slowest–fastest", "CPU µs/patch")


class Contender(NamedTuple):
    """`ready` is a block around the run: what it makes before (workers) and cleans up after is not timed, the `Go` that
    it gives is. `files` are those that are read."""

    name: str
    ready: Callable[[], AbstractContextManager[Go]]
    files: Sequence[Path]


def run_rounds(contenders: Sequence[Contender], rounds: int, *, cold: bool) -> Rates:
    """Run all contenders in turn, `rounds` times."""
    rates = Rates({contender.name: [] for contender in contenders})
    for path in {path for contender in contenders for path in contender.files}:
        path.read_bytes()
    for _ in range(rounds):
        for contender in contenders:
            with contender.ready() as go:
                if cold:
                    evict(contender.files)
                rates.runs[contender.name].append(_time(go))
    return rates


class Clock:
    """Runs from where it is made to where it is stopped."""

    def __init__(self) -> None:
        self._own, self._every = seconds_below(os.getpid()), seconds_of_all()
        self._started = time.perf_counter()

    def stop(self, patches: int) -> Run:
        wall = time.perf_counter() - self._started
        own = seconds_below(os.getpid()) - self._own
        return Run(patches, wall, own, max(0.0, seconds_of_all() - self._every - own))


def _time(go: Go) -> Run:
    clock = Clock()
    return clock.stop(go())


def evict(files: Iterable[Path]) -> None:
    """Put files out of the page cache.

    Raises:
        RuntimeError: over 1 % of them are still in it, as files are that some process has mapped.
    """
    os.sync()
    files = list(files)
    left = files
    for _ in range(TRIES):
        left = [path for path in left if not _leaves(path)]
    if len(left) > len(files) / 100:
        raise RuntimeError(f"{len(left)} of {len(files)} files did not leave the page cache, such as {left[0]}")


def _leaves(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return not _is_cached(descriptor)
    finally:
        os.close(descriptor)


def _is_cached(descriptor: int) -> bool:
    """Whether a byte in the middle can be had without asking the disk."""
    try:
        os.preadv(descriptor, [bytearray(1)], os.fstat(descriptor).st_size // 2, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    return True


def machine(folder: Path, results: Iterable[Rates]) -> str:
    """Cores, what others took of them, and what kind of disk a folder is on."""
    number = folder.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    disk = "virtual disk: its host may have cached what is cold here" if "virtio" in str(device) else "local disk"
    return f"{cores(results)}; {disk}"


def cores(results: Iterable[Rates]) -> str:
    """How many there are, and what others took of them."""
    every = [run for rates in results for runs in rates.runs.values() for run in runs]
    others = sum(run.others for run in every) / sum(run.wall for run in every)
    return f"{len(os.sched_getaffinity(0))} cores, of which other programs had {others:.2f} in the mean"


def show(name: str, save: bool, *parts: RenderableType) -> None:
    """Print tables and lines one below the other; and write them to `results/<name>.txt` if `save`."""
    text = io.StringIO()
    console = Console(file=text, width=160)
    for part in parts:
        console.print(part)
    print(text.getvalue(), end="")
    if save:
        RESULTS.mkdir(exist_ok=True)
        lines = (line.rstrip() for line in text.getvalue().splitlines())
        (RESULTS / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
