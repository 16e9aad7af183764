"""The endpoint's client, for the command line and the page: needs neither torch nor ray.

Flows in: a GeoTIFF's bytes. Flows out: what the endpoint answered, or a ServiceError / InputError with the
endpoint's own words, except those that speak of a request, which no reader of ours has made: they get a word or a
hint of the door that the reader stands at.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from pipelines.errors import BusyError, InputError, NotFoundError, ServiceError, TooLargeError, UnsupportedError
from serve.schema import ErrorAnswer, ModelInfo, Models, Prediction

Answer = TypeVar("Answer", bound=BaseModel)

DEFAULT_URL = "http://127.0.0.1:8000"
TIFF = "image/tiff"

HINTS = {"empty": "Give a GeoTIFF with the bands that the model needs."}
"""By error code, what to do in place of a hint that tells how to make another request."""

_OF_REQUESTS = ("/v1/", "as the body")
_BANDS = "?bands="
_WORDS = {"the body": "the file"}
"""What messages call the parts of a request, and what they are to the client's caller."""

_KINDS = {
    404: NotFoundError,
    408: ServiceError,
    413: TooLargeError,
    415: UnsupportedError,
    429: BusyError,
    503: BusyError,
}


class Client:
    """Talks to one endpoint. Use as a context manager, or call `close`.

    Args:
        url: of the endpoint.
        bands_are: what the caller has to say what a file's bands are: a flag, or a field.
        timeout: seconds.
        transport: what carries requests, in place of the network.

    Raises:
        InputError: it is no URL.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        bands_are: str = "bands",
        timeout: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url, self._bands_are, self._timeout = url.rstrip("/"), bands_are, timeout
        try:
            # This machine's own endpoint is not reached through a proxy, whatever the environment says.
            host = httpx.URL(self.url).host
            if not host:
                raise httpx.InvalidURL("no host")
            through_proxy = host not in ("127.0.0.1", "localhost")
            self._http = httpx.Client(base_url=self.url, timeout=timeout, transport=transport, trust_env=through_proxy)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, TypeError):
            raise InputError("not a URL", where=url, hint="Such as http://127.0.0.1:8000.") from None

    def predict(self, tiff: bytes, *, model: str | None = None, bands: str | None = None, name: str = "") -> Prediction:
        """Classify one GeoTIFF.

        Args:
            tiff: the file's bytes.
            model: registry name; the endpoint's default where None.
            bands: comma list of what the file's bands are, in file order and any spelling; None leaves it to the file.
            name: of the file, for error messages.

        Raises:
            InputError: the endpoint refused the file (UnsupportedError, TooLargeError) or knows no such model
                (NotFoundError); the message is its own.
            BusyError: the endpoint has no room for another request now, or no model yet.
            ServiceError: the endpoint does not answer, failed, or is not Landsweep's.
        """
        answer = self._call("POST", "/v1/predict", {"model": model, "bands": bands}, tiff, where=name)
        return self._read(Prediction, answer)

    def explain(self, tiff: bytes, label: str, *, model: str | None = None, bands: str | None = None) -> bytes:
        """Grad-CAM of one class as the bytes of a PNG: 8-bit grey, the size of the model's image.

        Args:
            label: class name.
            tiff, model, bands: as `predict` takes them.

        Raises:
            InputError, BusyError, ServiceError: see `predict`.
        """
        parameters: dict[str, str | None] = {"label": label, "model": model, "bands": bands}
        return self._call("POST", "/v1/explain", parameters, tiff).content

    def example(self, model: str) -> bytes:
        """A GeoTIFF that the model takes, from its bundle.

        Raises:
            NotFoundError: the endpoint serves no such model.
            BusyError, ServiceError: see `predict`.
        """
        return self._call("GET", f"/v1/models/{quote(_encodable(model), safe='')}/example").content

    def models(self) -> list[ModelInfo]:
        """The models that the endpoint serves, the default one first.

        Raises:
            InputError, BusyError, ServiceError: see `predict`.
        """
        return self._read(Models, self._call("GET", "/v1/models")).models

    def ready(self) -> bool:
        """Whether the endpoint answers and can predict."""
        try:
            return self._http.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def close(self) -> None:
        """Let go of the connections; nothing can be asked afterwards."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(
        self,
        method: str,
        path: str,
        parameters: dict[str, str | None] | None = None,
        body: bytes | None = None,
        where: str = "",
    ) -> httpx.Response:
        given = {key: _encodable(value) for key, value in (parameters or {}).items() if value is not None}
        headers = {"content-type": TIFF} if body is not None else {}
        try:
            answer = self._http.request(method, path, params=given, content=body, headers=headers)
        except httpx.UnsupportedProtocol:
            raise InputError("not a URL", where=self.url, hint="Such as http://127.0.0.1:8000.") from None
        except httpx.TimeoutException:
            what = f"the endpoint took longer than {self._timeout:g} s"
            raise ServiceError(what, where=self.url, hint="Try again when it has less to do.") from None
        except httpx.HTTPError as error:
            reason = "does not answer" if isinstance(error, httpx.ConnectError) else f"broke off ({error})"
            raise ServiceError(
                f"the endpoint {reason}", where=self.url, hint="Start it with `landsweep serve`."
            ) from None
        if answer.is_success:
            return answer
        raise self._refusal(answer, where)

    def _read(self, kind: type[Answer], answer: httpx.Response) -> Answer:
        try:
            return kind.model_validate_json(answer.content)
        except ValueError:
            hint = "Give the URL of `landsweep serve`."
            raise ServiceError("what answers there is not Landsweep's", where=self.url, hint=hint) from None

    def _refusal(self, answer: httpx.Response, where: str) -> Exception:
        kind = _KINDS.get(answer.status_code, InputError if 400 <= answer.status_code < 500 else ServiceError)
        try:
            error = ErrorAnswer.model_validate_json(answer.content).error
        except ValueError:
            return kind(f"the endpoint answered {answer.status_code}", where=where, hint="Is it Landsweep's?")
        what, hint = error.message, error.hint.replace(_BANDS, self._bands_are)
        for theirs, ours in (_WORDS | {_BANDS: self._bands_are}).items():
            what = what.replace(theirs, ours)
        of_requests = any(word in hint for word in _OF_REQUESTS)
        return kind(what, where=where, hint=HINTS.get(error.code, hint) if of_requests else hint)


def _encodable(word: str) -> str:
    """The word with escapes in place of what a command line was given that is no text."""
    return word.encode(errors="backslashreplace").decode()


def read_upload(path: Path) -> bytes:
    """The bytes of a file that is to be sent.

    Raises:
        InputError: no such file.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise InputError(reason, where=str(path), hint="Give the path of a GeoTIFF.") from None
