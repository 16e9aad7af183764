"""A file system of its own that is full after a few kilobytes, for what must survive a full disk."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(parent: Path) -> Iterator[Path]:
    """A folder of 256 KiB until the end of the block; where nothing may be mounted, the test is skipped."""
    disk = parent / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"a small disk must be mounted, which is not permitted here: {made.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def grow(disk: Path) -> None:
    """Make it 4 MiB."""
    subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
