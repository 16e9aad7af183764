"""A dataset's splits for one process alone: in memory where they fit, else streamed.

Flows in: a dataset folder, splits, bands. Flows out: `Rows` of each split. (The trials of a search share theirs: see
`shared`.)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pipelines.dataset.manifest import Manifest
from pipelines.feeding.rows import Rows, native_bytes, read_split
from pipelines.feeding.streamed import open_stream
from pipelines.location import Location, locate

Mode = Literal["auto", "memory", "streamed"]

MEMORY_SHARE = 1 / 3
"""Of this machine's memory, what the pixels may take: the net, batches and the system need the rest."""

_CGROUP = Path("/sys/fs/cgroup/memory.max")


def open_rows(
    folder: Location | str, manifest: Manifest, splits: Sequence[str], bands: Sequence[str], mode: Mode = "auto"
) -> list[Rows]:
    """Rows of each split, all of them of one kind.

    Raises:
        ShardError: a split is empty, or a part is damaged.
        BandError: the dataset lacks a band.
        SettingsError, ServiceError: see `open_dataset`.
    """
    folder = locate(folder)
    for split in splits:
        manifest.parts(split)
    if choose(manifest, splits, bands, mode) == "memory":
        return [read_split(folder, split, bands) for split in splits]
    return [open_stream(folder, split, bands, manifest) for split in splits]


def choose(
    manifest: Manifest,
    splits: Sequence[str],
    bands: Sequence[str],
    mode: Mode = "auto",
    processes: int = 1,
    memory: int | None = None,
) -> Mode:
    """What `auto` means for this dataset on this machine; the two deal rows in different orders.

    Args:
        processes: that each read the splits for themselves, on one machine as like as not.
        memory: bytes that all of them may use; None asks the machine.

    Returns:
        "memory" or "streamed".

    Raises:
        BandError: the dataset lacks a band.
    """
    if mode != "auto":
        return mode
    wanted = processes * native_bytes(manifest, splits, bands)
    return "memory" if wanted <= MEMORY_SHARE * (memory or machine_memory()) else "streamed"


def machine_memory(limit: Path = _CGROUP) -> int:
    """Bytes of memory that this process may use: the machine's, or what its container is limited to.

    Args:
        limit: the file in which a container finds its own.
    """
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(whole, int(limit.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return whole
