"""What stands between the network and Gradio: lets this machine's own pages in, and nothing that they would not send.

Flows in: every request. Flows out: the request, or a refusal in one plain sentence; answers get headers that let
the browser load nothing from elsewhere.

Listening on loopback is not enough: any web site that the user visits can send requests to 127.0.0.1, and by
DNS rebinding read the answers. And Gradio, mounted on another app as here, checks no file that an event names: it
would copy any path of this machine, or fetch any public URL, into the folder from which it serves downloads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_JSON = 1_000_000

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
    """ASGI middleware.

    Args:
        host: where the page listens; its own name and this machine's are let in.
        uploads: the folder that Gradio keeps uploads in; events may name files in there only.
    """

    def __init__(self, app: ASGIApp, host: str, uploads: Path) -> None:
        self.app, self.names, self.uploads = app, {host, "localhost", "127.0.0.1", "::1"}, uploads.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self._stranger(scope)
        if not refusal and _is_event(scope):
            body = await _read(receive)
            refusal = self._foreign_file(body)
            receive = _replay(body, receive)
        if refusal:
            await refusal(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        await self.app(scope, receive, send_guarded)

    def _stranger(self, scope: Scope) -> PlainTextResponse | None:
        hosts, origins = (_values(scope, name) for name in (b"host", b"origin"))
        if len(hosts) != 1 or _split(hosts[0])[0] not in self.names:
            return PlainTextResponse("This page answers only to this machine's own name, such as localhost.", 400)
        if any(_split(origin.partition("//")[2]) != _split(hosts[0]) for origin in origins):
            return PlainTextResponse("Requests from other web sites are refused.", 403)
        return None

    def _foreign_file(self, body: bytes) -> PlainTextResponse | None:
        if len(body) > MAX_JSON:
            return PlainTextResponse("The request is too large.", 413)
        try:
            paths = list(_paths(json.loads(body)))
        except (ValueError, RecursionError):
            return PlainTextResponse("The request is not JSON.", 400)
        if all(isinstance(path, str) and self._is_upload(path) for path in paths):
            return None
        return PlainTextResponse("Upload a file; paths and addresses are not taken.", 403)

    def _is_upload(self, path: str) -> bool:
        try:
            return Path(path).resolve().is_relative_to(self.uploads) and Path(path).is_file()
        except (OSError, ValueError):
            return False


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _split(place: str) -> tuple[str, int | None]:
    """Host and port of `host:port`; an empty host where it makes no sense."""
    try:
        parts = urlsplit(f"//{place}")
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None


def _is_event(scope: Scope) -> bool:
    """Whether the request has a body other than an upload's."""
    if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return False
    kinds = _values(scope, b"content-type")
    return len(kinds) != 1 or not kinds[0].startswith("multipart/form-data")  # of two, others may go by the first


async def _read(receive: Receive) -> bytes:
    """The body, or as much of it as shows that it is too large."""
    body, more = b"", True
    while more and len(body) <= MAX_JSON:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body or b"null"


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _paths(value: Any) -> Iterator[Any]:
    """What stands under any `path` key, however deep: Gradio looks everywhere too."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        for each in value.values():
            yield from _paths(each)
    elif isinstance(value, list):
        for each in value:
            yield from _paths(each)
