"""The files of `deploy/` and `cluster.yaml`, held against their schemas, the project's pins and each other."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeDeploySchema

from serve.settings import ServeSettings
from tests.deploy.kubernetes import ConfigMap, Container, Known, Namespace, RayCluster, RayJob, RayService, parse
from tune.settings import SearchSettings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(DEPLOY.glob("*.yaml"))
PINS = dict(re.findall(r"(?m)^([\w.-]+)==(.+)$", (ROOT / "constraints.txt").read_text()))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMAGE = f"rayproject/ray:{PINS['ray']}-py311-gpu"


def raw(file: Path) -> list[Any]:
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


@cache
def documents() -> list[Known]:
    return [parse(each) for file in FILES for each in raw(file)]


def clusters() -> list[RayCluster]:
    return [each.spec.cluster for each in documents() if isinstance(each, RayJob | RayService)]


def containers() -> list[Container]:
    return [container for cluster in clusters() for pod in cluster.pods for container in pod.containers]


def job() -> RayJob:
    return next(each for each in documents() if isinstance(each, RayJob))


def serve_config() -> dict[str, Any]:
    (service,) = (each for each in documents() if isinstance(each, RayService))
    config: dict[str, Any] = yaml.safe_load(service.spec.serve_config)
    return config


def changed(values: Any, path: list[str | int], new: Any) -> Any:
    """The values with one of them another; `...` takes it away."""
    place = values
    for step in path[:-1]:
        place = place[step]
    if new is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return values


POD = ["spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec"]


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (["spec", "entryPoint"], "true"),
        (["spec", "entrypoint"], ...),
        (["spec", "ttlSecondsAfterFinished"], "600"),
        (["spec", "rayClusterSpec", "authOptions", "mode"], "disabled"),
        (["spec", "rayClusterSpec", "authOptions"], ...),
        (["spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"], 0),
        ([*POD, "containers", 0, "resources", "limits", "memory"], "32GB"),
        ([*POD, "containers", 0, "env", 0, "value"], 0),
        ([*POD, "containers", 0, "securityContext", "allowPrivilegeEscalation"], True),
        ([*POD, "securityContext", "runAsUser"], 0),
        ([*POD, "volumes", 0, "hostPath"], {"path": "/"}),
        (["apiVersion"], "ray.io/v1alpha1"),
        (["kind"], "RayJobs"),
        (["metadata", "name"], "My_Search"),
    ],
)
def test_a_slip_in_a_file_is_found(path: list[str | int], new: Any) -> None:
    values = raw(DEPLOY / "rayjob.yaml")[1]
    assert parse(values)
    with pytest.raises(ValidationError):
        parse(changed(values, path, new))


def test_every_file_is_of_its_schema_and_all_is_of_one_namespace() -> None:
    kinds = sorted(each.kind for each in documents())
    assert kinds == ["ConfigMap", "Namespace", "NetworkPolicy", "PersistentVolumeClaim", "RayJob", "RayService"]
    (name,) = {each.metadata.name for each in documents() if isinstance(each, Namespace)}
    assert {each.metadata.namespace for each in documents() if not isinstance(each, Namespace)} == {name}


def test_versions_are_those_that_are_pinned() -> None:
    assert {cluster.ray_version for cluster in clusters()} == {PINS["ray"]}
    assert {container.image for container in containers()} == {f"registry.example.com/landsweep:{PROJECT['version']}"}
    recipe = (DEPLOY / "Dockerfile").read_text()
    assert re.findall(r"(?m)^FROM (.+)$", recipe) == [IMAGE]
    assert f"landsweep:{PROJECT['version']} ." in recipe
    assert yaml.safe_load((ROOT / "cluster.yaml").read_text())["docker"]["image"] == IMAGE
    assert PROJECT["requires-python"] == ">=3.11"


def test_the_image_has_every_room() -> None:
    copied = re.findall(r"(?m)^COPY --chown=ray (.+) \./", (DEPLOY / "Dockerfile").read_text())
    names = {name for line in copied for name in line.split()}
    for name in names:
        assert (ROOT / name).exists(), name
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert rooms | {"landsweep.py", "demo.py", "pyproject.toml", "constraints.txt"} == names


@pytest.mark.parametrize("file", ["deploy/Dockerfile", "cluster.yaml"])
def test_machines_get_the_packages_that_are_pinned(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The line that lists them is run here."""
    (code,) = re.findall(r'python -c "(import tomllib.+?)" > ', (ROOT / file).read_text())
    source = code.replace("/home/ray/landsweep/", f"{ROOT}/").replace("'pyproject.toml'", f"'{ROOT}/pyproject.toml'")
    exec(source)  # our own line, of our own file
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["postgres"]]
    assert capsys.readouterr().out.splitlines() == wanted


def test_each_has_its_limits_and_gpus_are_of_the_workers() -> None:
    for cluster in clusters():
        head, *workers = (pod.containers[0].resources for pod in cluster.pods)
        assert cluster.head_group_spec.ray_start_params == {"num-cpus": "0"}
        assert "nvidia.com/gpu" not in head.limits
        for group in workers:
            assert group.limits["nvidia.com/gpu"] == "1"
        for each in (head, *workers):
            assert each.requests == each.limits and {"cpu", "memory"} <= each.limits.keys()
    assert job().spec.cluster.autoscaler_options


def test_what_is_mounted_is_there_and_all_mount_the_shared_disk() -> None:
    named = {each.metadata.name for each in documents()}
    for pod in [pod for cluster in clusters() for pod in cluster.pods]:
        volumes = {volume.name: volume for volume in pod.volumes}
        mounts = {mount.name: mount.mount_path for container in pod.containers for mount in container.volume_mounts}
        assert mounts.keys() == volumes.keys()
        assert mounts["shared"] == "/shared"
        for volume in volumes.values():
            source = volume.persistent_volume_claim or volume.config_map
            assert getattr(source, "claim_name", None) or getattr(source, "name", None) in named


def test_no_secret_is_in_the_files() -> None:
    for container in containers():
        for variable in container.env:
            assert (variable.value is None) == bool(variable.value_from)
            assert variable.value_from or not re.search("TOKEN|PASSWORD|SECRET|KEY", variable.name), variable.name
    for file in (*FILES, DEPLOY / "Dockerfile", ROOT / "cluster.yaml"):
        assert not re.search(r"(?i)(password|token|secret_?access_?key)\s*[:=]\s*['\"]?\w{8,}", file.read_text()), file
        assert not re.search(r"://[^/\s:@]+:[^/\s@]+@", file.read_text()), file


def test_the_search_of_the_job_is_one() -> None:
    (told,) = (each for each in documents() if isinstance(each, ConfigMap))
    head = job().spec.cluster.pods[0].containers[0]
    (folder,) = {mount.mount_path for mount in head.volume_mounts if mount.name == told.metadata.name}
    *command, file = job().spec.entrypoint.split()
    assert command == ["python", "-m", "landsweep", "search", "run"]
    assert Path(file).parent == Path(folder)
    search = SearchSettings.parse(yaml.safe_load(told.data[Path(file).name]))
    assert search.name == job().metadata.name
    for path in (Path(str(search.data)), search.experiments):
        assert path.is_relative_to("/shared"), "every machine must see it"
    group = job().spec.cluster.worker_group_specs[0].template.spec.containers[0].resources.limits
    assert search.gpus <= int(group["nvidia.com/gpu"])
    assert search.cpus < int(group["cpu"]), "one is left for reading the data"


def test_the_job_that_goes_on_is_made_as_the_page_says() -> None:
    (edit,) = re.findall(r"\$ sed '(.+)' deploy/rayjob.yaml", (ROOT / "docs" / "cluster.md").read_text())
    made = subprocess.run(["sed", edit, str(DEPLOY / "rayjob.yaml")], capture_output=True, text=True, check=True).stdout
    told, resumed = map(parse, yaml.safe_load_all(made))
    assert isinstance(resumed, RayJob) and isinstance(told, ConfigMap)
    search = SearchSettings.parse(yaml.safe_load(told.data["search.yaml"]))
    words = f"python -m landsweep search resume {search.name} --experiments {search.experiments}"
    assert resumed.spec.entrypoint == words
    resumed.spec.entrypoint = job().spec.entrypoint
    assert resumed == job()


def test_the_endpoint_is_served_on_loopback_by_an_application_that_there_is() -> None:
    config = ServeDeploySchema.model_validate(serve_config())
    assert config.http_options.host == "127.0.0.1"
    (application,) = config.applications
    assert application.import_path == "serve.app:application"
    settings = ServeSettings.parse(application.args)
    assert settings.registry.is_relative_to("/shared")
    (service,) = (each for each in documents() if isinstance(each, RayService))
    ports = {port.container_port for pod in service.spec.cluster.pods for port in pod.containers[0].ports}
    assert config.http_options.port in ports


def test_cluster_file_passes_the_autoscalers_schema() -> None:
    config = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    validate_config(config)
    assert config["max_workers"] == 8
    assert config["available_node_types"]["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert config["available_node_types"]["head"]["resources"] == {"CPU": 0}


def test_a_cluster_file_with_a_slip_is_refused() -> None:
    values = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    del values["available_node_types"]["gpu"]["node_config"]
    with pytest.raises(Exception, match="node_config"):
        validate_config(values)
