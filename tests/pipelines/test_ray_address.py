"""A cluster's address that nobody answers at, or somebody else does: said in seconds, where Ray asks for minutes."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from pipelines.errors import BusyError, SettingsError
from pipelines.ray_address import ask
from tests.fakes import nobody

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0"


@contextmanager
def answering(*pieces: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A port where who comes first is listened to, and told this; yields its address and what was heard."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(1000))
                for piece in pieces:
                    connection.sendall(piece)
                done.wait(30)

        done = threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", heard
        done.set()
        thread.join(timeout=30)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_who_speaks_as_a_cluster_does_may_be_one(scheme: str) -> None:
    with answering(SETTINGS[:2], SETTINGS[2:]) as (address, heard):
        ask(scheme + address)
    assert heard[0].startswith(PREFACE)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 20, b"\0"])
def test_who_speaks_otherwise_is_none(said: bytes) -> None:
    with answering(said) as (address, _), pytest.raises(BusyError, match=r"\(what is there is no Ray\)"):
        ask(address, patience=0.2)


def test_a_web_server_is_none() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[attr-defined]  # of any handler
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        with pytest.raises(BusyError, match="what is there is no Ray"):
            ask(f"127.0.0.1:{server.server_port}")
        server.shutdown()


def test_with_tls_only_ray_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ask(f"127.0.0.1:{silent.getsockname()[1]}")


def test_where_nobody_is_that_is_said() -> None:
    with nobody() as url, pytest.raises(BusyError) as caught:
        ask(urlsplit(url).netloc)
    assert str(caught.value) == (
        f"no Ray cluster answers at {urlsplit(url).netloc} (connection refused). "
        "Check RAY_ADDRESS, or unset it to start Ray on this machine."
    )


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 80, "x..y", "[::1"])
def test_a_host_that_is_none_is_said(host: str) -> None:
    with pytest.raises(BusyError, match="no Ray cluster answers at"):
        ask(f"{host}:6379")


@pytest.mark.parametrize(
    "address", ["banana", "10.0.0.1", ":6379", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "h:²", "ray://h"]
)
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(SettingsError, match=r"is no address of a cluster\. Give host and port"):
        ask(address)


def test_the_dashboards_address_is_told_apart() -> None:
    with pytest.raises(SettingsError, match="a dashboard's address, not a cluster's"):
        ask("http://127.0.0.1:8265")


@pytest.mark.parametrize("address", ["auto", "local", "anyscale://team"])
def test_what_only_ray_understands_is_left_to_it(address: str) -> None:
    ask(address)
