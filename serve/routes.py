"""The endpoint's HTTP face: routes, limits, request ids, and errors in one shape. Knows no Ray.

Flows in: a `Service` that predicts. Flows out: an ASGI app, in Ray Serve or in a test.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from pipelines.errors import LandsweepError, NotFoundError, nearest, shown
from pipelines.pixels.band_names import given_names
from pipelines.pixels.patch import Patch, read_stack
from pipelines.pixels.tiff_header import Limits
from serve.body import DEADLINE, read_file
from serve.schema import ErrorAnswer, ErrorBody, LabelPrediction, ModelInfo, ModelName, Models, Prediction

REQUEST_ID = "x-request-id"
EVIDENCE = "x-landsweep-evidence"

_ID = re.compile(r"[A-Za-z0-9-]{1,64}")

_log = logging.getLogger("ray.serve")

Bands = Annotated[
    str | None,
    Query(description="what the file's bands are, in file order, in any spelling: where it has no names, or others"),
]
Model = Annotated[str | None, Query(description="model name; the first of /v1/models where not given")]


class Service(Protocol):
    """What the routes need: the models there are, predictions, heat maps, examples.

    `max_bytes`: of a request's body, at most. A `model` is the name of one of `models`; routes let no other through.
    """

    max_bytes: int

    def models(self) -> list[ModelInfo]:
        """Those that can be asked now, the default one first; none while nothing is loaded."""

    async def predict(self, model: str, patch: Patch) -> list[LabelPrediction]:
        """Every class of a model, by falling probability.

        Args:
            patch: with all bands that the model reads, of a size that it takes.

        Raises:
            PatchError: a band does not fit the model's image.
        """

    async def explain(self, model: str, patch: Patch, label: str) -> tuple[bytes, bool]:
        """Grad-CAM of one class: an 8-bit grey PNG of the model's image size, and whether anything speaks for it.

        Raises:
            LabelError: the model does not know the class.
            PatchError: a band does not fit the model's image.
            SettingsError, TrainingError, BundleError: see `models.explain.maps.explain`.
        """

    async def example(self, model: str) -> bytes:
        """The bytes of a GeoTIFF that the model takes."""


def create_app(service: Service, deadline: float = DEADLINE) -> FastAPI:
    """The ASGI app of one service.

    Whatever is raised while a request is answered becomes an `ErrorAnswer`: a LandsweepError under its own status, with
    its message and hint; what nobody expected under 500, with the request's id.

    Args:
        deadline: seconds in which a body must have arrived.
    """
    app: FastAPI = FastAPIOffline(
        title="Landsweep",
        summary="Multi-label land cover of Sentinel-2 patches.",
        redoc_url=None,
        responses={code: {"model": ErrorAnswer} for code in (400, 404, 413, 415, 422, 503)},
    )
    app.middleware("http")(_with_request_id)
    _add_errors(app)
    _add_health(app, service)
    _add_models(app, service)
    _add_predictions(app, service, deadline)
    return app


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["health"], summary="Whether the process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="Whether a model is loaded")
    async def readyz() -> JSONResponse:
        ready = bool(service.models())
        return JSONResponse({"status": "ready" if ready else "loading"}, status_code=200 if ready else 503)


def _add_models(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", tags=["models"], summary="Models served, the default one first")
    async def models() -> Models:
        return Models(models=service.models())

    @app.get("/v1/models/{name}/example", tags=["models"], summary="A GeoTIFF that the model takes")
    async def example(name: str) -> Response:
        return Response(await service.example(_pick(service, name).name), media_type="image/tiff")


def _add_predictions(app: FastAPI, service: Service, deadline: float) -> None:
    file: dict[str, Any] = {"type": "string", "format": "binary"}
    form: dict[str, Any] = {"type": "object", "properties": {"file": file}, "required": ["file"]}
    kinds = {"image/tiff": {"schema": file}, "multipart/form-data": {"schema": form}}
    body: dict[str, Any] = {"requestBody": {"required": True, "content": kinds}}

    @app.post("/v1/predict", tags=["predict"], summary="Classify one GeoTIFF", openapi_extra=body)
    async def predict(request: Request, model: Model = None, bands: Bands = None) -> Prediction:
        started = time.perf_counter()
        info = _pick(service, model)
        data = await read_file(request, service.max_bytes, deadline)
        patch = await _patch(data, service, info, bands)
        decoded = time.perf_counter()
        found = await service.predict(info.name, patch)
        done = time.perf_counter()
        return Prediction(
            model=ModelName(name=info.name, version=info.version),
            predictions=found,
            bands_used=info.bands,
            crs=patch.crs,
            bounds=patch.bounds,
            warnings=list(patch.warnings),
            timing_ms={
                "decode": round(1000 * (decoded - started), 2),
                "predict": round(1000 * (done - decoded), 2),
                "total": round(1000 * (done - started), 2),
            },
            request_id=request.state.request_id,
        )

    @app.post(
        "/v1/explain",
        tags=["predict"],
        summary="Grad-CAM of one class, as a grey PNG",
        response_class=Response,
        openapi_extra=body,
    )
    async def explain(request: Request, label: str, model: Model = None, bands: Bands = None) -> Response:
        info = _pick(service, model)
        data = await read_file(request, service.max_bytes, deadline)
        patch = await _patch(data, service, info, bands)
        png, evidence = await service.explain(info.name, patch, label)
        return Response(png, media_type="image/png", headers={EVIDENCE: "some" if evidence else "none"})


def _pick(service: Service, name: str | None) -> ModelInfo:
    served = {info.name: info for info in service.models()}
    if not served:
        raise HTTPException(503, "no model is loaded")
    if name is None:
        return next(iter(served.values()))
    if name not in served:
        raise NotFoundError(f'no model "{shown(name)}" here', hint=nearest(name, served))
    return served[name]


async def _patch(data: bytes, service: Service, info: ModelInfo, bands: str | None) -> Patch:
    names = given_names(bands) if bands else None
    limits = Limits(max_bytes=service.max_bytes)
    return await asyncio.to_thread(
        read_stack,
        data,
        wanted=info.bands,
        size=info.image_size,
        names=names,
        known=info.numbers,
        max_nodata=info.max_nodata,
        limits=limits,
    )


async def _with_request_id(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    given = request.headers.get(REQUEST_ID, "")
    request.state.request_id = given if _ID.fullmatch(given) else str(uuid.uuid4())
    response = await call_next(request)
    if not given:  # Ray Serve's proxy gives one, and adds it to the answer itself
        response.headers[REQUEST_ID] = request.state.request_id
    return response


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(LandsweepError)
    async def refused(request: Request, error: LandsweepError) -> JSONResponse:
        message = f"{error.where}: {error.what}" if error.where else error.what
        code = type(error).__name__.removesuffix("Error").lower()
        return _answer(request, error.status, code, message, error.hint)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        message = f"{first['loc'][-1]}: {first['msg']}"
        return _answer(request, 422, "invalid", message, "See /docs for what the endpoint takes.")

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        hint = "Try again in a moment." if error.status_code == 503 else "See /docs for what the endpoint takes."
        answer = _answer(request, error.status_code, "http", str(error.detail).lower(), hint)
        answer.headers.update(error.headers or {})  # of 405, the methods that there are
        return answer

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        request_id = getattr(request.state, "request_id", "")
        _log.error("request %s failed", request_id, exc_info=error)
        return _answer(request, 500, "internal", "the endpoint failed", f"Report request {request_id}.")


def _answer(request: Request, status: int, code: str, message: str, hint: str) -> JSONResponse:
    request_id = getattr(request.state, "request_id", "")
    body: dict[str, Any] = ErrorAnswer(
        error=ErrorBody(code=code, message=message, hint=hint, request_id=request_id)
    ).model_dump()
    return JSONResponse(body, status_code=status)
