"""The endpoint as a file tells a cluster to serve it: `serve deploy` of what `deploy/rayservice.yaml` has in it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve.client import Client
from serve.registry import add_bundle, promote
from tests.fakes import free_port, write_fresh_bundle
from tests.models.bright import write_bright
from tests.ray_head import RAY, ray_head

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.slow


def config(registry: Path, port: int, count: int) -> dict[str, Any]:
    """What the file says, but for the folder, the port, and a GPU that is not here."""
    service = yaml.safe_load((ROOT / "deploy" / "rayservice.yaml").read_text())
    told: dict[str, Any] = yaml.safe_load(service["spec"]["serveConfigV2"])
    told["http_options"]["port"] = port
    (only,) = told["applications"]
    only["args"] |= {"registry": str(registry), "cpus": 1, "gpus": 0}
    only["runtime_env"]["env_vars"] |= {"REGISTRY": str(count)}
    return told


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A cluster whose machines have the project on their path, as the image has."""
    with ray_head(tmp_path_factory.mktemp("ray"), num_cpus=3, jobs=True, PYTHONPATH=str(ROOT)) as environment:
        yield environment | {"RAY_DASHBOARD_ADDRESS": environment["RAY_API_SERVER_ADDRESS"]}


def deploy(environment: dict[str, str], told: dict[str, Any], file: Path) -> None:
    file.write_text(yaml.safe_dump(told))
    serve = str(Path(RAY).with_name("serve"))
    ended = subprocess.run([serve, "deploy", str(file)], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def wait_for(client: Client, version: int) -> None:
    """Until it is that version that answers."""
    while not (client.ready() and [each.version for each in client.models()] == [version]):
        time.sleep(0.5)


@pytest.mark.timeout(900)
def test_a_cluster_serves_what_the_file_says(cluster: dict[str, str], tmp_path: Path) -> None:
    """And what has come into production since, once the file has another number."""
    registry, port = tmp_path / "registry", free_port()
    shards = write_bright(tmp_path / "shards", {"train": 4, "validation": 4})
    bundle = write_fresh_bundle(tmp_path / "bundle", shards, bands="B04", seed=1)
    add_bundle(registry, "land", bundle)
    deploy(cluster, config(registry, port, 1), tmp_path / "serve.yaml")
    with Client(f"http://127.0.0.1:{port}") as client:
        wait_for(client, 1)
        example = client.example("land")
        assert client.predict(example).model.version == 1
        add_bundle(registry, "land", write_fresh_bundle(tmp_path / "second", shards, bands="B04", seed=2))
        promote(registry, "land", 2)
        deploy(cluster, config(registry, port, 2), tmp_path / "serve.yaml")
        wait_for(client, 2)
        assert client.predict(example).model.version == 2
