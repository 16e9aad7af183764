"""Ray, started the safe way: on one machine it listens on loopback only and asks for a token; else it is joined.

Flows in: the environment (`RAY_ADDRESS` is set by `ray job submit` and by users of a running cluster).
Flows out: a connected Ray for the length of a `with` block.

Measured on Ray 2.60: `ray.init()` binds the network card's address unless RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 is
set before Ray starts, and the token file it makes is readable by all; so both are done first (see `ray_files`). At an
address where nobody is, it waits for more than three minutes; so somebody else asks first (see `ray_address`).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.errors import BusyError, LandsweepError
from pipelines.ray_address import ask
from pipelines.ray_files import make_token, shorten_sockets

LOOPBACK_ENV = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # with 5, a proxy on busy cores is killed before it has started
}
"""What keeps a single-node Ray on 127.0.0.1 and behind a token, and quick to notice a dead Serve proxy."""

TUNE_ENV = {
    "TUNE_GLOBAL_CHECKPOINT_S": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
}
"""Tune's state on disk within a second; Ctrl-C ends a search and is not taken for its success; no reports but ours."""

_DATA_THREADS = ("StreamingExecutor-", "ray-data-metadata-prefetch", "iter_threaded", "map_tp_")
"""How Ray Data's threads in this process are called; those of a stream that is given up go on for a while."""

_PATIENCE = 60.0
"""Seconds that they are waited for: a step of theirs takes one, and on a machine that is busy some more."""


def prepare() -> None:
    """Set the environment that Ray reads while it is imported; call it before anything imports ray.

    Where RAY_ADDRESS names a cluster, that one's own settings hold, and only Tune's are made here.
    """
    local = not os.environ.get("RAY_ADDRESS")
    for key, value in (TUNE_ENV | (LOOPBACK_ENV if local else {})).items():
        os.environ.setdefault(key, value)


def check_ways() -> None:
    """See to all that can be seen to before Ray is started or joined, within seconds: call it before anything is
    written that a Ray which does not come would leave behind. `ray_cluster` calls it too.

    Raises:
        LandsweepError: ray was imported before `prepare` was called.
        BusyError: see `ask`.
        SettingsError: see `ask`, `make_token` and `shorten_sockets`.
    """
    address, ray = os.environ.get("RAY_ADDRESS"), sys.modules.get("ray")
    if ray and not address and os.environ.get("RAY_AUTH_MODE") is None:
        raise LandsweepError("ray was imported before its environment was set", hint="Call cluster.prepare() first.")
    prepare()
    if not address:
        make_token(os.environ)
        shorten_sockets(os.environ)
    elif not (ray and ray.is_initialized()):
        ask(address)


@contextmanager
def ray_cluster(num_cpus: int | None = None) -> Iterator[None]:
    """Be connected to Ray inside the block.

    A Ray that this process is already connected to is used and left running; a cluster named by RAY_ADDRESS is
    joined; else one is started on loopback and ended with the block.

    Args:
        num_cpus: logical CPUs of a cluster started here; None takes the machine's.

    Raises:
        LandsweepError, SettingsError: see `check_ways`.
        BusyError: see `check_ways` and `connect`.
    """
    check_ways()
    import ray

    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    connect(ray.init, address, num_cpus)
    _quiet_data()
    try:
        yield
    finally:
        let_streams_end()
        ray.shutdown()


def let_streams_end(patience: float = _PATIENCE) -> bool:
    """Wait until no thread of Ray Data's is at work; whether it came to that in so many seconds.

    Ray 2.60 waits for two seconds only. A thread that asks a Ray which has been shut down for anything ends the whole
    process at once, with exit code 1 and a line of Ray's in place of what was about to be said.
    """
    until = time.monotonic() + patience
    for thread in threading.enumerate():
        if thread.name.startswith(_DATA_THREADS) and thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                return False
    return True


def connect(init: Callable[..., object], address: str | None, num_cpus: int | None = None) -> None:
    """Join the cluster at an address, or start one on this machine where there is none.

    Args:
        init: `ray.init`, or what stands in for it.
        address: of a running cluster.
        num_cpus: logical CPUs of a cluster started here; None takes the machine's.

    Raises:
        BusyError: nothing answers at the address, or what was started here did not come up in Ray's own time.
    """
    quiet = {"logging_level": logging.WARNING, "log_to_driver": False, "configure_logging": True}
    try:
        if address:
            init(address=address, **quiet)
        else:
            init(address="local", include_dashboard=False, num_cpus=num_cpus, **quiet)
    except Exception as error:  # Ray 2.60 raises a bare one where its 30 s are up
        if address and isinstance(error, (ConnectionError, RuntimeError)):
            raise BusyError(
                f"no Ray cluster answers at {address} ({error})",
                hint="Check RAY_ADDRESS, and RAY_AUTH_MODE=token where the cluster asks for one.",
            ) from None
        if not address and "timed out" in str(error).lower():
            raise BusyError(
                "Ray did not start in time; the machine may be too busy", hint="Give the same command again."
            ) from None
        raise


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise what a remote task of ours raised, in place of Ray's account of it.

    Raises:
        LandsweepError, OSError: the task's own.
    """
    import ray

    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, (LandsweepError, OSError)):
            raise error.cause from None
        raise


def _quiet_data() -> None:
    """Ray Data reports through our own progress; its bars would be printed over it."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    # It tells that the bars are off, of CPUs that idle workers hold, and of what failed, which is raised as well.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
