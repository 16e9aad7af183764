"""Bodies: whole, within size and time, or refused before anything is done with them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from pipelines.errors import InputError, LandsweepError, TooLargeError
from serve.body import BrokenOffError, EmptyError, SlowError, read_file
from tests.doors.requests import END, FIELD, FILE, FORM, KINDS, TIFF
from tests.ui.stand_in import served_endpoint

LIMIT = 1000


class Arriving:
    """A request whose body arrives in these chunks, each after a pause, and then ends, stays away or breaks off."""

    def __init__(
        self, chunks: Sequence[bytes], *, pause: float = 0, end: str = "whole", headers: dict[str, str] = TIFF
    ) -> None:
        self.messages = self._messages(chunks, end)
        self.pause, self.read = pause, 0
        names = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": names}
        self.request = Request(scope, self._receive)

    @staticmethod
    def _messages(chunks: Sequence[bytes], end: str) -> Iterator[Message]:
        for chunk in chunks:
            yield {"type": "http.request", "body": chunk, "more_body": True}
        if end == "whole":
            yield {"type": "http.request", "body": b"", "more_body": False}
        if end == "gone":
            yield {"type": "http.disconnect"}

    async def _receive(self) -> Message:
        if self.pause:
            await asyncio.sleep(self.pause)
        for message in self.messages:
            self.read += 1
            return message
        await asyncio.Event().wait()
        raise AssertionError("nothing comes any more")

    def body(self, limit: int = LIMIT, deadline: float = 30) -> bytes:
        return asyncio.run(read_file(self.request, limit, deadline))


@pytest.mark.parametrize("magic", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])
@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("kind", [" image/tiff ", *(each or "" for each in KINDS)])
def test_a_tiff_is_one_by_its_bytes(kind: str, chunk: int, magic: bytes) -> None:
    content = magic + FILE
    chunks = [content[at : at + chunk] for at in range(0, len(content), chunk)]
    assert Arriving(chunks, headers={"content-type": kind}).body() == content


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=20))
def test_in_whatever_chunks_it_comes_a_body_is_the_same(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    if whole:
        assert Arriving(chunks).body() == whole
    else:
        with pytest.raises(EmptyError, match="the body is empty"):
            Arriving(chunks).body()


@pytest.mark.parametrize("size", [1, LIMIT - 1, LIMIT])
def test_up_to_the_limit_a_body_is_taken(size: int) -> None:
    for headers in (TIFF, TIFF | {"content-length": str(size)}):
        assert Arriving([bytes(size)], headers=headers).body() == bytes(size)


@pytest.mark.parametrize("length", [str(LIMIT + 1), "9" * 19, "9" * 5000])
def test_a_length_over_the_limit_is_refused_before_the_body_is_read(length: str) -> None:
    arriving = Arriving([b"II*\0"], headers=TIFF | {"content-length": length})
    with pytest.raises(TooLargeError, match="the body is over 0 MiB"):
        arriving.body()
    assert arriving.read == 0


@pytest.mark.parametrize("length", [None, "4", "", "-1", "four", "4.5", "1e9", "\xb2"])
def test_a_body_over_the_limit_is_refused_whatever_its_length_says(length: str | None) -> None:
    headers = TIFF if length is None else TIFF | {"content-length": length}
    arriving = Arriving([bytes(LIMIT // 2)] * 100, headers=headers)
    with pytest.raises(TooLargeError):
        arriving.body()
    assert arriving.read == 3


@pytest.mark.parametrize("headers", [TIFF, FORM])
def test_a_body_that_stops_or_drips_is_given_up_at_its_deadline(headers: dict[str, str]) -> None:
    for arriving in (
        Arriving([FILE], end="never", headers=headers),
        Arriving([FILE, *[b"-"] * 100], pause=0.02, headers=headers),
    ):
        with pytest.raises(SlowError, match=r"took too long to arrive\. Send it within 0\.1 s\."):
            arriving.body(deadline=0.1)


@pytest.mark.parametrize("headers", [TIFF, FORM])
def test_a_body_that_breaks_off_is_no_fault_of_ours(headers: dict[str, str]) -> None:
    for chunks in ([], [b"--x\r\nContent-"]):
        with pytest.raises(BrokenOffError, match="broke off"):
            Arriving(chunks, end="gone", headers=headers).body()


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_a_form_gives_its_file(chunk: int) -> None:
    content = b"II*\0\r\n--y\r\n--"
    form = FIELD + FILE + content + END
    chunks = [form[at : at + chunk] for at in range(0, len(form), chunk)]
    assert Arriving(chunks, headers=FORM).body() == content


def test_a_form_within_the_limit_may_have_fields_before_and_after_its_file() -> None:
    for form in (FIELD * 8 + FILE + b"II" + END, FILE + b"II\r\n" + FIELD * 8 + END):
        assert Arriving([form], headers=FORM).body(limit=2 * len(form)) == b"II"


def test_a_form_over_the_limit_is_not_read_to_its_end() -> None:
    arriving = Arriving([FILE, *[bytes(LIMIT // 2)] * 100, END], headers=FORM)
    with pytest.raises(TooLargeError):
        arriving.body()
    assert arriving.read == 3


PIECES = (FILE, FIELD, END, b"--x", b"\r\n", b"--", b"II*\0", b"Content-Disposition: form-data", b'; name="', b"\xff")


BOUNDARIES = ("x", "", "xx", '"x"', "\xff", "x" * 90)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=8), st.sampled_from(BOUNDARIES))
@example([FILE, b"II", END], "x")
def test_a_form_of_any_bytes_is_read_or_refused(pieces: list[bytes], boundary: str) -> None:
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    try:
        assert Arriving(pieces, headers=headers).body()
    except LandsweepError as error:
        assert isinstance(error, InputError)
        assert error.hint


HALF = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/tiff\r\ncontent-length: 99\r\n\r\nII"


def connect(url: str) -> socket.socket:
    address = httpx.URL(url)
    return socket.create_connection((address.host, address.port or 80), timeout=10)


def test_over_http_half_a_body_is_answered_at_its_deadline() -> None:
    with served_endpoint(deadline=0.1) as url, connect(url) as connection:
        connection.sendall(HALF)
        answer = b""
        while b"}}" not in answer:
            answer += connection.recv(2000) or b"}}"
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"slow","message":"the body took too long to arrive","hint":"Send it within 0.1 s."' in answer


def test_over_http_nobody_hears_of_a_body_that_broke_off(caplog: pytest.LogCaptureFixture) -> None:
    with served_endpoint() as url:
        with connect(url) as connection:
            connection.sendall(HALF)
        assert httpx.get(f"{url}/readyz").status_code == 200
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
