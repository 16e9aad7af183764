"""Where a Ray that is started here keeps what it cannot do without: its token, and the sockets of its processes.

Flows in: the environment, a home that may not be ours to write, a temporary folder whose path may be too long for a
socket. Flows out: the environment that Ray reads, with both in places that will do.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import MutableMapping
from pathlib import Path

from pipelines.errors import SettingsError
from pipelines.home import private_folder
from pipelines.terminal import tell

_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107
"""Bytes of a socket's path, which the system sets."""

_SHORT = "/tmp"  # noqa: S108  Ray's own choice where nobody says otherwise


def make_token(environment: MutableMapping[str, str]) -> None:
    """Make Ray's token, readable by this user only, where Ray looks for it; where home cannot be written, in a folder
    that goes with this process, which the environment then names.

    Raises:
        SettingsError: RAY_AUTH_TOKEN_PATH names a file that cannot be written.
    """
    if environment.get("RAY_AUTH_TOKEN"):
        return
    named = environment.get("RAY_AUTH_TOKEN_PATH")
    try:
        _write_token(Path(named) if named else Path.home() / ".ray" / "auth_token")
    except (OSError, RuntimeError) as error:  # the latter: nobody knows where home is
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        if named:
            hint = "Let RAY_AUTH_TOKEN_PATH name a file that may be written, or leave it out."
            raise SettingsError(f"Ray's token cannot be written ({reason})", where=named, hint=hint) from None
        path = private_folder() / "auth_token"
        _write_token(path)
        environment["RAY_AUTH_TOKEN_PATH"] = str(path)


def _write_token(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        path.read_bytes()  # another user's may not be read
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))


def shorten_sockets(environment: MutableMapping[str, str], short: str = _SHORT) -> None:
    """See to it that Ray's sockets have paths that the system takes: where TMPDIR is too long for them, Ray gets
    another folder, which is told.

    Args:
        short: that other folder.

    Raises:
        SettingsError: RAY_TMPDIR is too long, or the other folder cannot be written.
    """
    name = next((each for each in ("RAY_TMPDIR", "TMPDIR") if each in environment), None)
    room = _LONGEST_SOCKET - len(_socket(""))
    if name is None or len(os.fsencode(environment[name])) <= room:
        return
    if name == "TMPDIR" and os.access(short, os.W_OK | os.X_OK) and len(short) <= room:
        environment["RAY_TMPDIR"] = short
        tell(f"TMPDIR is too long a path for Ray's sockets: Ray's files go to {short}; RAY_TMPDIR names another place.")
        return
    raise SettingsError(
        f"the path is too long for Ray's sockets: {len(os.fsencode(environment[name]))} bytes, and {room} are the most",
        where=name,
        hint=f"Set RAY_TMPDIR to a folder with a shorter path, such as {short}.",
    )


def _socket(folder: str) -> str:
    """The longest of the paths that Ray 2.60 gives its sockets, for a driver with this process's number."""
    return f"{folder}/ray/session_2026-01-31_23-59-59_999999_{os.getpid()}/sockets/plasma_store"
