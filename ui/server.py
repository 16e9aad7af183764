"""Serve the page to this machine and to nobody else.

Flows in: a host, a port and a Gradio app. Flows out: a running server, or one clear error before anything starts.

Listening on loopback is not enough: any web site that the user visits can send requests to 127.0.0.1, and by
DNS rebinding read the answers. So foreign `Host` and `Origin` headers are refused before Gradio sees them.
"""

from __future__ import annotations

import contextlib
import ipaddress
import shutil
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.errors import BusyError, LandsweepError, SettingsError

_START_SECONDS = 60
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "frame-ancestors 'none'",
        "form-action 'self'",
        "base-uri 'self'",
    )
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Gate:
    """ASGI middleware: lets this machine's own pages in, and lets no page load anything from elsewhere."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app, self.names = app, {host, "localhost", "127.0.0.1", "::1"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal:
            await refusal(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        await self.app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        hosts, origins = (_values(scope, name) for name in (b"host", b"origin"))
        if len(hosts) != 1 or _hostname(hosts[0]) not in self.names:
            return PlainTextResponse("This page answers only to this machine's own name, such as localhost.", 400)
        if any(urlsplit(origin).netloc.lower() != hosts[0].lower() for origin in origins):
            return PlainTextResponse("Requests from other web sites are refused.", 403)
        return None


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


@dataclass
class Page:
    """The page as it runs; `close` stops it and removes what was uploaded."""

    host: str
    port: int
    server: uvicorn.Server
    folder: Path
    thread: threading.Thread | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def close(self) -> None:
        self.server.should_exit = True
        if self.thread:
            self.thread.join(timeout=_START_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)


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


def run(app: ASGIApp, taken: socket.socket, host: str, folder: Path, *, block: bool) -> Page:
    """Serve until stopped, or in a thread where `block` is false."""
    config = uvicorn.Config(
        Gate(app, host),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        limit_concurrency=256,
        timeout_graceful_shutdown=3,
    )
    page = Page(host, taken.getsockname()[1], uvicorn.Server(config), folder)
    if block:
        with contextlib.suppress(KeyboardInterrupt):
            page.server.run(sockets=[taken])
        page.close()
        return page
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
