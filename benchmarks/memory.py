"""Memory of a process and all below it, as the kernel counts it, now or at its peak.

Flows in: a process id. Flows out: bytes that are private to each process, and bytes of which every shared page is
counted once (PSS): Ray's object store is in these one time, however many processes have it mapped.

Source: Linux's `Documentation/filesystems/proc.rst`, `smaps_rollup`.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

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


def memory_below(pid: int) -> Memory:
    """A process and all that it started, and those that these started."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children[int(fields[1])].append(int(stat.parent.name))
    found, total = [pid], Memory(0, 0)
    for each in found:
        found.extend(children[each])
        total += memory_of(each)
    return total


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
