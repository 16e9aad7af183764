"""The points that are tried before anything is drawn.

Flows in: settings, and the trials that there are. Flows out: values for the next trial, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial

from tune.settings import SearchSettings
from tune.space import first_points


def next_point(settings: SearchSettings, known: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    """Values for the next trial; None where all are drawn."""
    first = first_points(settings.space)
    return first[len(known)] if len(known) < len(first) else None
