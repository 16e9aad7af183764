"""The command that trains one trial's net again, by itself: every setting that is not its default. Light to import.

Flows in: a trial's settings. Flows out: a line for a shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from models.settings import TrainSettings
from pipelines.settings import Settings


def repeat_command(settings: TrainSettings, data: str, out: Path | None = None) -> str:
    """`landsweep train …` for the net of a trial: the same weights, order of patches and steps.

    Args:
        settings: as `SearchSettings.train_settings` gives them for the trial's parameters.
        data: the search's dataset.
        out: folder of the run; `landsweep train`'s own choice if not given.
    """
    words = ["landsweep", "train", *_flag("data", data), *_flags(settings, TrainSettings())]
    return shlex.join([*words, *(_flag("out", str(out)) if out else [])])


def _flags(settings: Settings, usual: Settings, outer: str = "") -> Iterator[str]:
    for name in type(settings).model_fields:
        value, other = getattr(settings, name), getattr(usual, name)
        if isinstance(value, Settings):
            yield from _flags(value, other, f"{outer}{name}-")
        elif value != other:
            flag = f"{outer}{name}".replace("_", "-")
            if isinstance(value, bool):
                yield f"--{flag}" if value else f"--no-{flag}"
            else:
                yield from _flag(flag, str(value))


def _flag(name: str, value: str) -> list[str]:
    """Two words, or one where the second would be taken for a flag."""
    return [f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value]
