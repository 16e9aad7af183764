"""What a fit needs to go on from where it stood, in one file that appears whole or not at all.

    state.pt             the last one
    state.previous.pt    the one before, in case the last one's bytes are damaged

Flows in: a mapping of tensors and plain values. Flows out: the same mapping. It is read without running any code.
Behind the bytes that torch wrote comes their SHA-256, as torch does not notice a flipped bit; torch itself ignores it.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from pipelines.errors import TrainingError
from pipelines.files import asides, write_whole

STATE, PREVIOUS = "state.pt", "state.previous.pt"

_DIGEST = hashlib.sha256().digest_size


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state.

    Raises:
        StorageError: the disk is full; what was there is still there.
    """
    target = io.BytesIO()
    torch.save(dict(state), target)
    target.write(hashlib.sha256(target.getbuffer()).digest())
    write_whole(path, target.getvalue())


def read_state(path: Path) -> dict[str, Any]:
    """Read a state, its tensors on the CPU: nets and optimizers take them from there to where they are.

    Raises:
        TrainingError: the file is damaged.
    """
    data = path.read_bytes()
    if len(data) <= _DIGEST or hashlib.sha256(memoryview(data)[:-_DIGEST]).digest() != data[-_DIGEST:]:
        raise TrainingError("checkpoint is damaged: its checksum differs", where=str(path))
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(data[:-_DIGEST]), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the bytes lead it to
        raise TrainingError(f"checkpoint is damaged ({type(error).__name__})", where=str(path)) from None
    return state


def push_state(folder: Path, state: Mapping[str, Any], *, keep: bool = True) -> None:
    """Write a state into a folder; the one that was there becomes the one before, if it is worth being kept.

    Raises:
        StorageError: see `write_state`.
    """
    if keep and (folder / STATE).is_file():
        (folder / STATE).replace(folder / PREVIOUS)
    write_state(folder / STATE, state)


def drop_asides(folder: Path, names: Iterable[str]) -> None:
    """Remove what a process that was killed had set aside while it wrote these files and folders. Nobody may be writing
    now."""
    for path in [path for name in names for path in asides(folder / name)]:
        assert isinstance(path, Path)  # runs are kept here
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def has_state(folder: Path) -> bool:
    """Whether there is a checkpoint, the last one or the one before; neither is read."""
    return any((folder / name).is_file() for name in (STATE, PREVIOUS))


def drop_states(folder: Path) -> None:
    """Remove both: they are several times the size of the weights."""
    for name in (STATE, PREVIOUS):
        (folder / name).unlink(missing_ok=True)
