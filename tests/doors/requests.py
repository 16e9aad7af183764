"""One table of bad HTTP requests, and the suite of whatever answers HTTP: Ray Serve, or the app alone.

What is wrong here is how a file is asked about, not the file: another content type, a form that is none, a path that
is not there, a length that is a lie.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import httpx
import pytest

from tests.doors.uploads import SERVER, AskedDoorTests, Door, Question, Upload, check_clear
from tests.fakes import png, stack

TIFF = {"content-type": "image/tiff"}
FORM = {"content-type": "multipart/form-data; boundary=x"}
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="patch.tif"\r\nContent-Type: image/tiff\r\n\r\n'
FIELD = b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
END = b"\r\n--x--\r\n"


@dataclass(frozen=True)
class BadRequest:
    """One request that is refused, by default a prediction without a body; `body` makes it, whole or in chunks."""

    status: int
    code: str
    said: str
    method: str = "POST"
    path: str = "/v1/predict"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], bytes | Iterator[bytes]] = lambda: b""


def form(status: int, code: str, said: str, body: Callable[[], bytes]) -> BadRequest:
    return BadRequest(status, code, said, headers=FORM, body=body)


def other(said: str, body: bytes, kind: str | None) -> BadRequest:
    headers = {} if kind is None else {"content-type": kind}
    return BadRequest(415, "unsupported", said, headers=headers, body=lambda: body)


REQUESTS: dict[str, BadRequest] = {
    # what is no GeoTIFF, whatever the content type says
    "text": other("a text file", b"hello, world", "text/plain"),
    "text as a tiff": other("a text file", b"hello, world", "image/tiff"),
    "json": other("a text file", b'{"pixels": [1, 2]}', "application/json"),
    "png": other("a PNG picture", png(), "image/png"),
    "pdf as bytes": other("a PDF document", b"%PDF-1.7 ...", "application/octet-stream"),
    "npy without a type": other("a NumPy array", b"\x93NUMPY\x01\x00", None),
    "curl -d": other(
        "(--data-binary sends all)", stack().translate(None, b"\0\r\n"), "application/x-www-form-urlencoded"
    ),
    "mixed parts": other("a text file", FILE + b"hello" + END, "multipart/mixed; boundary=x"),
    "a book for a type": other("a text file", b"hello", "x" * 5000),
    "nothing of no type": BadRequest(400, "empty", "is empty"),
    # forms
    "empty form": form(422, "input", "the form has no file", lambda: b""),
    "form without a file": form(422, "input", "the form has no file", lambda: FIELD + END),
    "form whose file is empty": form(400, "empty", "is empty", lambda: FILE + END),
    "form whose file is no GeoTIFF": form(415, "unsupported", "a text file", lambda: FILE + b"hello" + END),
    "form that is cut off": form(422, "input", "not a whole one", lambda: FILE + stack()),
    "form whose file is cut off": form(422, "patch", "cut off", lambda: FILE + stack()[:9000] + END),
    "form of two files": form(422, "input", "Too many files", lambda: FILE + b"II\r\n" + FILE + b"II" + END),
    "form of many fields": form(422, "input", "Too many fields", lambda: FIELD * 20 + END),
    "form with a large field": form(
        422, "input", "Part exceeded maximum size", lambda: FIELD.replace(b"hello", bytes(3 * 2**19)) + END
    ),
    "form that is too large": form(413, "toolarge", "over 2 MiB", lambda: FILE + bytes(3 * 2**20) + END),
    "form of nothing known": form(422, "input", "the form cannot be read", lambda: b"hello"),
    "form without names": form(422, "input", "the form cannot be read", lambda: b"--x\r\n\r\nhello" + END),
    "form with a long header": form(
        422, "input", "the form cannot be read", lambda: b"--x\r\nA: " + b"x" * 100_000 + b"\r\n\r\nhello" + END
    ),
    "form without a boundary": BadRequest(
        422, "input", "the form cannot be read", headers={"content-type": "multipart/form-data"}, body=lambda: b"x"
    ),
    # sizes and lengths
    "chunks that are too many": BadRequest(
        413, "toolarge", "over 2 MiB", headers=TIFF, body=lambda: (bytes(2**18) for _ in range(12))
    ),
    "chunks of nothing": BadRequest(400, "empty", "is empty", headers=TIFF, body=lambda: iter(())),
    # what is not there
    "GET": BadRequest(405, "http", "method not allowed", method="GET"),
    "PUT": BadRequest(405, "http", "method not allowed", method="PUT"),
    "DELETE of the models": BadRequest(405, "http", "method not allowed", method="DELETE", path="/v1/models"),
    "nowhere": BadRequest(404, "http", "not found", method="GET", path="/nowhere"),
    "up": BadRequest(404, "http", "not found", method="GET", path="/v1/models/..%2f..%2fetc%2fpasswd/example"),
    "example of no model": BadRequest(404, "notfound", 'no model "sea"', method="GET", path="/v1/models/sea/example"),
    "example of nothing": BadRequest(404, "notfound", 'no model "\\x00"', method="GET", path="/v1/models/%00/example"),
    "no class to explain": BadRequest(422, "invalid", "label: field required", path="/v1/explain"),
    "unknown class to explain": BadRequest(
        422, "label", 'unknown class "Pasture"', path="/v1/explain?label=Pasture", headers=TIFF, body=stack
    ),
    "HTML for a class": BadRequest(
        422, "label", 'unknown class "<b>"', path="/v1/explain?label=%3Cb%3E", headers=TIFF, body=stack
    ),
    "explain of no patch": BadRequest(
        415, "unsupported", "a text file", path="/v1/explain?label=Pastures", headers=TIFF, body=lambda: b"hello"
    ),
}

KINDS = [
    *("image/tiff", "image/geotiff", "application/geotiff", "image/x-tiff", "IMAGE/TIFF"),
    *("image/tiff; application=geotiff; profile=cloud-optimized", "image/tiff,text/html", "application/octet-stream"),
    *("application/x-www-form-urlencoded", "text/plain", "application/pdf", "image/png", "multipart/mixed; boundary=x"),
    *("multipart/form-data; boundary=x", "multipart/form-data", "x" * 5000, "", ";", "tiff", "\xff", None),
]
"""Content types that programs send a GeoTIFF under, right and wrong ones; None for none."""

LIES: dict[str, bytes] = {
    "two lengths": b"content-length: 2\r\ncontent-length: 3\r\n\r\nII*",
    "length and chunks": b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nII\r\n0\r\n\r\n",
    "no number": b"content-length: two\r\n\r\nII",
    "below nothing": b"content-length: -2\r\n\r\nII",
    "thousands of digits": b"content-length: " + b"9" * 5000 + b"\r\n\r\nII",
    "less than there is": b"content-length: 1\r\n\r\nII*\0",
    "chunks of no size": b"transfer-encoding: chunked\r\n\r\nII\r\n*\0\r\n0\r\n\r\n",
}
"""What stands after the other headers of a request that no server may let through; only on a real connection."""


def check_error(answer: httpx.Response, status: int, code: str, said: str) -> None:
    """An error in the one shape that errors have, and a clear one."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "hint", "request_id"}
    assert (answer.status_code, error["code"]) == (status, code), error
    assert re.fullmatch(r"[0-9a-f-]{36}", error["request_id"])
    assert answer.headers["x-request-id"] == error["request_id"]
    assert error["hint"]
    check_clear(f"{error['message']}. {error['hint']}", said)
    assert SERVER not in answer.text


class HttpTests(AskedDoorTests):
    """What is promised over HTTP; the fixture `http` is connected to an endpoint of models of twelve bands."""

    @pytest.fixture
    def door(self, http: httpx.Client) -> Door:
        def post(upload: Upload | Question) -> str:
            asked = {"model": upload.model, "bands": upload.bands} if isinstance(upload, Question) else {}
            parameters = {key: value for key, value in asked.items() if value is not None}
            answer = http.post("/v1/predict", content=upload.data, headers=TIFF, params=parameters)
            check_error(answer, upload.wrong.status, upload.wrong.code, upload.said)
            error = answer.json()["error"]
            return f"{error['message']}. {error['hint']}"

        return post

    @pytest.mark.parametrize("name", REQUESTS)
    def test_a_bad_request_is_one_clear_message(self, http: httpx.Client, name: str) -> None:
        bad = REQUESTS[name]
        answer = http.request(bad.method, bad.path, content=bad.body(), headers=dict(bad.headers))
        check_error(answer, bad.status, bad.code, bad.said)
        assert ("allow" in answer.headers) == (bad.status == 405)

    @pytest.mark.parametrize("chunked", [False, True])
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_geotiff_is_answered_whatever_its_type(self, http: httpx.Client, kind: str | None, chunked: bool) -> None:
        headers = [] if kind is None else [(b"content-type", kind.encode("latin-1"))]
        body = stack()
        content = iter([body[:3], body[3:5], body[5:]]) if chunked else body
        answer = http.post("/v1/predict", content=content, headers=headers)
        assert answer.status_code == 200, answer.text

    @pytest.mark.parametrize("field", ["file", "image", "data", "x y"])
    def test_a_form_is_answered_whatever_its_field_is_called(self, http: httpx.Client, field: str) -> None:
        assert http.post("/v1/predict", files={field: stack()}).status_code == 200

    @pytest.mark.parametrize("name", ["patch.tif", "../../etc/passwd", "<img src=x>.tif", "Ä ü.tif", "x" * 300])
    def test_what_a_file_is_called_in_its_form_is_nothing_to_us(self, http: httpx.Client, name: str) -> None:
        answer = http.post("/v1/predict", files={"file": (name, stack(), "text/html")})
        assert answer.status_code == 200
        assert name not in answer.text
