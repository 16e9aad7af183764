"""The client: whatever answers, or does not, becomes an answer or one error of ours."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import (
    BusyError,
    InputError,
    LandsweepError,
    NotFoundError,
    ServiceError,
    TooLargeError,
    UnsupportedError,
)
from pipelines.pixels.patch import Patch
from serve.client import Client, read_upload
from serve.routes import create_app
from serve.schema import LabelPrediction
from tests.doors.in_process import InProcess
from tests.fakes import free_port, stack
from tests.ui.stand_in import BLIND_TO, StandIn, make_endpoint, make_tiff, served_endpoint

URL = "http://endpoint.test"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(URL, transport=InProcess(make_endpoint())) as connected:
        yield connected


class Elsewhere:
    """Something that gives one answer to everything, and a client at it; the answer may be changed."""

    def __init__(self, status: int = 200, content: bytes = b"", **headers: str) -> None:
        self.answer: dict[str, Any] = {"status_code": status, "stream": httpx.ByteStream(content), "headers": headers}
        self.client = Client(URL, transport=httpx.MockTransport(lambda _: httpx.Response(**self.answer)))


@contextmanager
def listening(sends: bytes | None) -> Iterator[str]:
    """A port that says this to the first who comes and goes away, or takes everything in and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                if sends is None:
                    done.wait(30)
                else:
                    connection.sendall(sends)

        done = threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        done.set()
        thread.join(timeout=30)


def test_every_call_reads_what_the_routes_send(client: Client) -> None:
    assert client.ready()
    assert [model.name for model in client.models()] == ["landnet-all", "landnet-swir"]
    answer = client.predict(make_tiff())
    assert (answer.model.name, len(answer.predictions), answer.warnings) == ("landnet-all", 19, [])
    assert client.explain(make_tiff(), BLIND_TO, model="landnet-all")[:4] == b"\x89PNG"
    assert client.predict(client.example("landnet-swir"), model="landnet-swir").bands_used == ["B08", "B11", "B12"]


def test_bands_are_named_for_a_file_that_does_not_name_them(client: Client) -> None:
    three = stack(("B12", "B08", "B11"), named=False)
    assert client.predict(three, model="landnet-swir").warnings
    assert not client.predict(three, model="landnet-swir", bands="B12,B08,B11").warnings


def every(kind: type[LandsweepError]) -> Iterator[type[LandsweepError]]:
    """An error and all that are of its kind, among those that an endpoint may raise."""
    yield kind
    for more in kind.__subclasses__():
        if more.__module__ in ("pipelines.errors", "serve.body"):
            yield from every(more)


class Failing(StandIn):
    """An endpoint whose models raise an error whenever they are asked."""

    error: Exception

    async def predict(self, model: str, patch: Patch) -> list[LabelPrediction]:
        raise self.error


@pytest.fixture(scope="module")
def failing() -> Iterator[tuple[Failing, Client]]:
    service = Failing()
    with Client(URL, transport=InProcess(create_app(service))) as connected:
        yield service, connected


@pytest.mark.parametrize("kind", list(every(LandsweepError)))
def test_every_error_of_ours_crosses_http(failing: tuple[Failing, Client], kind: type[LandsweepError]) -> None:
    """In the same words, and so that who calls ends with the same exit code."""
    service, client = failing
    service.error = kind("what is wrong", where="B01", hint="Mend it.")
    with pytest.raises(LandsweepError) as caught:
        client.predict(make_tiff(), name="x.tif")
    assert str(caught.value) == "x.tif: B01: what is wrong. Mend it."
    assert caught.value.exit_code == kind.exit_code


@pytest.mark.parametrize("error", [ValueError("/etc/secret"), KeyError("B01"), MemoryError(), AssertionError()])
def test_what_nobody_expected_is_the_endpoints_fault(failing: tuple[Failing, Client], error: Exception) -> None:
    service, client = failing
    service.error = error
    with pytest.raises(ServiceError, match=r"^x.tif: the endpoint failed. Report request [0-9a-f-]{36}\.$"):
        client.predict(make_tiff(), name="x.tif")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, ServiceError),
        (400, InputError),
        (401, InputError),
        (403, InputError),
        (404, NotFoundError),
        (408, ServiceError),
        (413, TooLargeError),
        (415, UnsupportedError),
        (418, InputError),
        (429, BusyError),
        (500, ServiceError),
        (502, ServiceError),
        (503, BusyError),
        (507, ServiceError),
        (599, ServiceError),
    ],
)
def test_a_status_of_somebody_else_is_named(status: int, kind: type[LandsweepError]) -> None:
    """Such as a proxy's before the endpoint, which has no words of ours."""
    with Elsewhere(status, b"<h1>proxy</h1>").client as client, pytest.raises(LandsweepError) as caught:
        client.models()
    assert type(caught.value) is kind
    assert str(caught.value) == f"the endpoint answered {status}. Is it Landsweep's?"


@pytest.mark.parametrize(
    "content", [b"", b"<h1>router</h1>", b"{}", b"[]", b"null", b'{"models": 3}', b"\xff", b"[" * 9999]
)
def test_a_good_status_alone_is_no_answer(content: bytes) -> None:
    with Elsewhere(200, content).client as client:
        for call in (client.models, lambda: client.predict(b"II*\0")):
            with pytest.raises(ServiceError, match="what answers there is not Landsweep's"):
                call()


def test_an_answer_that_cannot_be_unpacked_is_said() -> None:
    elsewhere = Elsewhere(200, b"no gzip", **{"content-encoding": "gzip"})
    with elsewhere.client as client, pytest.raises(ServiceError, match="broke off"):
        client.models()


@pytest.fixture(scope="module")
def elsewhere() -> Elsewhere:
    return Elsewhere()


@settings(max_examples=100, deadline=None)
@given(st.integers(200, 599), st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_answer_raises_anything_but_our_errors(elsewhere: Elsewhere, status: int, content: bytes) -> None:
    elsewhere.answer |= {"status_code": status, "stream": httpx.ByteStream(content)}
    client = elsewhere.client
    for call in (client.models, lambda: client.predict(b"II*\0"), lambda: client.explain(b"II*\0", "Pastures")):
        with suppress(LandsweepError):
            call()
    assert client.ready() == (status == 200)


@pytest.mark.parametrize(
    "sends",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhalf",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        bytes(range(256)),
    ],
)
def test_an_endpoint_that_goes_away_in_its_answer_is_said(sends: bytes) -> None:
    with listening(sends) as url, Client(url) as client, pytest.raises(ServiceError) as caught:
        client.models()
    assert str(caught.value).startswith(f"{url}: the endpoint broke off (")


def test_an_endpoint_that_is_silent_is_given_up() -> None:
    with listening(None) as url, Client(url, timeout=0.2) as client, pytest.raises(ServiceError) as caught:
        client.models()
    assert str(caught.value) == f"{url}: the endpoint took longer than 0.2 s. Try again when it has less to do."


def test_an_endpoint_that_is_not_there_names_the_command_that_starts_it() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client:
        assert not client.ready()
        with pytest.raises(ServiceError, match=r"does not answer\. Start it with `landsweep serve`"):
            client.models()


@pytest.mark.parametrize(
    "url", ["", "somewhere", "http://", "http://[::1", "http://a:b", "/tmp", "ftp://a", "file:///x"]
)
def test_what_is_no_url_is_said(url: str) -> None:
    with pytest.raises(InputError, match=r"not a URL\. Such as http://127\.0\.0\.1:8000"), Client(url) as client:
        client.models()


def test_an_endpoint_without_models_is_not_ready() -> None:
    with Client(URL, transport=InProcess(make_endpoint(()))) as client:
        assert not client.ready()
        assert client.models() == []
        with pytest.raises(BusyError, match=r"no model is loaded\. Try again in a moment"):
            client.predict(make_tiff())


@pytest.mark.parametrize("bands_are", ["bands", "--bands", "“Band names”"])
def test_what_speaks_of_requests_speaks_of_what_the_caller_has(bands_are: str) -> None:
    told = []
    with Client(URL, transport=InProcess(make_endpoint()), bands_are=bands_are) as client:
        for sent in ({"tiff": make_tiff(("B02",))}, {"tiff": make_tiff(), "bands": ","}, {"tiff": b""}):
            with pytest.raises(InputError) as caught:
                client.predict(**sent, name="x.tif")
            told.append(str(caught.value))
    assert told[0].startswith("x.tif: file has 1 bands (B02); the model needs B01")
    assert told[0].endswith(f"name the file's bands in file order in {bands_are}.")
    assert told[1].startswith(f"x.tif: {bands_are}: no band given.")
    assert told[2] == "x.tif: the file is empty. Give a GeoTIFF with the bands that the model needs."


@pytest.mark.parametrize("name", ["sea", "../..", "a/b", "?x=1", "#", "\0", "\udcff", "%00", "x" * 3000, "<b>", "Ä"])
def test_names_that_are_no_models_are_told_as_such(client: Client, name: str) -> None:
    """Wherever they stand: in a path, where they must not lead elsewhere, or in a question."""
    with pytest.raises(NotFoundError, match=r"no model|not found"):
        client.example(name)
    with pytest.raises(NotFoundError, match="no model"):
        client.predict(make_tiff(), model=name)
    with pytest.raises(NotFoundError, match="no model"):
        client.explain(make_tiff(), BLIND_TO, model=name)


def test_words_that_are_no_text_are_sent_as_their_escapes(client: Client) -> None:
    with pytest.raises(InputError, match=r"bands \(\\udcff, B02"):
        client.predict(make_tiff(("B01", "B02")), bands="\udcff,B02")
    with pytest.raises(InputError, match=r'unknown class "\\udcff"'):
        client.explain(make_tiff(), "\udcff")


def test_this_machines_endpoint_is_not_sought_behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with served_endpoint() as url:
        for address in (url, url.replace("127.0.0.1", "localhost"), f"{url}/"):
            with Client(address) as client:
                assert client.ready()


def test_its_connections_go_with_it() -> None:
    with Client(URL, transport=InProcess(make_endpoint())) as client:
        assert client.ready()
    with pytest.raises(RuntimeError, match="closed"):
        client.models()


def test_a_file_to_send_is_read_or_named(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(b"II*\0")
    assert read_upload(tmp_path / "x.tif") == b"II*\0"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, said in (
        (tmp_path / "absent.tif", "no such file or directory"),
        (tmp_path, "is a directory"),
        (tmp_path / "x.tif" / "y.tif", "not a directory"),
        (tmp_path / "loop", "too many levels of symbolic links"),
        (tmp_path / ("x" * 300), "file name too long"),
    ):
        with pytest.raises(InputError) as caught:
            read_upload(path)
        assert str(caught.value) == f"{path}: {said}. Give the path of a GeoTIFF."
