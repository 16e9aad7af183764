"""The end of a search's time: whatever runs then is ended, as pruned where it had come somewhere.

Flows in: seconds, and a clock. Flows out: what Tune asks whether it is over. Tune's own goes by the machine's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune import Stopper


class Budget(Stopper):  # type: ignore[misc]  # ray ships no types
    """Ends all trials once so many seconds are over, from when Tune first asks.

    Args:
        seconds: of the clock.
        clock: gives seconds from any moment on.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.seconds, self.clock = seconds, clock
        self.begun: float | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is ended by what it reports."""
        return False

    def stop_all(self) -> bool:
        """Whether the time is over."""
        now = self.clock()
        self.begun = now if self.begun is None else self.begun
        return now - self.begun >= self.seconds
