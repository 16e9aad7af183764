"""A real HTTP server on 127.0.0.1 that does wrong what servers and networks do wrong, one `Fault` a request.

What it has no fault for, it answers rightly: ranges, If-Range, ETag and all. It writes down what it was asked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Fault:
    """How one answer differs from the right one.

    `cut`: the connection ends after so many bytes of the body. `stall`: or nothing more comes from there, as long as
    the server is there. `framing`: how the body's end is told: by "length", in chunks, or not at all. `shift`: of the
    body's start against what was asked for. `range_start`, `range_size`: what Content-Range says.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    stall: bool = False
    ignore_range: bool = False
    ignore_if_range: bool = False
    framing: str = "length"
    shift: int = 0
    range_start: int | None = None
    range_size: int | str | None = None
    stated: int | None = None
    surplus: bytes = b""


@dataclass
class Server:
    """`content` and `etag` are what is served; both may change between requests. `asked` has each request's headers."""

    content: bytes
    etag: str = '"one"'
    modified: str = ""
    faults: list[Fault] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def ranges(self) -> list[str]:
        """The Range of each request, empty where there was none."""
        return [headers.get("range", "") for headers in self.asked]


@contextmanager
def serving(content: bytes, faults: list[Fault] | None = None, name: str = "file.bin") -> Iterator[Server]:
    """Serve until the end of the block, at `url`."""
    server = Server(content, faults=faults or [])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.asked.append({key.lower(): value for key, value in self.headers.items()})
            fault = server.faults.pop(0) if server.faults else Fault()
            try:
                _answer(self, server, fault)
            except OSError:  # the client went away
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}/{name}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.done.set()
        http.shutdown()
        thread.join()
        http.server_close()


def _answer(handler: BaseHTTPRequestHandler, server: Server, fault: Fault) -> None:
    if fault.status:
        handler.send_response(fault.status)
        for key, value in ({"Content-Length": "0"} | fault.headers).items():
            handler.send_header(key, value)
        handler.end_headers()
        return
    start = _start(handler, server, fault)
    if start is not None and start >= len(server.content):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(server.content)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    body = server.content[(start or 0) + fault.shift :] + fault.surplus
    _send_head(handler, server, fault, start, len(body))
    _send_body(handler, server, fault, body)


def _start(handler: BaseHTTPRequestHandler, server: Server, fault: Fault) -> int | None:
    """Where the asked range starts; None for the whole file."""
    asked = handler.headers.get("Range")
    if not asked or fault.ignore_range:
        return None
    validator = handler.headers.get("If-Range")
    if validator and validator not in (server.etag, server.modified) and not fault.ignore_if_range:
        return None
    return int(asked.removeprefix("bytes=").rstrip("-"))


def _send_head(handler: BaseHTTPRequestHandler, server: Server, fault: Fault, start: int | None, length: int) -> None:
    handler.send_response(200 if start is None else 206)
    if start is not None:
        first = start if fault.range_start is None else fault.range_start
        size = len(server.content) if fault.range_size is None else fault.range_size
        handler.send_header("Content-Range", f"bytes {first}-{len(server.content) - 1}/{size}")
    if fault.framing == "length":
        handler.send_header("Content-Length", str(length if fault.stated is None else fault.stated))
    elif fault.framing == "chunked":
        handler.send_header("Transfer-Encoding", "chunked")
    else:
        handler.send_header("Connection", "close")
        handler.close_connection = True
    named = {"ETag": server.etag, "Last-Modified": server.modified} | fault.headers
    for key, value in named.items():
        if value:
            handler.send_header(key, value)
    handler.end_headers()


def _send_body(handler: BaseHTTPRequestHandler, server: Server, fault: Fault, body: bytes) -> None:
    sent = body if fault.cut is None else body[: fault.cut]
    for at in range(0, len(sent), 2**14):
        piece = sent[at : at + 2**14]
        head, tail = (f"{len(piece):x}\r\n".encode(), b"\r\n") if fault.framing == "chunked" else (b"", b"")
        handler.wfile.write(head + piece + tail)
    if fault.stall:
        server.done.wait()
    if fault.cut is not None or fault.stall:
        handler.close_connection = True
    elif fault.framing == "chunked":
        handler.wfile.write(b"0\r\n\r\n")
