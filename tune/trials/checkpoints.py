"""What a trial keeps on the disk to go on from, and what a search keeps of it afterwards.

    trials/<number>/state-<patches>.pt   where it stands; names the bundle that belongs to it
    trials/<number>/best-<patches>/      the bundle of its best report so far

Flows in: a trial between two steps. Flows out: files that appear whole or not at all, the bundle before the state that
names it, so that a trial killed at any moment goes on from the last pair. Not handed to Ray: it copies checkpoints file
by file, and what is cut off by a kill looks like a checkpoint.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.bundle.config import check_bundle
from pipelines.errors import BundleError, TrainingError

STATE, BEST = "state", "best"


def trial_folder(trials: Path, number: int) -> Path:
    """Of a trial, in the study's folder of trials."""
    return trials / str(number)


def state_path(folder: Path, patches: int) -> Path:
    """Where a trial's state after so many patches is."""
    return folder / f"{STATE}-{patches}.pt"


def best_path(folder: Path, patches: int) -> Path:
    """Where a trial's bundle of a report after so many patches is."""
    return folder / f"{BEST}-{patches}"


def last_state(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """The last state that is whole and whose bundle is, with the patches seen; None where there is none.

    One that is damaged is passed over for the one before.
    """
    from models.training.checkpoint import read_state

    for patches, path in _newest(folder, STATE):
        try:
            state = read_state(path)
            check_bundle(best_path(folder, state["trial"]["bundle"]))
            return patches, state
        except (TrainingError, BundleError, KeyError):
            continue
    return None


def best_bundle(folder: Path) -> Path | None:
    """The last bundle that is whole; None where there is none."""
    for _, path in _newest(folder, BEST):
        try:
            check_bundle(path)
            return path
        except BundleError:
            continue
    return None


def drop_older(folder: Path, patches: int, bundle: int) -> None:
    """Remove what a new pair replaces, but for the pair before it."""
    for name, latest in ((STATE, patches), (BEST, bundle)):
        older = [path for number, path in _newest(folder, name) if number < latest]
        for path in older[1:]:
            remove(path)


def drop_states(folder: Path) -> None:
    """Remove what only a trial that goes on needs: states, and all bundles but the last."""
    for _, path in _newest(folder, STATE):
        remove(path)
    for _, path in list(_newest(folder, BEST))[1:]:
        remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder, there or not."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _newest(folder: Path, name: str) -> Iterator[tuple[int, Path]]:
    found = [(int(match[1]), path) for path in folder.glob(f"{name}-*") if (match := _number(path, name))]
    yield from sorted(found, reverse=True)


def _number(path: Path, name: str) -> re.Match[str] | None:
    return re.fullmatch(rf"{name}-(\d+)(?:\.pt)?", path.name)
