"""How what serves ends: `serve`, `ui` and `demo` alike.

Flows in: Ctrl-C, or SIGTERM as service managers send it. Flows out: the caller goes on, and cleans up.
"""

from __future__ import annotations

import signal
import threading


def wait_for_end() -> None:
    """Until Ctrl-C or SIGTERM, whatever handled these before."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
