"""The endpoint's parts without Ray Serve around them: what is loaded, swapped, batched, and refused before a start."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from ray import serve as rayserve
from ray.serve._private import replica

from models.bundle.config import CONFIG, EXAMPLE, WEIGHTS, config_text, read_config, read_metrics
from pipelines.bands import ALL_BANDS
from pipelines.errors import BundleError, BusyError, NotFoundError, SettingsError
from pipelines.pixels.patch import Patch, read_stack
from serve.app import Endpoint, application, check_port, endpoint
from serve.loopback import keep_replica_on_loopback
from serve.registry import PRODUCTION, Entry, add_bundle, find, promote
from serve.settings import ServeSettings
from tests.doors.in_process import InProcess
from tests.doors.requests import TIFF
from tests.fakes import free_port, geotiff, write_fresh_bundle


@pytest.fixture(scope="module")
def rgb(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fresh_bundle(tmp_path_factory.mktemp("rgb") / "b", shards, bands="rgb", seed=4)


@pytest.fixture
def registry(bundle: Path, rgb: Path, tmp_path: Path) -> Path:
    """`land` of all bands and `rgb` of three, a version each."""
    for name, source in (("land", bundle), ("rgb", rgb)):
        add_bundle(tmp_path / "registry", name, source)
    return tmp_path / "registry"


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """A replica in this process, whose own port Ray opens as it always does."""
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    return Endpoint(max_bytes=2**20, threads=1)


def told(*entries: Entry) -> dict[str, Any]:
    """What a replica is configured with."""
    bundles = [{"name": entry.name, "version": entry.version, "path": str(entry.path)} for entry in entries]
    return {"bundles": bundles, "max_batch_size": 4, "batch_wait": 0.01}


def served(registry: Path, *names: str) -> list[Entry]:
    return [find(registry, name) for name in names or ("land", "rgb")]


def start(registry: Path, **more: Any) -> None:
    """What must be refused; if it is not, the endpoint ends as soon as it is up."""
    with endpoint(ServeSettings(registry=registry, port=free_port(), **more)):
        pass


def patch_of(value: int) -> Patch:
    return read_stack(geotiff(np.full((12, 120, 120), value, np.uint16), ALL_BANDS))


def test_what_cannot_be_served_is_said_before_anything_starts(registry: Path) -> None:
    with pytest.raises(NotFoundError, match=r"absent: no model is registered\. Run `landsweep registry add"):
        start(registry / "absent")
    with pytest.raises(NotFoundError, match=r'no model "rbg" in the registry\. Did you mean "rgb"'):
        start(registry, models=["land", "rbg"])
    (registry / "rgb" / "1" / WEIGHTS).write_bytes(b"0")
    with pytest.raises(BundleError, match=rf"rgb/1: {WEIGHTS} is damaged"):
        start(registry)
    (registry / "rgb" / PRODUCTION).unlink()
    with pytest.raises(NotFoundError, match='no version of model "rgb" is in production'):
        start(registry)


def test_settings_of_a_serve_config_are_checked_as_flags_are(registry: Path) -> None:
    with pytest.raises(SettingsError, match=r'args: unknown key "replica"\. Did you mean "replicas"'):
        application({"registry": str(registry), "replica": 2})
    with pytest.raises(NotFoundError, match="absent: no model is registered"):
        application({"registry": str(registry / "absent")})
    assert isinstance(application({"registry": str(registry)}), rayserve.Application)


def test_a_replica_tells_what_it_serves(fresh: Endpoint, registry: Path, bundle: Path) -> None:
    assert fresh.models() == []
    fresh.reconfigure(told(*served(registry, "land")))
    (info,) = fresh.models()
    config = read_config(bundle)
    assert (info.name, info.version, info.architecture) == ("land", 1, "landnet")
    assert (info.bands, info.labels, info.thresholds) == (config.bands, config.label_names, config.thresholds)
    assert (info.image_size, info.numbers, info.dataset) == (120, config.known(), config.dataset)
    assert all(each.quantiles for each in info.numbers.values())
    assert info.metrics == read_metrics(bundle)


def test_what_is_the_same_stays_loaded_and_what_is_new_is_swapped_in(
    fresh: Endpoint, registry: Path, bundle: Path, tmp_path: Path
) -> None:
    fresh.reconfigure(told(*served(registry)))
    before = dict(fresh.served)
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    (copy / CONFIG).write_text(config_text(read_config(bundle).model_copy(update={"temperature": 2.0})))
    add_bundle(registry, "land", copy)
    fresh.reconfigure(told(*served(registry)))
    assert [(info.name, info.version) for info in fresh.models()] == [("land", 2), ("rgb", 1)]
    assert fresh.served["rgb"] is before["rgb"]
    promote(registry, "land", 1)
    fresh.reconfigure(told(*served(registry, "land")))
    assert [(info.name, info.version) for info in fresh.models()] == [("land", 1)]


def test_a_bundle_that_cannot_predict_never_replaces_one_that_can(fresh: Endpoint, registry: Path) -> None:
    fresh.reconfigure(told(*served(registry)))
    before = dict(fresh.served)
    (registry / "rgb" / "1" / WEIGHTS).write_bytes(b"0")
    broken = Entry("rgb", 2, registry / "rgb" / "1", True)
    with pytest.raises(BundleError):
        fresh.reconfigure(told(*served(registry, "land"), broken))
    assert fresh.served == before
    assert asyncio.run(fresh.explain("rgb", patch_of(700), "Pastures"))[0].startswith(b"\x89PNG")


def test_a_batch_of_several_models_gives_each_request_its_own_answer(fresh: Endpoint, registry: Path) -> None:
    """The batch itself; how requests get into one is Serve's, and tried in `test_endpoint`."""
    fresh.reconfigure(told(*served(registry)))
    asked = [(("land", "rgb")[number % 2], patch_of(300 * (1 + number))) for number in range(7)]
    batch: Any = Endpoint._predict_batch
    for (model, patch), found in zip(asked, asyncio.run(batch.__wrapped__(fresh, asked)), strict=True):
        alone = fresh.served[model].predictor.predict([patch])[0]
        expected = {each.label: each.probability for each in alone}
        assert {each.label: each.probability for each in found} == pytest.approx(expected, abs=1e-5)


def test_its_routes_answer_for_its_models(fresh: Endpoint, registry: Path, bundle: Path) -> None:
    fresh.reconfigure(told(*served(registry)))
    transport = InProcess(fresh.__serve_build_asgi_app__())
    with httpx.Client(transport=transport, base_url="http://endpoint.test") as http:
        assert http.get("/readyz").status_code == 200
        assert http.get("/v1/models/land/example").content == (bundle / EXAMPLE).read_bytes()
        large = http.post("/v1/predict", content=bytes(2**20 + 1), headers=TIFF)
    assert large.json()["error"]["message"] == "the body is over 1 MiB"


def test_a_replica_is_well_while_its_nets_answer(fresh: Endpoint, registry: Path) -> None:
    fresh.reconfigure(told(*served(registry)))
    asyncio.run(fresh.check_health())
    fresh.served["rgb"].predictor.net = torch_module_that_fails()
    with pytest.raises(RuntimeError, match="out of order"):
        asyncio.run(fresh.check_health())


def torch_module_that_fails() -> Any:
    import torch

    class Broken(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("out of order")

    return Broken()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The addresses on which a replica's internal port would be opened."""
    addresses: list[str] = []
    monkeypatch.setattr(replica, "add_port_to_grpc_server", lambda server, address, *rest: addresses.append(address))
    yield addresses


@pytest.mark.parametrize(("alone", "expected"), [("0", "127.0.0.1:0"), ("1", "[::]:0"), (None, "[::]:0")])
def test_a_replicas_own_port_is_on_loopback_where_ray_is_on_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch, opened: list[str], alone: str | None, expected: str
) -> None:
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    if alone is not None:
        monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", alone)
    keep_replica_on_loopback()
    replica.add_port_to_grpc_server(object(), "[::]:0")
    assert opened == [expected]


def test_a_port_is_free_or_taken() -> None:
    check_port("127.0.0.1", free_port())
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(BusyError, match=rf"{host}: port {port} is taken\. Choose another with --port"):
                check_port(host, port)
        with socket.create_connection(holder.getsockname()) as one, holder.accept()[0] as other:
            other.close()
            one.recv(1)
    check_port("127.0.0.1", port)  # also while the system still waits for the last packets of a connection


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"cpus": 9}, "1 replicas ask for 9 CPU, this machine has 4"),
        ({"replicas": 3, "cpus": 1.5}, "3 replicas ask for 4.5 CPU, this machine has 4"),
        ({"gpus": 1000}, "1 replicas ask for 1000 GPU, this machine has"),
    ],
)
def test_more_than_the_machine_has_is_refused_where_serve_would_wait_for_ever(
    ray_session: None, registry: Path, wanted: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        start(registry, **wanted)
    assert said in str(caught.value)
