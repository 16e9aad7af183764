"""What goes over HTTP, in both directions: the app answers with these, the client reads them, /docs shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from pipelines.pixels.meaning import Known


class ModelName(BaseModel):
    """Which version of which registered model has answered."""

    name: str
    version: int


class LabelPrediction(BaseModel):
    """One class: positive where its probability is at or above its threshold."""

    label: str
    probability: float = Field(ge=0, le=1)
    threshold: float = Field(description="probability from which the class is predicted, fitted on validation")
    positive: bool


class Prediction(BaseModel):
    """Answer of `POST /v1/predict`; predictions by falling probability."""

    model: ModelName
    predictions: list[LabelPrediction]
    bands_used: list[str]
    crs: str = Field(description="authority code or WKT; empty where the file has none")
    bounds: tuple[float, float, float, float] | None = Field(description="left, bottom, right, top in the CRS's units")
    warnings: list[str] = Field(description="what was assumed or looks odd about the file")
    timing_ms: dict[str, float]
    request_id: str


class ModelInfo(BaseModel):
    """One entry of `GET /v1/models`: all that a client needs to make a file the model takes."""

    name: str
    version: int
    architecture: str
    bands: list[str] = Field(description="bands the model reads; a file without band names has these, in this order")
    image_size: int = Field(description="pixels a side at 10 m")
    numbers: dict[str, Known] = Field(description="band to what its numbers mean, and how they are spread")
    max_nodata: float = Field(description="share of a patch that may lack data")
    labels: list[str]
    thresholds: dict[str, float]
    metrics: dict[str, dict[str, Any]] = Field(description="split to metric to value")
    dataset: str
    trial: dict[str, Any]


class Models(BaseModel):
    """Answer of `GET /v1/models`, the default model first."""

    models: list[ModelInfo]


class ErrorBody(BaseModel):
    """What is wrong with a request, for programs and for people."""

    code: str = Field(description="a word for programs")
    message: str = Field(description="what is wrong, and where")
    hint: str = Field(description="how to mend it")
    request_id: str


class ErrorAnswer(BaseModel):
    """Every answer that is not 2xx."""

    error: ErrorBody
