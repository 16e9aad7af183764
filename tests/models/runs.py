"""Training runs of seconds, for the tests of what is done with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.bundle.config import WEIGHTS
from models.settings import RunSettings
from models.training.run_folder import Run
from models.training.train import fit_run, train
from tests.models.events import read_events

ROWS = {"train": 72, "validation": 40, "test": 24}


def settings_for(dataset: Path, out: Path, **more: Any) -> RunSettings:
    plain = {"data": dataset, "out": out, "model": "landnet-s", "epochs": 3, "batch_size": 16, "threads": 1, "seed": 5}
    return RunSettings.parse(plain | {"explain": 0} | more)


@dataclass
class Ears:
    """Hears what a run tells."""

    lines: list[str] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)

    def run(self, settings: RunSettings, **more: Any) -> dict[str, Any]:
        return train(settings, progress=lambda *step: self.steps.append(step), tell=self.lines.append, **more)


def train_alone(settings: RunSettings, *, resume: bool = False, tell: Callable[[str], None] = lambda _: None) -> None:
    """Train to the last epoch, and end there as Ctrl-C does: the results take most of a short run's time."""

    def fit(run: Run, **how: Any) -> None:
        fit_run(run, **how)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, resume=resume, tell=tell, fit=fit)


def weights_of(run: Path, name: str = "final") -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / name / WEIGHTS)


def assert_same_weights(run: Path, other: Path) -> None:
    for name in ("best_acc", "best_loss", "final"):
        ours, theirs = weights_of(run, name), weights_of(other, name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name


def tables(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "logs" / "epochs.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def scalars(path: Path) -> dict[tuple[str, int], float]:
    """Values in an event file, by name and step."""
    values = ((value, event.step) for event in read_events(path) for value in event.summary.value)
    return {(value.tag, step): value.simple_value for value, step in values}


def interrupt(settings: RunSettings, step: int, *, resume: bool = False) -> None:
    """Run until so many steps are done, and end it as Ctrl-C does."""

    def progress(done: int, total: int) -> None:
        if done == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, progress=progress, resume=resume)
