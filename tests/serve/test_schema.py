"""What goes over HTTP comes out as it went in, and what does not fit is no answer."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from serve.schema import ErrorAnswer, ErrorBody, LabelPrediction, ModelInfo, ModelName, Models, Prediction
from tests.ui.stand_in import MODELS

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SHARES = st.floats(0, 1)
PREDICTIONS = st.builds(
    Prediction,
    model=st.builds(ModelName),
    predictions=st.lists(st.builds(LabelPrediction, probability=SHARES, threshold=FLOATS), max_size=3),
    bounds=st.none() | st.tuples(FLOATS, FLOATS, FLOATS, FLOATS),
    timing_ms=st.dictionaries(st.text(max_size=9), FLOATS, max_size=3),
)
ERRORS = st.builds(ErrorAnswer, error=st.builds(ErrorBody))

ANSWER: dict[str, Any] = {
    "model": {"name": "land", "version": 1},
    "predictions": [{"label": "Pastures", "probability": 0.7, "threshold": 0.5, "positive": True}],
    "bands_used": ["B04"],
    "crs": "EPSG:32633",
    "bounds": [0.0, 0.0, 1200.0, 1200.0],
    "warnings": [],
    "timing_ms": {"total": 3.5},
    "request_id": "r",
}


@given(PREDICTIONS | ERRORS)
def test_there_and_back_nothing_changes(sent: BaseModel) -> None:
    assert type(sent).model_validate_json(sent.model_dump_json()) == sent
    assert type(sent).model_validate_json(json.dumps(sent.model_dump(mode="json"))) == sent


def test_models_there_and_back() -> None:
    sent = Models(models=list(MODELS))
    assert Models.model_validate_json(sent.model_dump_json()) == sent


def test_a_newer_endpoint_may_say_more() -> None:
    found = Prediction.model_validate_json(json.dumps(ANSWER | {"quality": {"cloud": 0.1}}))
    assert found.model_dump(mode="json") == ANSWER


@pytest.mark.parametrize("key", ANSWER)
def test_nothing_that_is_promised_may_be_missing(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        Prediction.model_validate_json(json.dumps({name: value for name, value in ANSWER.items() if name != key}))


@pytest.mark.parametrize("probability", [-0.01, 1.01, math.nan, math.inf, "high", None])
def test_a_probability_is_from_0_to_1(probability: object) -> None:
    with pytest.raises(ValidationError, match="probability"):
        LabelPrediction.model_validate({"label": "x", "probability": probability, "threshold": 0.5, "positive": True})


@pytest.mark.parametrize("bounds", [[], [0, 0, 1], [0, 0, 1, 1, 1], "0,0,1,1", {"left": 0}])
def test_bounds_are_four_numbers_or_none(bounds: object) -> None:
    with pytest.raises(ValidationError, match="bounds"):
        Prediction.model_validate(ANSWER | {"bounds": bounds})


def test_what_needs_explaining_is_explained_in_the_docs() -> None:
    models: list[tuple[type[BaseModel], tuple[str, ...]]] = [
        (ErrorBody, ("code", "message", "hint")),
        (ModelInfo, ("bands", "image_size", "numbers", "max_nodata", "metrics")),
        (Prediction, ("crs", "bounds", "warnings")),
    ]
    for model, fields in models:
        assert all(model.model_fields[name].description for name in fields)
