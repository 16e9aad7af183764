"""The real endpoint: Ray Serve, HTTP, a real bundle. Right input is answered, wrong input is told what is wrong."""

from __future__ import annotations

import asyncio
import socket
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
from pipelines.errors import BusyError, InputError
from serve.app import endpoint
from serve.client import Client
from serve.registry import add_bundle
from serve.settings import ServeSettings
from tests.doors.command_line import CommandLineTests
from tests.doors.requests import LIES, TIFF, HttpTests
from tests.doors.uploads import AskedDoorTests, Door, Question, Upload, check_free_of_requests
from tests.fakes import free_port, geotiff, stack, write_fresh_bundle

HALF = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/tiff\r\ncontent-length: 9999\r\n\r\nII"
"""A request whose body does not come to its end."""


@pytest.fixture(scope="module")
def url(bundle: Path, shards: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two models behind one endpoint: `land` on all bands (the default), `rgb` on three."""
    folder = tmp_path_factory.mktemp("registry")
    add_bundle(folder, "land", bundle)
    add_bundle(folder, "rgb", write_fresh_bundle(tmp_path_factory.mktemp("rgb") / "b", shards, bands="rgb", seed=4))
    settings = ServeSettings(registry=folder, models=["land", "rgb"], port=free_port(), max_megabytes=2)
    with endpoint(settings) as address:
        yield address


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as connected:
        yield connected


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


@pytest.mark.parametrize("models", [("land",), ("land", "rgb")])
def test_requests_at_once_are_batched_and_none_is_mixed_up(client: Client, models: tuple[str, ...]) -> None:
    def ask(number: int) -> list[float]:
        file = geotiff(np.full((12, 120, 120), 300 * (1 + number), np.uint16), ALL_BANDS)
        found = client.predict(file, model=models[number % len(models)]).predictions
        return [chance for _, chance in sorted((each.label, each.probability) for each in found)]

    alone = np.array([ask(number) for number in range(12)])
    with ThreadPoolExecutor(12) as pool:
        together = np.array(list(pool.map(ask, range(12))))
    np.testing.assert_allclose(together, alone, rtol=0, atol=TOLERANCE)
    assert np.abs(np.diff(alone, axis=0)).max(axis=1).min() > TOLERANCE, "one taken for the next would not show"


def test_explain(client: Client) -> None:
    data = client.explain(stack(), "Urban fabric")
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (120, 120)
    with pytest.raises(InputError, match='Did you mean "Urban fabric"'):
        client.explain(stack(), "Urban fabrics")


class TestHttp(HttpTests):
    pass


class TestCommandLine(CommandLineTests):
    pass


class TestClient(AskedDoorTests):
    """The client raises what the endpoint said, in words of files."""

    @pytest.fixture
    def door(self, client: Client) -> Door:
        def ask(upload: Upload | Question) -> str:
            asked = {"model": upload.model, "bands": upload.bands} if isinstance(upload, Question) else {}
            with pytest.raises(InputError) as caught:
                client.predict(upload.data, name="x.tif", **asked)
            assert caught.value.status == (upload.wrong.status if upload.wrong.status != 400 else 422)
            assert caught.value.where == "x.tif"
            told = str(caught.value).removeprefix("x.tif: ")
            check_free_of_requests(told)
            return told

        return ask


@pytest.mark.parametrize("name", LIES)
def test_a_request_whose_length_is_a_lie_gets_no_further_than_the_server(url: str, name: str) -> None:
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=10) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/tiff\r\n" + LIES[name])
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 Bad Request")


def test_who_goes_away_in_the_middle_of_a_body_leaves_nothing_behind(url: str, client: Client) -> None:
    address = httpx.URL(url)
    for _ in range(5):
        with socket.create_connection((address.host, address.port or 80), timeout=10) as connection:
            connection.sendall(HALF)
    assert client.predict(stack()).predictions


def test_a_request_keeps_the_id_that_it_came_with(http: httpx.Client) -> None:
    """Ray Serve's proxy puts it on the answer, once."""
    for body in (stack(), b""):
        answer = http.post("/v1/predict", content=body, headers=TIFF | {"x-request-id": "mine-42"})
        assert answer.headers.get_list("x-request-id") == ["mine-42"]
        assert answer.json().get("error", answer.json())["request_id"] == "mine-42"


def test_half_a_body_holds_nobody_up(url: str, client: Client) -> None:
    """Uploads that stall do not keep others from being answered."""

    async def stall() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = httpx.URL(url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(HALF)
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


def test_port_in_use(url: str, tmp_path: Path) -> None:
    settings = ServeSettings(registry=tmp_path, port=httpx.URL(url).port or 0)
    with pytest.raises(BusyError, match="is taken"), endpoint(settings):
        pass
