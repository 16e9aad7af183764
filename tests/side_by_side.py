"""Which tests run in one process where several processes run side by side, as `make test` has it.

Flows in: a test's name. Flows out: the group that it belongs to: all that want Ray's one cluster, all that want the one
trained run, else those of a file. What takes long to make is so made once.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "ray_session": (
        "tests/e2e/test_cli.py",
        "tests/models/bundle/test_config.py",
        "tests/pipelines/archives/",
        "tests/pipelines/dataset/",
        "tests/pipelines/feeding/test_shared.py",
        "tests/pipelines/packing/",
        "tests/pipelines/statistics/test_measure.py",
        "tests/serve/",
        "tests/tune/",
    ),
    "trained": (
        "tests/models/explain/test_maps.py",
        "tests/models/probe/test_probe.py",
        "tests/models/training/test_resume.py",
        "tests/models/training/test_train.py",
    ),
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


class Groups(LoadScopeScheduling):
    """Deals whole groups, the largest first, to whichever process is free."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
