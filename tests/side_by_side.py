"""Which tests run in one process where several processes run side by side, as `make test` has it.

Flows in: a test's name. Flows out: the group that it belongs to: all that want Ray's one cluster, all that want the one
trained run, all that want the one page, else those of a file. What takes long to make is so made once.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "ray_session": (
        "tests/pipelines/archives/test_in_tar.py",
        "tests/pipelines/feeding/test_shared.py",
        "tests/pipelines/packing/",
        "tests/serve/test_app.py",
        "tests/serve/test_endpoint.py",
        "tests/tune/",
    ),
    "trained": (
        "tests/models/explain/test_maps.py",
        "tests/models/probe/test_probe.py",
        "tests/models/training/test_resume.py",
        "tests/models/training/test_train.py",
    ),
    "page": ("tests/ui/",),
}
"""Costly fixture to the files and folders whose tests are run by one process."""


def group_of(test: str) -> str:
    """The group of a test, by its name in pytest: `tests/serve/test_app.py::test_this`."""
    return next((name for name, places in TOGETHER.items() if test.startswith(places)), test.partition("::")[0])


def check_places(items: list[pytest.Item]) -> None:
    """Raise a UsageError for the first test that wants a costly fixture and stands elsewhere than with its like."""
    for item in items:
        for fixture in TOGETHER.keys() & set(getattr(item, "fixturenames", ())):
            if group_of(item.nodeid) != fixture:
                file = item.nodeid.partition("::")[0]
                raise pytest.UsageError(f"{file} wants {fixture}: name it in TOGETHER of tests/side_by_side.py")


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that all processes of a run read: the first that wants it makes it, and the others wait for it."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once" / name
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "made").exists():
            make(place / name)
            (place / "made").touch()
    return place / name


def costly_first(items: list[pytest.Item]) -> None:
    """Put the groups of costly fixtures first, then those of many tests: what takes long must not begin last."""
    groups = [group_of(item.nodeid) for item in items]
    order = [*TOGETHER, *(name for name, _ in Counter(groups).most_common() if name not in TOGETHER)]
    rank = {name: place for place, name in enumerate(order)}
    items.sort(key=lambda item: rank[group_of(item.nodeid)])


class Groups(LoadScopeScheduling):
    """Deals whole groups, in the order of `costly_first`, to whichever process is free."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
