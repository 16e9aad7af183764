"""When a search ends before its trials do: its time is over, or somebody asked it to stop.

Flows in: seconds and a clock, or a signal. Flows out: what Tune asks whether it is over. Tune's own goes by the
machine's clock, and knows SIGINT alone.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune import Stopper

_CLOSING = 2 / 3  # of the time; the rest is the finalists'


class Budget(Stopper):  # type: ignore[misc]  # ray ships no types
    """Ends all jobs once so many seconds are over, from when Tune first asks, or once `stopped` is set.

    Args:
        seconds: of the clock; 0 for no limit.
        clock: gives seconds from any moment on.
        stopped: set where the search is to end now.
    """

    def __init__(self, seconds: float, clock: Callable[[], float], stopped: threading.Event) -> None:
        self.seconds, self.clock, self.stopped = seconds, clock, stopped
        self.begun: float | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is ended by what it reports."""
        return False

    def stop_all(self) -> bool:
        """Whether it is over."""
        return self.stopped.is_set() or self._passed(1)

    def closing(self) -> bool:
        """Whether the finalists' time has come."""
        return self._passed(_CLOSING)

    def _passed(self, share: float) -> bool:
        now = self.clock()
        self.begun = now if self.begun is None else self.begun
        return bool(self.seconds) and now - self.begun >= share * self.seconds

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles it, and never reads it again."""
        return {}


@contextmanager
def stopping(tell: Callable[[], None]) -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, once; a second one ends the process as it would without this.

    Args:
        tell: called at the first.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def stop(*_: object) -> None:
        stopped.set()
        put_back()
        tell()

    def put_back() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    for each in before:
        signal.signal(each, stop)
    try:
        yield stopped
    finally:
        put_back()
