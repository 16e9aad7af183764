"""What a search has cost, and what pausing has saved. Needs neither Ray nor torch.

Flows in: Optuna's trials, with a report each under `curves`. Flows out: device seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tune.study import is_paused


@dataclass(frozen=True)
class Cost:
    """Device seconds, and how many trials stopped early.

    Args:
        spent: by all trials, failed ones too.
        saved: what those that are paused or pruned would have cost from where they are to their end, at their own rate.
        stopped: how many these are.
        unknown: how many of these had not come to a report, so that nothing can be said of them.
    """

    spent: float
    saved: float
    stopped: int
    unknown: int

    @property
    def share(self) -> float:
        """Of what everything would have cost, the part that was saved."""
        return self.saved / (self.spent + self.saved) if self.saved else 0.0


def cost(trials: Iterable[FrozenTrial], total: int | Callable[[FrozenTrial], int]) -> Cost:
    """Add up what trials took.

    Args:
        trials: whose attributes have `seconds` so far; `curves`, whose entries have `patches` and `seconds`; and
            `paused`, of a running one that is.
        total: patches of a whole trial, or what gives them of each.
    """
    spent = saved = 0.0
    stopped = unknown = 0
    for trial in trials:
        curve: list[dict[str, Any]] = trial.user_attrs.get("curves", [])
        last = curve[-1] if curve else {}
        seconds = float(trial.user_attrs.get("seconds", last.get("seconds", 0.0)))
        spent += seconds
        if not (trial.state == TrialState.PRUNED or is_paused(trial)):
            continue
        stopped += 1
        if not last.get("patches"):
            unknown += 1
            continue
        whole = total if isinstance(total, int) else total(trial)
        saved += last["seconds"] / last["patches"] * max(0, whole - last["patches"])
    return Cost(spent, saved, stopped, unknown)
