"""Whether anybody answers at a cluster's address, asked before Ray is: Ray itself goes on asking for minutes.

Flows in: what RAY_ADDRESS says. Flows out: nothing, or one error that says what is there in place of a cluster.
"""

from __future__ import annotations

import os
import socket

from pipelines.errors import BusyError, SettingsError

PATIENCE = 3.0
"""Seconds for a connection, and as many for a word over it."""

_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS
"""How a client of HTTP/2 begins (RFC 9113, 3.4): a cluster speaks gRPC, and so answers with settings of its own."""


def ask(address: str, patience: float = PATIENCE) -> None:
    """Check that a cluster may be at an address; what only Ray understands, such as `auto`, is left to it.

    Raises:
        SettingsError: it is no address of a cluster.
        BusyError: nobody is there, or somebody who is no cluster.
    """
    place = _place(address)
    if place is None:
        return
    try:
        with socket.create_connection(place, timeout=patience) as connection:
            spoken = _answer(connection)
    except (OSError, UnicodeError) as error:  # the latter: no name of a host
        reason = "it took too long" if isinstance(error, TimeoutError) else getattr(error, "strerror", None)
        raise _nobody(address, (reason or str(error)).lower()) from None
    if not spoken:
        raise _nobody(address, "what is there is no Ray")


def _place(address: str) -> tuple[str, int] | None:
    scheme, _, rest = address.rpartition("://")
    if scheme in ("http", "https"):
        hint = "That is for RAY_API_SERVER_ADDRESS; RAY_ADDRESS is host and port of the head, such as 10.0.0.1:6379."
        raise SettingsError(f"\"{address}\" is a dashboard's address, not a cluster's", where="RAY_ADDRESS", hint=hint)
    if scheme not in ("", "ray") or rest in ("auto", "local"):
        return None
    host, _, port = rest.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port[:6]) < 1 << 16:
        hint = "Give host and port of the head, such as 10.0.0.1:6379, or auto."
        raise SettingsError(f'"{address}" is no address of a cluster', where="RAY_ADDRESS", hint=hint)
    return host.strip("[]"), int(port)


def _answer(connection: socket.socket) -> bool:
    """Whether who is there speaks as a cluster does; with TLS only Ray can tell."""
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return True
    connection.sendall(_HELLO)
    heard = b""
    while len(heard) < 4:
        try:
            more = connection.recv(64)
        except (TimeoutError, ConnectionError):
            return False
        if not more:
            return False
        heard += more
    return heard[3] == _SETTINGS[3] and heard[0] == 0


def _nobody(address: str, reason: str) -> BusyError:
    return BusyError(
        f"no Ray cluster answers at {address} ({reason})",
        hint="Check RAY_ADDRESS, or unset it to start Ray on this machine.",
    )
