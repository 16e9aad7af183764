"""The HTTP face without a server: what every answer and every error has, and that no input ends in a 500."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.bands import ALL_BANDS
from pipelines.errors import BusyError, LandsweepError
from pipelines.pixels.patch import Patch
from serve.routes import EVIDENCE, REQUEST_ID, create_app
from serve.schema import LabelPrediction, ModelInfo
from tests.damage import damaged
from tests.doors.in_process import InProcess
from tests.doors.requests import END, FILE, FORM, TIFF, HttpTests, check_error
from tests.fakes import geotiff, stack
from tests.ui.stand_in import BLIND_TO, MODELS, StandIn, make_endpoint, model_info

URL = "http://endpoint.test"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def connected(app: Any) -> httpx.Client:
    return httpx.Client(transport=InProcess(app), base_url=URL)


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with connected(make_endpoint()) as client:
        yield client


def predict(http: httpx.Client, content: bytes, **parameters: str) -> dict[str, Any]:
    answer = http.post("/v1/predict", content=content, headers=TIFF, params=parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


class TestInProcess(HttpTests):
    pass


def test_an_answer_says_who_answers_and_of_what(http: httpx.Client) -> None:
    answer = predict(http, stack())
    assert answer["model"] == {"name": "landnet-all", "version": 3}
    assert answer["bands_used"] == list(ALL_BANDS)
    assert (answer["crs"], answer["bounds"]) == ("EPSG:32633", [300000, 4998800, 301200, 5000000])
    assert answer["warnings"] == []
    chances = [each["probability"] for each in answer["predictions"]]
    assert chances == sorted(chances, reverse=True)


def test_a_patch_may_have_no_place(http: httpx.Client) -> None:
    answer = predict(http, stack(crs=None, transform=None))
    assert (answer["crs"], answer["bounds"]) == ("", None)


def test_time_is_told_by_step(http: httpx.Client) -> None:
    spent = predict(http, stack())["timing_ms"]
    assert list(spent) == ["decode", "predict", "total"]
    assert 0 < spent["decode"] < spent["total"]
    assert spent["decode"] + spent["predict"] == pytest.approx(spent["total"], abs=0.02)


def bright() -> bytes:
    pixels = np.full((12, 120, 120), 900, np.uint16)
    pixels[3, :5] = 18_000
    return geotiff(pixels, ALL_BANDS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (stack(named=False), "the file does not name its bands; taken as B01, B02"),
        (stack((*ALL_BANDS, "B10")), "bands B10 were not used"),
        (stack((*ALL_BANDS, "<script>")), "bands <script> were not used"),
        (bright(), "B04 has pixels of 1.8 reflectance: cloud, snow or an error?"),
    ],
)
def test_what_was_assumed_or_looks_odd_is_a_warning(http: httpx.Client, content: bytes, said: str) -> None:
    (warning,) = predict(http, content)["warnings"]
    assert said in warning


def test_the_first_model_answers_unless_another_is_named(http: httpx.Client) -> None:
    listed = http.get("/v1/models").json()["models"]
    assert [ModelInfo.model_validate(each) for each in listed] == list(MODELS)
    assert predict(http, stack())["model"]["name"] == "landnet-all"
    assert predict(http, stack(), model="landnet-swir")["bands_used"] == ["B08", "B11", "B12"]
    three = stack(("B12", "B11", "B08"), named=False)
    assert predict(http, three, model="landnet-swir", bands=" B12 ,B11,B08")["warnings"] == []


def test_a_models_example_is_one_that_it_takes(http: httpx.Client) -> None:
    for model in MODELS:
        example = http.get(f"/v1/models/{model.name}/example")
        assert example.headers["content-type"] == "image/tiff"
        assert predict(http, example.content, model=model.name)["warnings"] == []


@pytest.mark.parametrize(("label", "evidence"), [(BLIND_TO, "none"), ("Urban fabric", "some")])
def test_a_heat_map_says_whether_there_is_anything_on_it(http: httpx.Client, label: str, evidence: str) -> None:
    answer = http.post("/v1/explain", content=stack(), headers=TIFF, params={"label": label})
    assert (answer.headers["content-type"], answer.headers[EVIDENCE]) == ("image/png", evidence)
    assert answer.content.startswith(b"\x89PNG")
    assert UUID.fullmatch(answer.headers[REQUEST_ID])


def test_every_request_has_an_id_of_its_own(http: httpx.Client) -> None:
    answers = [http.post("/v1/predict", content=stack(), headers=TIFF) for _ in range(3)]
    answers += [http.get(path) for path in ("/healthz", "/v1/models", "/nowhere")]
    ids = [answer.headers[REQUEST_ID] for answer in answers]
    assert len(set(ids)) == 6
    assert all(map(UUID.fullmatch, ids))
    assert [answer.json()["request_id"] for answer in answers[:3]] == ids[:3]


@pytest.mark.parametrize("given", ["mine-42", str(uuid.UUID(int=7)), "x" * 64])
def test_an_id_that_was_given_is_kept(http: httpx.Client, given: str) -> None:
    """On the header puts it who gave it: the proxy before the app."""
    answer = http.post("/v1/predict", content=stack(), headers=TIFF | {REQUEST_ID: given})
    assert (answer.json()["request_id"], answer.headers.get(REQUEST_ID)) == (given, None)


@pytest.mark.parametrize("given", ["<b>", "x" * 65, "a b", "\r", "ä", "../x", '"'])
def test_an_id_that_is_none_is_replaced(http: httpx.Client, given: str) -> None:
    answer = http.get("/nowhere", headers=[(REQUEST_ID.encode(), given.encode("latin-1"))])
    assert UUID.fullmatch(answer.json()["error"]["request_id"])


class Failing(StandIn):
    """Models that raise an error whenever they are asked."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def predict(self, model: str, patch: Patch) -> list[LabelPrediction]:
        raise self.error


def test_what_nobody_expected_is_logged_and_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    with connected(create_app(Failing(ValueError("secret at /etc/shadow")))) as http:
        answer = http.post("/v1/predict", content=stack(), headers=TIFF)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["message"]) == (500, "internal", "the endpoint failed")
    assert error["hint"] == f"Report request {error['request_id']}."
    assert "secret" not in answer.text and "Traceback" not in answer.text
    (logged,) = [record for record in caplog.records if record.message == f"request {error['request_id']} failed"]
    assert logged.exc_info and "secret" in str(logged.exc_info[1])


def test_an_error_of_ours_says_where_what_and_how_to_mend_it() -> None:
    with connected(create_app(Failing(BusyError("too much to do", where="models", hint="Wait a little.")))) as http:
        answer = http.post("/v1/predict", content=stack(), headers=TIFF)
    check_error(answer, 503, "busy", "models: too much to do. Wait a little.")
    with connected(create_app(Failing(LandsweepError("no reason")))) as http:
        error = http.post("/v1/predict", content=stack(), headers=TIFF).json()["error"]
    assert (error["code"], error["message"], error["hint"]) == ("landsweep", "no reason", "")


def test_without_a_model_it_lives_and_is_not_ready() -> None:
    with connected(make_endpoint(())) as http:
        assert http.get("/healthz").status_code == 200
        assert (http.get("/readyz").status_code, http.get("/readyz").json()) == (503, {"status": "loading"})
        assert http.get("/v1/models").json() == {"models": []}
        for answer in (
            http.post("/v1/predict", content=stack(), headers=TIFF),
            http.post("/v1/explain?label=Pastures", content=stack(), headers=TIFF),
            http.get("/v1/models/landnet-all/example"),
        ):
            check_error(answer, 503, "http", "no model is loaded. Try again in a moment.")


def test_a_models_own_size_and_the_services_own_limit_hold() -> None:
    service = StandIn((model_info("small", ("B02",)).model_copy(update={"image_size": 16}),))
    service.max_bytes = 2000
    with connected(create_app(service)) as http:
        assert predict(http, stack(("B02",), 16))["bands_used"] == ["B02"]
        check_error(http.post("/v1/predict", content=stack(("B02",), 17), headers=TIFF), 422, "patch", "takes 16×16 px")
        answer = http.post("/v1/predict", content=stack(("B02",), 30), headers=TIFF)
        check_error(answer, 413, "toolarge", "the body is over 0 MiB")


def test_what_there_is_is_described_for_programs(http: httpx.Client) -> None:
    described = http.get("/openapi.json").json()
    assert set(described["paths"]) == {
        *("/healthz", "/readyz", "/v1/models", "/v1/models/{name}/example", "/v1/predict", "/v1/explain")
    }
    for path in ("/v1/predict", "/v1/explain"):
        post = described["paths"][path]["post"]
        assert {"400", "404", "413", "415", "422", "503"} < set(post["responses"])
        assert post["requestBody"]["content"]["image/tiff"]["schema"]["format"] == "binary"
        assert all(parameter["description"] for parameter in post["parameters"] if parameter["name"] != "label")


TINY = model_info("tiny", ("B04", "B03", "B02")).model_copy(update={"image_size": 8})
RIGHT = stack(TINY.bands, 8)


@pytest.fixture(scope="module")
def tiny() -> Iterator[httpx.Client]:
    """An endpoint whose files are so small that damage hits every part of them."""
    with connected(make_endpoint((TINY,))) as client:
        yield client


def check_answered_or_refused(answer: httpx.Response) -> None:
    assert answer.status_code in (200, 400, 404, 413, 415, 422), answer.text
    if answer.status_code != 200:
        assert set(answer.json()["error"]) == {"code", "message", "hint", "request_id"}
        assert answer.json()["error"]["message"]


FORMS = (RIGHT, stack(TINY.bands, 8, compress="deflate"), stack(TINY.bands, 8, bigtiff="yes"))
HEADS = (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0")
WORDS = st.text(max_size=40) | st.sampled_from([*TINY.bands, "tiny", "B02,B03,B04", "all", ",", "Pastures", "None"])
HEADERS = st.dictionaries(st.sampled_from(["content-type", "content-length", REQUEST_ID]), st.binary())


@settings(max_examples=150, deadline=None)
@given(st.one_of([damaged(form) for form in FORMS]))
@example(RIGHT)
def test_damaged_files_are_no_fault_of_ours(tiny: httpx.Client, content: bytes) -> None:
    check_answered_or_refused(tiny.post("/v1/predict", content=content, headers=TIFF))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(HEADS), st.binary())
def test_bytes_of_no_meaning_are_refused(tiny: httpx.Client, head: bytes, rest: bytes) -> None:
    for headers, content in ((TIFF, head + rest), (FORM, FILE + head + rest + END), (FORM, head + rest)):
        answer = tiny.post("/v1/predict", content=content, headers=headers)
        check_answered_or_refused(answer)
        assert answer.status_code != 200


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["model", "bands", "label", "x"]), WORDS), st.sampled_from(["predict", "explain"])
)
def test_questions_of_no_meaning_are_refused(tiny: httpx.Client, asked: dict[str, str], route: str) -> None:
    answer = tiny.post(f"/v1/{route}", content=RIGHT, headers=TIFF, params=asked)
    check_answered_or_refused(answer)
    if answer.status_code == 200:
        assert asked.get("model", "tiny") == "tiny"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=30), HEADERS)
def test_paths_and_headers_of_no_meaning_are_refused(
    http: httpx.Client, path: bytes, headers: dict[str, bytes]
) -> None:
    given = [(key.encode(), value) for key, value in headers.items()]
    target = f"{URL}/v1/models/{''.join(f'%{byte:02x}' for byte in path)}/example"
    check_answered_or_refused(http.send(httpx.Request("GET", target, headers=given)))
    check_answered_or_refused(http.send(httpx.Request("POST", f"{URL}/v1/predict", content=RIGHT, headers=given)))
