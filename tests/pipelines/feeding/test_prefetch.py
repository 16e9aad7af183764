"""Work ahead: nothing lost, nothing out of order, no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.feeding.prefetch import prefetch


def running() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


@given(st.lists(st.integers(), max_size=20), st.integers(0, 4))
def test_items_come_in_order(items: list[int], depth: int) -> None:
    assert list(prefetch(lambda: iter(items), depth)) == items


def test_the_next_item_is_made_before_it_is_asked_for() -> None:
    made = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        made.set()
        yield 1

    ahead = prefetch(items, 1)
    assert next(ahead) == 0
    assert made.wait(10)
    assert list(ahead) == [1]


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_reaches_the_consumer_after_the_items_before_it(depth: int) -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("broken")

    ahead = prefetch(items, depth)
    assert next(ahead) == 0
    with pytest.raises(ValueError, match="broken"):
        next(ahead)
    assert running() == 0


def test_leaving_early_ends_the_thread_and_closes_the_iterator() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    ahead = prefetch(items, 2)
    next(ahead)
    ahead.close()
    assert running() == 0
    assert closed.wait(10)
