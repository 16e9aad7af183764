"""Ray's token and its sockets: in places that will do, or one message that says which to choose."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.home import private_folder
from pipelines.ray_files import make_token, shorten_sockets

NOWHERE = "/proc/none"


def check_token(path: Path) -> None:
    assert len(path.read_text()) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_token_is_made_at_home_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environment: dict[str, str] = {}
    make_token(environment)
    token = tmp_path / ".ray" / "auth_token"
    check_token(token)
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
    first = token.read_text()
    token.chmod(0o644)
    make_token(environment)
    check_token(token)
    assert (token.read_text(), environment) == (first, {})


@pytest.mark.parametrize("taken", [False, True])
def test_where_home_cannot_be_written_the_token_lies_elsewhere(
    taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No home at all, or a file where the token's folder would be."""
    (tmp_path / ".ray").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path) if taken else NOWHERE)
    environment: dict[str, str] = {}
    make_token(environment)
    path = Path(environment["RAY_AUTH_TOKEN_PATH"])
    assert path.parent == private_folder()
    check_token(path)
    make_token(environment)
    assert environment == {"RAY_AUTH_TOKEN_PATH": str(path)}


def test_a_place_that_is_named_and_cannot_be_written_is_said() -> None:
    environment = {"RAY_AUTH_TOKEN_PATH": f"{NOWHERE}/token"}
    with pytest.raises(SettingsError) as caught:
        make_token(environment)
    assert str(caught.value) == (
        f"{NOWHERE}/token: Ray's token cannot be written (no such file or directory). "
        "Let RAY_AUTH_TOKEN_PATH name a file that may be written, or leave it out."
    )


def test_a_token_that_is_given_by_its_value_needs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", NOWHERE)
    environment = {"RAY_AUTH_TOKEN": "x" * 64}
    make_token(environment)
    assert environment == {"RAY_AUTH_TOKEN": "x" * 64}


def longest() -> int:
    """Bytes of a folder below which Ray's sockets have 107."""
    return 107 - len(f"/ray/session_2026-01-31_23-59-59_999999_{os.getpid()}/sockets/plasma_store")


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_folder_that_is_short_enough_is_left_alone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {name: "/" + "x" * (longest() - 1)}
    shorten_sockets(environment)
    shorten_sockets({})
    assert list(environment) == [name] and capsys.readouterr() == ("", "")


def test_where_tmpdir_is_too_long_ray_gets_another_folder_which_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "/" + "ä" * (longest() // 2)  # of two bytes each
    environment = {"TMPDIR": long + "x"}
    shorten_sockets(environment, short="/dev/shm")
    assert environment == {"TMPDIR": long + "x", "RAY_TMPDIR": "/dev/shm"}
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("TMPDIR is too long a path for Ray's sockets: Ray's files go to /dev/shm; RAY_TMPDIR names")


@pytest.mark.parametrize(
    ("environment", "short"),
    [({"RAY_TMPDIR": "/" + "x" * 60}, "/tmp"), ({"TMPDIR": "/" + "x" * 60}, NOWHERE)],
)
def test_what_no_other_folder_can_mend_is_said(environment: dict[str, str], short: str) -> None:
    (name,) = environment
    with pytest.raises(SettingsError) as caught:
        shorten_sockets(environment, short=short)
    assert str(caught.value) == (
        f"{name}: the path is too long for Ray's sockets: 61 bytes, and {longest()} are the most. "
        f"Set RAY_TMPDIR to a folder with a shorter path, such as {short}."
    )
