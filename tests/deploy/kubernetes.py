"""The part of Kubernetes' and KubeRay's schemas that the files of `deploy/` use, in our own words.

Whatever is not named here is refused, so a misspelt field fails a test and not a cluster. Each name was held against
KubeRay's own definitions, of 1.5.1 and of 1.7.0.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Label = Annotated[str, Field(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")]
Quantity = Annotated[str, Field(pattern=r"^[1-9][0-9]*(m|Mi|Gi|Ti)?$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Part(BaseModel):
    """Field names are written in camel case, types are not guessed, and there are no others."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True)


class Metadata(Part):
    name: Name
    namespace: Name = ""
    labels: dict[Label, str] = {}


class Selector(Part):
    match_labels: dict[Label, str] = {}


class Requests(Part):
    requests: dict[Label, Quantity]
    limits: dict[Label, Quantity] = {}


class Namespace(Part):
    api_version: Literal["v1"]
    kind: Literal["Namespace"]
    metadata: Metadata


class ConfigMap(Part):
    api_version: Literal["v1"]
    kind: Literal["ConfigMap"]
    metadata: Metadata
    data: dict[str, str]


class Claim(Part):
    access_modes: list[Literal["ReadWriteMany"]]
    storage_class_name: Name
    resources: Requests


class PersistentVolumeClaim(Part):
    api_version: Literal["v1"]
    kind: Literal["PersistentVolumeClaim"]
    metadata: Metadata
    spec: Claim


class Peer(Part):
    namespace_selector: Selector | None = None
    pod_selector: Selector | None = None


class PolicyPort(Part):
    port: Port
    protocol: Literal["TCP"]


class Ingress(Part):
    peers: list[Peer] = Field(alias="from", min_length=1)
    ports: list[PolicyPort] = []


class Policy(Part):
    pod_selector: Selector
    policy_types: list[Literal["Ingress", "Egress"]]
    ingress: list[Ingress]


class NetworkPolicy(Part):
    api_version: Literal["networking.k8s.io/v1"]
    kind: Literal["NetworkPolicy"]
    metadata: Metadata
    spec: Policy


class SecretKey(Part):
    name: Name
    key: str
    optional: bool = False


class ValueFrom(Part):
    secret_key_ref: SecretKey


class Variable(Part):
    name: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
    value: str | None = None
    value_from: ValueFrom | None = None


class ContainerPort(Part):
    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,15}$")]
    container_port: Port


class VolumeMount(Part):
    name: Name
    mount_path: Annotated[str, Field(pattern="^/")]
    read_only: bool = False


class Capabilities(Part):
    drop: list[Literal["ALL"]]


class ContainerSecurity(Part):
    allow_privilege_escalation: Literal[False]
    capabilities: Capabilities


class Container(Part):
    name: Name
    image: str
    security_context: ContainerSecurity
    env: list[Variable]
    ports: list[ContainerPort] = []
    resources: Requests
    volume_mounts: list[VolumeMount]


class ClaimName(Part):
    claim_name: Name


class MapName(Part):
    name: Name


class Volume(Part):
    name: Name
    persistent_volume_claim: ClaimName | None = None
    config_map: MapName | None = None


class Toleration(Part):
    key: Label
    operator: Literal["Exists"]
    effect: Literal["NoSchedule"]


class Seccomp(Part):
    type: Literal["RuntimeDefault"]


class PodSecurity(Part):
    run_as_non_root: Literal[True]
    run_as_user: Annotated[int, Field(gt=0)]
    fs_group: int
    fs_group_change_policy: Literal["OnRootMismatch"]
    seccomp_profile: Seccomp


class Pod(Part):
    security_context: PodSecurity
    tolerations: list[Toleration] = []
    containers: list[Container]
    volumes: list[Volume]


class Template(Part):
    spec: Pod


class Head(Part):
    ray_start_params: dict[str, str]
    template: Template


class Workers(Head):
    group_name: Name
    replicas: Annotated[int, Field(ge=0)]
    min_replicas: Annotated[int, Field(ge=0)]
    max_replicas: Annotated[int, Field(ge=0)]


class Auth(Part):
    mode: Literal["token"]


class Autoscaler(Part):
    version: Literal["v2"]
    idle_timeout_seconds: int
    resources: Requests


class RayCluster(Part):
    ray_version: str
    auth_options: Auth
    enable_in_tree_autoscaling: bool = False
    autoscaler_options: Autoscaler | None = None
    head_group_spec: Head
    worker_group_specs: list[Workers]

    @property
    def pods(self) -> list[Pod]:
        """Of the head and of each group of workers."""
        return [each.template.spec for each in (self.head_group_spec, *self.worker_group_specs)]


class Job(Part):
    entrypoint: str
    submission_mode: Literal["K8sJobMode"]
    backoff_limit: int
    shutdown_after_job_finishes: bool
    ttl_seconds_after_finished: int
    cluster: RayCluster = Field(alias="rayClusterSpec")


class RayJob(Part):
    api_version: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: Job


class Service(Part):
    exclude_head_pod_from_serve_svc: bool
    serve_config: str = Field(alias="serveConfigV2")
    cluster: RayCluster = Field(alias="rayClusterConfig")


class RayService(Part):
    api_version: Literal["ray.io/v1"]
    kind: Literal["RayService"]
    metadata: Metadata
    spec: Service


Known = Namespace | ConfigMap | PersistentVolumeClaim | NetworkPolicy | RayJob | RayService


class Document(RootModel[Annotated[Known, Field(discriminator="kind")]]):
    """Any one of them, told apart by its kind."""


def parse(values: Any) -> Known:
    """One document of a file.

    Raises:
        ValidationError: it is none that the schemas allow.
    """
    return Document.model_validate(values).root
