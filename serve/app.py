"""The endpoint on Ray Serve: one deployment that is ingress and model at once, with dynamic batching.

Flows in: a registry. Flows out: HTTP on loopback. Which bundles are served is the deployment's `user_config`, so a
new version is loaded, tried and swapped in place, and one that cannot predict never replaces one that can.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve as rayserve

from models.bundle.config import EXAMPLE, check_bundle, read_metrics
from pipelines.cluster import ray_cluster
from pipelines.errors import BusyError, NotFoundError, ServiceError, SettingsError
from pipelines.pixels.patch import Patch
from serve.loopback import keep_replica_on_loopback
from serve.predictor import Predictor
from serve.registry import Entry, find, list_entries
from serve.routes import create_app
from serve.schema import LabelPrediction, ModelInfo
from serve.settings import ServeSettings

APPLICATION = "landsweep"


class Served:
    """One model of a replica: its predictor, and the lock with which requests take turns on it."""

    def __init__(self, bundle: dict[str, Any], threads: int) -> None:
        self.name, self.version, self.path = bundle["name"], bundle["version"], Path(bundle["path"])
        self.predictor = Predictor(self.path, threads=threads)
        self.lock = asyncio.Lock()
        self.info = self._info()

    def _info(self) -> ModelInfo:
        config = self.predictor.config
        return ModelInfo(
            name=self.name,
            version=self.version,
            architecture=config.architecture,
            bands=config.bands,
            image_size=config.image_size,
            numbers=config.known(),
            max_nodata=config.max_nodata,
            labels=config.label_names,
            thresholds=config.thresholds,
            metrics=read_metrics(self.path),
            dataset=config.dataset,
            trial=config.trial,
        )


class Endpoint:
    """The replica: takes requests through `routes`, gathers them into batches, answers."""

    def __init__(self, max_bytes: int, threads: int) -> None:
        keep_replica_on_loopback()
        self.max_bytes, self.threads = max_bytes, threads
        self.served: dict[str, Served] = {}

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self)

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Load what is new, keep what is the same, and swap all at once when everything has made a prediction.

        Raises:
            BundleError: one is damaged or does not fit; what was served before is served on.
        """
        served = {}
        for bundle in user_config["bundles"]:
            current = self.served.get(bundle["name"])
            same = current is not None and (current.version, str(current.path)) == (bundle["version"], bundle["path"])
            served[bundle["name"]] = current if same and current else Served(bundle, self.threads)
        self.served = served
        self._set_batching(user_config["max_batch_size"], user_config["batch_wait"])

    def _set_batching(self, max_batch_size: int, batch_wait: float) -> None:
        batcher: Any = self._predict_batch
        batcher.set_max_batch_size(max_batch_size)
        batcher.set_batch_wait_timeout_s(batch_wait)

    async def check_health(self) -> None:
        """Ray Serve replaces a replica whose nets no longer answer."""
        for each in self.served.values():
            async with each.lock:
                await asyncio.to_thread(each.predictor.warm_up)

    def models(self) -> list[ModelInfo]:
        """In the order in which they were configured."""
        return [each.info for each in self.served.values()]

    async def predict(self, model: str, patch: Patch) -> list[LabelPrediction]:
        """Waits for a batch to fill, and gives this patch's share of the answer."""
        found: list[LabelPrediction] = await self._predict_batch((model, patch))
        return found

    @rayserve.batch  # type: ignore[untyped-decorator]  # ray ships no types
    async def _predict_batch(self, requests: list[tuple[str, Patch]]) -> list[list[LabelPrediction]]:
        """One forward pass for each model that the batch asks for."""
        answers: list[list[LabelPrediction]] = [[] for _ in requests]
        for model in dict.fromkeys(name for name, _ in requests):
            rows = [row for row, (name, _) in enumerate(requests) if name == model]
            served = self.served[model]
            async with served.lock:
                found = await asyncio.to_thread(served.predictor.predict, [requests[row][1] for row in rows])
            for row, answer in zip(rows, found, strict=True):
                answers[row] = answer
        return answers

    async def explain(self, model: str, patch: Patch, label: str) -> tuple[bytes, bool]:
        """By itself, when the model's turn comes."""
        served = self.served[model]
        async with served.lock:
            return await asyncio.to_thread(served.predictor.heat_png, patch, label)

    async def example(self, model: str) -> bytes:
        """The file of the model's bundle."""
        return await asyncio.to_thread((self.served[model].path / EXAMPLE).read_bytes)


@contextmanager
def endpoint(settings: ServeSettings) -> Iterator[str]:
    """Serve inside the block; yields the endpoint's URL once it answers.

    Raises:
        BusyError: the port is taken, or Ray does not come up.
        NotFoundError: nothing to serve is registered.
        BundleError: a registered bundle is damaged.
        SettingsError: the replicas ask for more than this machine has.
        ServiceError: a replica did not come up.
    """
    check_port(settings.host, settings.port)
    entries = _entries(settings)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    with ray_cluster():
        _check_resources(settings)
        rayserve.start(
            proxy_location="HeadOnly",
            http_options={"host": settings.host, "port": settings.port, "request_timeout_s": 120},
            logging_config={"log_level": "WARNING"},
        )
        try:
            rayserve.run(_application(settings, entries), name=APPLICATION, logging_config={"log_level": "WARNING"})
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            hint = "Ray's log of the replica says more; `landsweep registry promote` serves another version."
            raise ServiceError(f"the models could not be deployed ({reason})", hint=hint) from None
        try:
            yield f"http://{settings.host}:{settings.port}"
        finally:
            rayserve.delete(APPLICATION)


def _check_resources(settings: ServeSettings) -> None:
    """Refuse what this machine cannot place, where Serve would wait for ever; a joined cluster may still grow."""
    there = ray.cluster_resources()
    for kind, each in (("CPU", settings.cpus), ("GPU", settings.gpus)):
        if each * settings.replicas > there.get(kind, 0) and not os.environ.get("RAY_ADDRESS"):
            raise SettingsError(
                f"{settings.replicas} replicas ask for {each * settings.replicas:g} {kind}, "
                f"this machine has {there.get(kind, 0):g}",
                where="replicas",
                hint="Ask for less, or serve on a cluster.",
            )


def application(args: dict[str, Any]) -> rayserve.Application:
    """What a Serve config names as `import_path: serve.app:application`, for clusters that are told what to serve
    by a file (`serve deploy`, KubeRay's RayService).

    Args:
        args: the settings of an endpoint, by name; where it listens is said beside them, in `http_options`.

    Raises:
        SettingsError: they are none.
        NotFoundError: nothing to serve is registered.
        BundleError: a registered bundle is damaged.
    """
    settings = ServeSettings.parse(args, where="args")
    return _application(settings, _entries(settings))


def _application(settings: ServeSettings, entries: list[Entry]) -> rayserve.Application:
    deployment = rayserve.deployment(
        rayserve.ingress()(Endpoint),
        name="endpoint",
        num_replicas=settings.replicas,
        ray_actor_options={"num_cpus": settings.cpus, "num_gpus": settings.gpus},
        max_ongoing_requests=settings.max_ongoing,
        max_queued_requests=settings.max_queued,
        health_check_period_s=10,
        user_config={
            "bundles": [
                {"name": entry.name, "version": entry.version, "path": str(entry.path.resolve())} for entry in entries
            ],
            "max_batch_size": settings.max_batch_size,
            "batch_wait": settings.batch_wait,
        },
    )
    return deployment.bind(max_bytes=settings.max_megabytes * 2**20, threads=max(1, int(settings.cpus)))


def _entries(settings: ServeSettings) -> list[Entry]:
    names = settings.models or list(dict.fromkeys(entry.name for entry in list_entries(settings.registry)))
    if not names:
        raise NotFoundError(
            "no model is registered", where=str(settings.registry), hint="Run `landsweep registry add NAME BUNDLE`."
        )
    entries = [find(settings.registry, name) for name in names]
    for entry in entries:
        check_bundle(entry.path)  # before Ray has started, and a replica has died of it
    return entries


def check_port(host: str, port: int) -> None:
    """Say so before anything is started, if the port is taken.

    Raises:
        BusyError: another process listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise BusyError(f"port {port} is taken", where=host, hint="Choose another with --port.") from None
