"""A home that cannot be written: what would lie there goes elsewhere, and only then."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pipelines.home import private_folder, spare_home

NOWHERE = "/proc/none"
"""Where not even root can make a folder."""


def test_a_home_that_can_be_written_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environment = {"HOME": str(tmp_path)}
    spare_home(environment)
    assert environment == {"HOME": str(tmp_path)}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [{}, {"XDG_CACHE_HOME": NOWHERE}, {"XDG_CONFIG_HOME": NOWHERE}])
def test_what_would_lie_where_nothing_can_lies_elsewhere(
    given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path) if given else NOWHERE)
    environment = dict(given)
    spare_home(environment)
    folder = Path(environment["MPLCONFIGDIR"])
    assert folder == private_folder() and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == os.getuid()


def test_a_place_that_is_named_is_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", NOWHERE)
    environment = {"MPLCONFIGDIR": "somewhere"}
    spare_home(environment)
    assert environment == {"MPLCONFIGDIR": "somewhere"}
