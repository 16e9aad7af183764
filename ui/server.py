"""Serve the page to this machine and to nobody else.

Flows in: a host, a port and a Gradio app. Flows out: a running server, or one clear error before anything starts.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from pipelines.errors import BusyError, LandsweepError, SettingsError
from ui.gate import Gate

_START_SECONDS = 60


class _QuietlyEnding(uvicorn.Server):
    """Browsers hold streams open; uvicorn cancels them when it ends, and would print a trace for each."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


@dataclass
class Page:
    """The page as it runs; `close` stops it and removes what was uploaded."""

    host: str
    port: int
    server: uvicorn.Server
    thread: threading.Thread | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """With the port that it has, also where any free one was asked for."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def close(self) -> None:
        """Stop serving, wait until that is done, for a minute at most; what was uploaded is removed."""
        self.server.should_exit = True
        if self.thread:
            self.thread.join(timeout=_START_SECONDS)


def bind(host: str, port: int) -> socket.socket:
    """Take the port, so that nobody else can between now and the first request.

    Raises:
        SettingsError: the host is not this machine's loopback, or the port may not be taken.
        BusyError: somebody else has the port.
    """
    address = _loopback(host)
    taken = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((address, port))
        taken.listen(128)
    except OSError as error:
        taken.close()
        raise _unbound(error, host, port) from None
    return taken


def _loopback(host: str) -> str:
    address = "127.0.0.1" if host == "localhost" else host
    try:
        if ipaddress.ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise SettingsError(
        f'"{host}" is not this machine alone',
        where="host",
        hint="The page has no passwords: listen on 127.0.0.1 and put a reverse proxy with a login in front.",
    )


def _unbound(error: OSError, host: str, port: int) -> LandsweepError:
    if isinstance(error, PermissionError):
        return SettingsError(f"port {port} is reserved", where="port", hint="Take one above 1023, such as --port 7860.")
    hint = f"Stop what listens there, or take another port, such as --port {port % 65_535 + 1}."
    return BusyError(f"port {port} of {host} is taken", where="port", hint=hint)


def run(app: ASGIApp, taken: socket.socket, host: str, folder: Path) -> Page:
    """Serve in a thread, until the page is closed.

    Args:
        app: the page.
        taken: what `bind` gave.
        host: as it was asked for.
        folder: that Gradio keeps uploads in.

    Raises:
        BusyError: it does not come up, or not within a minute.
    """
    config = uvicorn.Config(
        Gate(app, host, folder),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        limit_concurrency=256,
        timeout_graceful_shutdown=3,
    )
    page = Page(host, taken.getsockname()[1], _QuietlyEnding(config))
    page.thread = threading.Thread(
        target=page.server.run, kwargs={"sockets": [taken]}, name="landsweep-ui", daemon=True
    )
    page.thread.start()
    deadline = time.monotonic() + _START_SECONDS
    while not page.server.started:
        if not page.thread.is_alive() or time.monotonic() > deadline:
            raise BusyError("the page did not start", hint="See the log above.")
        time.sleep(0.02)
    return page
