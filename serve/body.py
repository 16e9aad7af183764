"""A request's body: read whole, within size and time, before anything else is done with it.

Flows in: an HTTP request. Flows out: the bytes of the one file in it, or an error with the right status. What the bytes
are is told by themselves, whatever the content type says: programs send GeoTIFFs under many types, or under none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from pipelines.errors import InputError, LandsweepError, TooLargeError
from pipelines.pixels.tiff_header import is_tiff

DEADLINE = 30.0
"""Seconds in which a body must have arrived."""

_MAGIC = 4
"""Bytes that say whether a file is a TIFF."""

_HINT = "Send the GeoTIFF as the body, or as the file of a form."


class SlowError(LandsweepError):
    """The body did not arrive in time."""

    status = 408


class EmptyError(InputError):
    """There is no body."""

    status = 400


class BrokenOffError(InputError):
    """Whoever sent the body went away before its end; nobody is left to read this, so it is for the log alone."""

    status = 400


async def read_file(request: Request, max_bytes: int, deadline: float = DEADLINE) -> bytes:
    """The file of a request: its body, or the single file of its form.

    Args:
        max_bytes: the most that a body may have.
        deadline: seconds in which it must have arrived.

    Raises:
        TooLargeError: more than `max_bytes`.
        EmptyError, SlowError, BrokenOffError, InputError: nothing came, it came too slowly or not to its end, or the
            form has no file.
    """
    try:
        async with asyncio.timeout(deadline):
            data = await _whole(request, max_bytes)
    except TimeoutError:
        raise SlowError("the body took too long to arrive", hint=f"Send it within {deadline:g} s.") from None
    except ClientDisconnect:
        raise BrokenOffError("the body broke off", hint="Send it again.") from None
    if not data:
        raise EmptyError("the body is empty", hint=_HINT)
    return data


async def _whole(request: Request, max_bytes: int) -> bytes:
    chunks, head = _capped(request, max_bytes), b""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async for chunk in chunks:  # as far as it takes to see that it is no TIFF
            head += chunk
            if len(head) >= _MAGIC:
                break
        if not is_tiff(head):
            return await _form_file(request.headers, _from(head, chunks))
    return b"".join([head, *[chunk async for chunk in chunks]])


async def _from(head: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield head
    async for chunk in rest:
        yield chunk


async def _capped(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    length = request.headers.get("content-length", "")
    seen = float(length) if length.isdecimal() else 0  # a number of any size, where int() takes 4,300 digits
    if seen <= max_bytes:
        seen = 0
        async for chunk in request.stream():
            seen += len(chunk)
            if seen > max_bytes:
                break
            yield chunk
    if seen > max_bytes:
        raise TooLargeError(f"the body is over {max_bytes / 2**20:.0f} MiB", hint="Cut the image into patches first.")


async def _form_file(headers: Headers, body: AsyncGenerator[bytes, None]) -> bytes:
    try:
        form = await MultiPartParser(headers, body, max_files=1, max_fields=8).parse()
    except (MultiPartException, MultipartParseError, KeyError) as error:
        raise InputError(f"the form cannot be read ({error})", hint=_HINT) from None
    try:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if not files:
            raise InputError("the form has no file, or not a whole one", hint=_HINT)
        return await files[0].read()
    finally:
        await form.close()
