"""A server's answer to what it means for a download: bytes of which file from where on, or whether to ask again.

Flows in: a URL, request headers, an HTTP client. Flows out: an open `httpx.Response` with its `Terms`; `AgainError`
where another try may do better; or the error that no other try would mend.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import httpx

from pipelines.download.partial_file import Stamp
from pipelines.download.sources import Source, shown
from pipelines.errors import InputError, NotFoundError, ServiceError

MAX_REDIRECTS = 10

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_TRY_AGAIN = (408, 429)
_OF_THE_FILE = ("gzip", "x-gzip")  # what servers that look at names call a .gz


class AgainError(ServiceError):
    """This try failed, and another may not. `wait`: seconds that the server asks for. No caller of `fetch` sees it."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", wait: float = 0.0) -> None:
        super().__init__(what, where=where, hint=hint)
        self.wait = wait

    @classmethod
    def after(cls, error: httpx.TransportError) -> Self:
        """What a failed connection is called in messages."""
        if isinstance(error, httpx.TimeoutException):
            return cls("the server is silent for too long")
        if isinstance(error, httpx.ConnectError):
            return cls(f"no connection ({error})")
        return cls("the connection broke off")


@dataclass(frozen=True)
class Terms:
    """What an answer says of its body.

    `start`: where in the file it begins, or None if it does not say or has nothing to give. `framed`: that the body is
    complete can be seen, even where the file's size is unknown.
    """

    start: int | None
    stamp: Stamp
    framed: bool


@contextmanager
def open_answer(
    client: httpx.Client, url: str, headers: Mapping[str, str], now: Callable[[], float]
) -> Iterator[httpx.Response]:
    """Ask for a URL, following redirects to http(s) that do not give up https; the body is not read yet.

    Args:
        client: must not follow redirects by itself.
        url: http or https.
        headers: of the request.
        now: seconds since 1970, for servers that say a time to come back.

    Raises:
        AgainError: no connection, or the server is overloaded or broken for the moment.
        NotFoundError, InputError: no such file, or not for everybody.
        ServiceError: any other refusal.
    """
    request = client.build_request("GET", url, headers=dict(headers))
    for _ in range(MAX_REDIRECTS):
        try:
            answer = client.send(request, stream=True)
        except httpx.TransportError as error:
            raise AgainError.after(error) from None
        try:
            if answer.next_request is None:
                _check_status(answer, url, now)
                yield answer
                return
            request = _checked(answer.next_request, request, url)
        finally:
            answer.close()
    raise ServiceError(f"more than {MAX_REDIRECTS} redirects", where=shown(url))


def _checked(following: httpx.Request, request: httpx.Request, url: str) -> httpx.Request:
    scheme = following.url.scheme
    if scheme not in ("http", "https"):
        raise ServiceError(f'redirected to "{scheme}:", which is not followed', where=shown(url))
    if request.url.scheme == "https" and scheme == "http":
        raise ServiceError("redirected from https to http, which is not followed", where=shown(url))
    return following


def _check_status(answer: httpx.Response, url: str, now: Callable[[], float]) -> None:
    code = answer.status_code
    if code in _TRY_AGAIN or code >= 500:
        raise AgainError(f"the server answered {code} {answer.reason_phrase}".rstrip(), wait=_wait(answer, now))
    if code in (404, 410):
        raise NotFoundError(f"no such file (the server answered {code})", where=shown(url), hint="Check the URL.")
    if code in (401, 403):
        hint = "Give a URL that you may read."
        raise InputError(f"not allowed (the server answered {code})", where=shown(url), hint=hint)
    if code not in (200, 206, 416):
        raise ServiceError(f"the server answered {code} {answer.reason_phrase}".rstrip(), where=shown(url))


def _wait(answer: httpx.Response, now: Callable[[], float]) -> float:
    """Retry-After in seconds: a number, or a date."""
    said = answer.headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - now())
    except ValueError:
        return 0.0


def terms_of(answer: httpx.Response, source: Source) -> Terms:
    """Read the head of an answer to a request for `source`, or for the rest of it.

    Raises:
        ServiceError: it is compressed for the way, or not as long as the source is known to be.
    """
    _check_encoding(answer, source)
    length = answer.headers.get("Content-Length", "")
    start: int | None = 0
    size = int(length[:18]) if length.isascii() and length.isdigit() else None
    framed = size is not None or "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
    if answer.status_code != 200:
        start, size = _range(answer, size)
        framed = False  # where the size is not said, this need not be all of the rest
    if size is not None and source.bytes is not None and size != source.bytes:
        raise ServiceError(
            f"the server has a file of {size:,} bytes, expected {source.bytes:,}",
            where=source.shown,
            hint="It is another file, or something on the way answers in the server's place.",
        )
    headers = answer.headers
    size = source.bytes if size is None else size
    return Terms(start, Stamp(source.shown, size, headers.get("ETag", ""), headers.get("Last-Modified", "")), framed)


def _range(answer: httpx.Response, length: int | None) -> tuple[int | None, int | None]:
    """Where a partial body starts, and the size of the whole; nothing where the answer contradicts itself."""
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if answer.status_code != 206 or found is None:
        return None, None
    start, last, size = int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3])
    if last < start or (size is not None and last >= size) or length not in (None, last - start + 1):
        return None, None
    return start, size


def _check_encoding(answer: httpx.Response, source: Source) -> None:
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity" or (encoding in _OF_THE_FILE and source.name.endswith(("gz", "GZ"))):
        return
    raise ServiceError(f"the server sent the file as {encoding}, which was not asked for", where=source.shown)
