"""When to stop waiting for something to get better.

Flows in: one value an epoch, higher being better. Flows out: whether it is the best yet, and for how long none was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Patience:
    """The best value seen, and how many came after it."""

    best: float = -math.inf
    waited: int = 0

    def better(self, value: float) -> bool:
        """Whether `value` is the best yet, by however little."""
        found = value > self.best
        self.best, self.waited = (value, 0) if found else (self.best, self.waited + 1)
        return found

    def over(self, limit: int) -> bool:
        """Whether `limit` values came after the best one; 0 waits for ever."""
        return bool(limit) and self.waited >= limit
