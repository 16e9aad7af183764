"""What tests of nets share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.bright import write_bright
from tests.models.runs import ROWS, Ears, settings_for


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny nets are slower on several threads, which wait for each other, than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder that a net learns in seconds."""
    return write_bright(tmp_path_factory.mktemp("bright") / "shards", ROWS)


@pytest.fixture(scope="session")
def trained(bright: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Ears]:
    """A finished run, what `train` returned, and what it told."""
    before = torch.get_num_threads()
    ears, out = Ears(), tmp_path_factory.mktemp("runs") / "run"
    found = ears.run(settings_for(bright, out, explain=1))
    torch.set_num_threads(before)
    return out, found, ears
