"""Memory and processor time of a process and all below it, as the kernel counts them.

Flows in: a process id. Flows out: bytes that are private to each process, and bytes of which every shared page is
counted once (PSS): Ray's object store is in these one time, however many processes have it mapped; and seconds.

Source: Linux's `Documentation/filesystems/proc.rst`: `smaps_rollup`, `stat`, `/proc/stat`.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

_TICKS = os.sysconf("SC_CLK_TCK")
_PRIVATE = ("Private_Clean", "Private_Dirty", "Private_Hugetlb")


class Memory(NamedTuple):
    """Bytes."""

    private: int
    shared_once: int

    def __add__(self, other: tuple[int, ...]) -> Memory:  # type: ignore[override]  # sums, where tuples would join
        return Memory(self.private + other[0], self.shared_once + other[1])


def memory_of(pid: int) -> Memory:
    """One process; nothing if it has ended."""
    sizes: defaultdict[str, int] = defaultdict(int)
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return Memory(0, 0)
    for line in lines[1:]:
        key, size, *_ = line.split()
        sizes[key.rstrip(":")] = int(size) * 1024
    return Memory(sum(sizes[key] for key in _PRIVATE), sizes["Pss"])


def _stats_below(pid: int) -> dict[int, list[str]]:
    """A process, all that it started, and all that these started: id to `stat`, from the state on."""
    stats: dict[int, list[str]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            stats[int(stat.parent.name)] = stat.read_text().rpartition(")")[2].split()
    found = [pid]
    for each in found:
        found.extend(child for child, fields in stats.items() if int(fields[1]) == each)
    return {each: stats[each] for each in found if each in stats}


def memory_below(pid: int) -> Memory:
    """Of a whole tree."""
    return sum(map(memory_of, _stats_below(pid)), Memory(0, 0))


def seconds_below(pid: int) -> float:
    """CPU time of a whole tree, with that of its processes that were ended and waited for."""
    return sum(sum(map(int, fields[11:15])) for fields in _stats_below(pid).values()) / _TICKS


def seconds_of_all() -> float:
    """CPU time that the machine spent on anything, or had taken from it, since it started."""
    user, nice, system, _, _, interrupt, soft, stolen = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + interrupt + soft + stolen) / _TICKS


class Watch:
    """Peaks of a process tree for the length of a block, from five looks a second."""

    def __init__(self, pid: int, every: float = 0.2) -> None:
        self.pid, self.every = pid, every
        self.peak = memory_below(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._ended.wait(self.every):
            now = memory_below(self.pid)
            self.peak = Memory(max(self.peak.private, now.private), max(self.peak.shared_once, now.shared_once))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()


def mib(size: int) -> str:
    return f"{size / 2**20:,.0f}"
