"""A request's body: read whole, within size and time, before anything else is done with it.

Flows in: an HTTP request. Flows out: the bytes of the one GeoTIFF in it, or an error with the right status.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from pipelines.errors import InputError, LandsweepError, TooLargeError, UnsupportedError, shown

TIFF_TYPES = ("image/tiff", "image/geotiff", "application/geotiff", "image/x-tiff")
DEADLINE = 30.0
"""Seconds in which a body must have arrived."""

_HINT = "Send the GeoTIFF as the body with content type image/tiff, or as the file of a form."


class SlowError(LandsweepError):
    """The body did not arrive in time."""

    status = 408


class EmptyError(InputError):
    """There is no body."""

    status = 400


class BrokenOffError(InputError):
    """Whoever sent the body went away before its end; nobody is left to read this, so it is for the log alone."""

    status = 400


async def read_tiff(request: Request, max_bytes: int, deadline: float = DEADLINE) -> bytes:
    """The GeoTIFF of a request: its body, or the single file of its form.

    Args:
        max_bytes: the most that a body may have.
        deadline: seconds in which it must have arrived.

    Raises:
        UnsupportedError: another content type.
        TooLargeError: more than `max_bytes`.
        EmptyError, SlowError, BrokenOffError, InputError: nothing came, it came too slowly or not to its end, or the
            form has no file.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in (*TIFF_TYPES, "multipart/form-data"):
        raise UnsupportedError(f'content type "{shown(kind) or "none"}" is not taken', hint=_HINT)
    try:
        async with asyncio.timeout(deadline):
            if kind == "multipart/form-data":
                data = await _form_file(request, max_bytes)
            else:
                data = b"".join([chunk async for chunk in _capped(request, max_bytes)])
    except TimeoutError:
        raise SlowError("the body took too long to arrive", hint=f"Send it within {deadline:g} s.") from None
    except ClientDisconnect:
        raise BrokenOffError("the body broke off", hint="Send it again.") from None
    if not data:
        raise EmptyError("the body is empty", hint=_HINT)
    return data


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


async def _form_file(request: Request, max_bytes: int) -> bytes:
    headers = Headers(raw=request.headers.raw)
    try:
        form = await MultiPartParser(headers, _capped(request, max_bytes), max_files=1, max_fields=8).parse()
    except (MultiPartException, MultipartParseError, KeyError) as error:
        raise InputError(f"the form cannot be read ({error})", hint=_HINT) from None
    try:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if not files:
            raise InputError("the form has no file, or not a whole one", hint=_HINT)
        return await files[0].read()
    finally:
        await form.close()
