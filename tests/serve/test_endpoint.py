"""The real endpoint: Ray Serve, HTTP, a real bundle. Right input is answered, wrong input is told what is wrong."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from models.bundle.config import EXAMPLE
from models.bundle.onnx_export import TOLERANCE
from pipelines.bands import ALL_BANDS
from pipelines.errors import (
    BundleError,
    BusyError,
    InputError,
    NotFoundError,
    ServiceError,
    TooLargeError,
    UnsupportedError,
)
from serve.app import endpoint
from serve.client import Client
from serve.registry import add_bundle
from serve.settings import ServeSettings
from tests.fakes import free_port, geotiff, nobody, png, stack, tiff_with_overview_file, write_fresh_bundle

TIFF = {"content-type": "image/tiff"}


@pytest.fixture(scope="module")
def url(bundle: Path, shards: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two models behind one endpoint: `land` on all bands (the default), `rgb` on three."""
    folder = tmp_path_factory.mktemp("registry")
    add_bundle(folder, "land", bundle)
    add_bundle(folder, "rgb", write_fresh_bundle(tmp_path_factory.mktemp("rgb") / "b", shards, bands="rgb", seed=4))
    settings = ServeSettings(registry=folder, models=["land", "rgb"], port=free_port(), max_megabytes=2)
    with endpoint(settings) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as connected:
        yield connected


def test_models_and_health(url: str, client: Client, bundle: Path) -> None:
    assert client.ready()
    assert httpx.get(f"{url}/healthz", timeout=60).json() == {"status": "ok"}
    first, second = client.models()
    assert (first.name, first.version, first.bands) == ("land", 1, list(ALL_BANDS))
    assert (second.name, second.bands) == ("rgb", ["B04", "B03", "B02"])
    assert client.example("land") == (bundle / EXAMPLE).read_bytes()


def test_docs_need_no_foreign_host(url: str) -> None:
    page = httpx.get(f"{url}/docs", timeout=60).text
    assert "http://" not in page.replace(url, "")
    assert "https://" not in page
    assert "/v1/predict" in httpx.get(f"{url}/openapi.json", timeout=60).json()["paths"]


def test_prediction(client: Client) -> None:
    answer = client.predict(stack())
    assert len(answer.predictions) == 19
    assert (answer.crs, answer.bounds) == ("EPSG:32633", (300000, 4998800, 301200, 5000000))
    assert answer.bands_used == list(ALL_BANDS)
    assert answer.warnings == []
    assert answer.timing_ms["total"] > 0


def test_real_stacks_are_answered(client: Client, real_data: Path) -> None:
    paths = sorted((real_data / "stacks").glob("*.tif"))
    assert len(paths) == 5
    for path in paths:
        answer = client.predict(path.read_bytes(), name=path.name)
        assert answer.crs == "EPSG:32633"
        assert "does not name its bands" in answer.warnings[0]


def test_form_and_body_are_the_same(url: str, client: Client) -> None:
    answer = httpx.post(f"{url}/v1/predict", files={"file": ("patch.tif", stack(), "image/tiff")}, timeout=60).json()
    assert answer["predictions"] == client.predict(stack()).model_dump()["predictions"]


def test_a_model_is_chosen_by_name_and_bands_by_query(client: Client) -> None:
    three = stack(("B02", "B03", "B04"), named=False)
    answer = client.predict(three, model="rgb", bands="B02,B03,B04")
    assert answer.model.name == "rgb"
    assert answer.bands_used == ["B04", "B03", "B02"]


def test_requests_at_once_are_batched_and_none_is_mixed_up(client: Client) -> None:
    files = [geotiff(np.full((12, 120, 120), 300 * (1 + i), np.uint16), ALL_BANDS) for i in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = [client.predict(file) for file in files], [*pool.map(client.predict, files)]
    alone, together = (
        np.array([[chance for _, chance in sorted((p.label, p.probability) for p in one.predictions)] for one in each])
        for each in answers
    )
    np.testing.assert_allclose(together, alone, rtol=0, atol=TOLERANCE)
    assert np.abs(np.diff(alone, axis=0)).max(axis=1).min() > TOLERANCE, "one taken for the next would not show"


def test_explain(client: Client) -> None:
    data = client.explain(stack(), "Urban fabric")
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (120, 120)
    with pytest.raises(InputError, match='Did you mean "Urban fabric"'):
        client.explain(stack(), "Urban fabrics")


WRONG: dict[str, tuple[bytes, dict[str, str], str, int, str]] = {
    "empty body": (b"", TIFF, "", 400, "empty"),
    "no content type": (stack(), {}, "", 415, 'content type "none"'),
    "wrong content type": (stack(), {"content-type": "text/plain"}, "", 415, 'content type "text/plain"'),
    "text": (b"hello", TIFF, "", 415, "text file"),
    "three-band png": (png(), TIFF, "", 415, "PNG picture"),
    "vrt": (b"<VRTDataset/>", TIFF, "", 415, "VRT"),
    "three bands": (stack(("B04", "B03", "B02")), TIFF, "", 422, "needs B01"),
    "wrong size": (stack(size=60), TIFF, "", 422, "60×60 px"),
    "truncated": (stack()[:9000], TIFF, "", 422, "cut off"),
    "overview file": (tiff_with_overview_file(), TIFF, "", 422, "overviews"),
    "too large": (b"II*\0" + bytes(3 * 2**20), TIFF, "", 413, "over 2 MiB"),
    "unknown model": (stack(), TIFF, "?model=sea", 404, 'no model "sea"'),
    "unknown band": (stack(), TIFF, "?bands=B1,B2", 422, 'unknown band "B1"'),
    "too few band names": (stack(), TIFF, "?bands=B02", 422, "1 band names"),
    "form without file": (b"--x--\r\n", {"content-type": "multipart/form-data; boundary=x"}, "", 422, "no file"),
    "form without boundary": (b"x", {"content-type": "multipart/form-data"}, "", 422, "form cannot be read"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_told_what_is_wrong(url: str, name: str) -> None:
    body, headers, query, status, said = WRONG[name]
    answer = httpx.post(f"{url}/v1/predict{query}", content=body, headers=headers, timeout=60)
    error = answer.json()["error"]
    assert answer.status_code == status, error
    assert said in error["message"]
    assert error["hint"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    assert str(Path.cwd()) not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/predict", 405), ("GET", "/nowhere", 404), ("POST", "/v1/explain", 422)]
)
def test_wrong_requests_have_the_same_form_of_error(url: str, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, url + path, timeout=60)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"code", "message", "hint", "request_id"}


def test_body_without_a_length_is_capped_as_well(url: str) -> None:
    answer = httpx.post(f"{url}/v1/predict", content=(bytes(2**18) for _ in range(12)), headers=TIFF, timeout=60)
    assert answer.status_code == 413


def test_half_a_body_holds_nobody_up(url: str, client: Client) -> None:
    """Uploads that stall do not keep others from being answered."""

    async def stall() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = httpx.URL(url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(
            b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/tiff\r\ncontent-length: 9999\r\n\r\nII"
        )
        await writer.drain()
        return reader, writer

    async def scene() -> list[int]:
        stalled = [await stall() for _ in range(20)]
        async with httpx.AsyncClient(timeout=120) as http:
            answers = [await http.post(f"{url}/v1/predict", content=stack(), headers=TIFF) for _ in range(5)]
        for _, writer in stalled:
            writer.close()
        return [answer.status_code for answer in answers]

    assert asyncio.run(scene()) == [200] * 5
    assert client.ready()


def test_client_speaks_in_the_endpoints_words(client: Client) -> None:
    with pytest.raises(UnsupportedError, match=r"notes\.txt: not a GeoTIFF but a text file\. Export"):
        client.predict(b"hello", name="notes.txt")
    with pytest.raises(TooLargeError, match="over 2 MiB"):
        client.predict(bytes(3 * 2**20))
    with pytest.raises(NotFoundError, match="no model"):
        client.predict(stack(), model="sea")


def test_client_without_an_endpoint() -> None:
    with nobody() as url, Client(url) as client:
        assert not client.ready()
        with pytest.raises(ServiceError, match="landsweep serve"):
            client.models()
    with pytest.raises(InputError, match="not a URL"), Client("somewhere") as client:
        client.models()


def test_client_at_something_else() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(500, text="<h1>proxy</h1>"))
    with Client(transport=transport) as client, pytest.raises(ServiceError, match="answered 500"):
        client.models()
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="<h1>router</h1>"))
    with Client(transport=transport) as client, pytest.raises(ServiceError, match="not Landsweep's"):
        client.predict(stack())


def test_port_in_use(url: str, tmp_path: Path) -> None:
    settings = ServeSettings(registry=tmp_path, port=httpx.URL(url).port or 0)
    with pytest.raises(BusyError, match="is taken"), endpoint(settings):
        pass


def test_nothing_registered(tmp_path: Path) -> None:
    settings = ServeSettings(registry=tmp_path, port=free_port())
    with pytest.raises(NotFoundError, match="no model is registered"), endpoint(settings):
        pass


def test_a_damaged_version_in_production_is_named(bundle: Path, tmp_path: Path) -> None:
    (add_bundle(tmp_path, "land", bundle).path / "model.safetensors").write_bytes(b"0")
    with (
        pytest.raises(BundleError, match=r"model\.safetensors"),
        endpoint(ServeSettings(registry=tmp_path, port=free_port())),
    ):
        pass


def test_answers_are_json_with_utf8(url: str) -> None:
    answer = httpx.post(f"{url}/v1/predict", content=stack(size=60), headers=TIFF, timeout=60)
    assert json.loads(answer.content.decode())["error"]["message"].startswith("image is 60×60 px")
