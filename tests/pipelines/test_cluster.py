"""A Ray that does not start or does not answer: one message that says what to do, from a stand-in for `ray.init`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.cluster import connect, let_streams_end
from pipelines.errors import BusyError


def failing(error: Exception) -> Callable[..., object]:
    """An init that raises what Ray would."""

    def init(**_: Any) -> None:
        raise error

    return init


@pytest.mark.parametrize(
    "error",
    [
        Exception("The current node timed out during startup. This could happen because some of the raylet failed"),
        TimeoutError("Timed out after 30 seconds while waiting for node to startup."),
        RuntimeError("Timed out waiting for file gcs_server_port"),
    ],
)
def test_a_ray_that_is_too_slow_is_to_be_started_again(error: Exception) -> None:
    with pytest.raises(BusyError) as told:
        connect(failing(error), None)
    assert str(told.value) == ("Ray did not start in time; the machine may be too busy. Give the same command again.")


def test_a_cluster_that_does_not_answer_is_named() -> None:
    with pytest.raises(BusyError, match=r"no Ray cluster answers at 127\.0\.0\.1:9 \(no answer\)\. Check RAY_ADDRESS"):
        connect(failing(ConnectionError("no answer")), "127.0.0.1:9")


@pytest.mark.parametrize("address", [None, "127.0.0.1:9"])
def test_what_nobody_foresaw_is_not_hidden(address: str | None) -> None:
    with pytest.raises(ValueError, match="unforeseen"):
        connect(failing(ValueError("unforeseen")), address)


def test_a_ray_of_our_own_listens_where_it_is_told_and_shows_no_dashboard() -> None:
    given: dict[str, Any] = {}
    connect(given.update, None, num_cpus=3)
    assert (given["address"], given["include_dashboard"], given["num_cpus"]) == ("local", False, 3)
    given.clear()
    connect(given.update, "127.0.0.1:9", num_cpus=3)
    assert given["address"] == "127.0.0.1:9" and "num_cpus" not in given


@pytest.mark.parametrize("name", ["StreamingExecutor-dataset_1_0", "ray-data-metadata-prefetch", "iter_threaded"])
def test_ray_is_not_shut_down_under_a_stream_that_still_runs(name: str) -> None:
    """Given up, Ray Data's threads go on for a while; one that asks a Ray which is gone ends the process in silence."""
    given_up, seen = threading.Event(), []

    def step() -> None:
        given_up.wait()
        seen.append("last step")

    thread = threading.Thread(target=step, name=name, daemon=True)
    thread.start()
    assert not let_streams_end(patience=0.05)
    assert seen == []
    threading.Timer(0.2, given_up.set).start()
    assert let_streams_end()
    assert (seen, thread.is_alive()) == (["last step"], False)


def test_other_threads_are_not_waited_for() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="ray_print_logs", daemon=True)
    thread.start()
    assert let_streams_end(patience=0)
    done.set()
    thread.join()
