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
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console, RenderableType

RESULTS = Path(__file__).parent / "results"
TRIES = 5  # pages that another core is just about to file away stay at first

Go = Callable[[], int]
"""Does the work, and returns how many patches it did."""

Rates = dict[str, list[float]]
"""Contender to patches a second in each round."""

Save = Annotated[bool, typer.Option("--save", help="write the tables to benchmarks/results/ too")]
Rounds = Annotated[int, typer.Option(help="rounds; rates are their medians")]


class Contender(NamedTuple):
    """`ready` is a block around the run: what it makes before (workers) and cleans up after is not timed, the `Go` that
    it gives is. `files` are those that are read."""

    name: str
    ready: Callable[[], AbstractContextManager[Go]]
    files: Sequence[Path]


def run_rounds(contenders: Sequence[Contender], rounds: int, *, cold: bool) -> Rates:
    """Patches a second of each contender in each round."""
    rates: Rates = {contender.name: [] for contender in contenders}
    for path in {path for contender in contenders for path in contender.files}:
        path.read_bytes()
    for _ in range(rounds):
        for contender in contenders:
            with contender.ready() as go:
                if cold:
                    evict(contender.files)
                started = time.perf_counter()
                patches = go()
                rates[contender.name].append(patches / (time.perf_counter() - started))
    return rates


def median(rates: Rates, name: str) -> float:
    return statistics.median(rates[name])


def ratio(one: Rates, name: str, other: Rates, peer: str) -> float:
    """How much faster `name` was than `peer`: the median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(one[name], other[peer], strict=True))


def spread(rates: Rates, name: str) -> str:
    """Slowest and fastest round."""
    return f"{min(rates[name]):.0f}–{max(rates[name]):.0f}"


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


def machine(folder: Path) -> str:
    """Cores, and what kind of disk a folder is on."""
    number = folder.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    kind = "of unknown kind"
    if device.is_dir():
        kind = "virtual: its host may have cached what is cold here" if "virtio" in str(device) else "local"
    return f"{len(os.sched_getaffinity(0))} cores; the disk is {kind}"


def show(name: str, save: bool, *parts: RenderableType) -> None:
    """Print tables and lines one below the other; and write them to `results/<name>.txt` if `save`."""
    text = io.StringIO()
    console = Console(file=text, width=120)
    for part in parts:
        console.print(part)
    print(text.getvalue(), end="")
    if save:
        RESULTS.mkdir(exist_ok=True)
        lines = (line.rstrip() for line in text.getvalue().splitlines())
        (RESULTS / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
