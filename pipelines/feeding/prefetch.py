"""Work ahead: what an iterator gives is made in a thread while the one before is used.

Flows in: an iterator. Flows out: the same items in the same order, some of them ready before they are asked for.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

_WAIT = 0.1  # seconds between looks at whether anybody still wants the items


def prefetch(make: Callable[[], Iterator[T]], depth: int) -> Iterator[T]:
    """Iterate over `make()` with up to `depth` items made ahead; with 0, without a thread.

    What the iterator raises is raised here. A consumer that stops early ends the thread, and the iterator is closed
    in it.
    """
    if not depth:
        yield from make()
        return
    items: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(depth)
    unwanted = threading.Event()

    def put(more: bool, item: T | BaseException | None) -> bool:
        while not unwanted.is_set():
            try:
                items.put((more, item), timeout=_WAIT)
            except queue.Full:
                continue
            return True
        return False

    def run() -> None:
        try:
            for item in make():
                if not put(True, item):
                    return
            put(False, None)
        except BaseException as error:
            put(False, error)

    thread = threading.Thread(target=run, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            more, item = items.get()
            if more:
                yield item  # type: ignore[misc]  # the queue's union cannot say that these are T
            elif isinstance(item, BaseException):
                raise item
            else:
                return
    finally:
        unwanted.set()
        thread.join()
