"""One training run by several processes, on one machine or on a cluster: `landsweep train --workers 2`.

Flows in: a run that has been begun. Flows out: the same run trained to its end, in the same folder, which all workers
must reach. Ray Train starts the workers and ends them all where one fails; each runs `models.training.train.fit_run` on
its share of every batch, and the first of them writes.

On one machine nothing listens beyond loopback. Ray's own way would: torch's rendezvous by TCP takes every interface, so
here the workers meet through a file, and gloo and NCCL are told to use loopback.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray
import torch
import torch.distributed as dist
from ray import train as raytrain
from ray.exceptions import GetTimeoutError
from ray.train.backend import Backend
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from models.processes import Team
from models.report.epoch_table import TABLE, read_epochs
from models.settings import RunSettings
from models.training.logs import TEXT
from models.training.run_folder import LOGS, Run, open_run
from models.training.train import Progress, Tell, fit_run
from pipelines.cluster import ray_cluster
from pipelines.dataset.manifest import open_dataset
from pipelines.errors import LandsweepError, SettingsError, TrainingError
from pipelines.feeding.epoch_order import Plan

_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
LOOPBACK = {"GLOO_SOCKET_IFNAME": _LOOPBACK, "NCCL_SOCKET_IFNAME": _LOOPBACK}

_WAIT = 0.5  # seconds between looks at what the first worker has written
_PATIENCE = 2.0  # seconds that workers get to leave the process group


def fit_together(run: Run, *, progress: Progress, tell: Tell) -> None:
    """Train a run with as many workers as its settings ask for; see `models.training.train.fit_run`.

    Raises:
        SettingsError: there are not as many CPUs or GPUs; or see `fit_run`.
        TrainingError: training diverged, or ran out of memory, or a worker ended.
        BusyError: Ray does not come up.
        ShardError, BandError, BundleError, ServiceError, StorageError: see `fit_run`.
    """
    local = not os.environ.get("RAY_ADDRESS")
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    with ray_cluster(), tempfile.TemporaryDirectory() as meeting, _followed(run, progress, tell):
        trainer = TorchTrainer(
            _work,
            train_loop_config={"folder": str(run.folder.absolute()), "from": str(Path.cwd()) if local else ""},
            torch_config=FileConfig(file=str(Path(meeting) / "store")) if local else TorchConfig(),
            scaling_config=_scaling(run.settings, local),
            run_config=raytrain.RunConfig(
                name="ray",
                storage_path=str(run.folder.absolute()),
                worker_runtime_env={"env_vars": LOOPBACK} if local else None,
            ),
        )
        try:
            _beside(trainer.fit)
        except raytrain.TrainingFailedError as error:
            raise _own(error) from None
        finally:
            shutil.rmtree(run.folder / "ray", ignore_errors=True)


def _beside(work: Callable[[], object]) -> None:
    """Do it in a thread, and wait: in the main one, Ray Train takes Ctrl-C for itself, ends the process by
    `sys.exit(0)`, and never gives it back."""
    over: Future[object] = Future()

    def run() -> None:
        try:
            over.set_result(work())
        except BaseException as error:
            over.set_exception(error)

    threading.Thread(target=run, name="ray-train", daemon=True).start()
    over.result()


def _work(config: dict[str, Any]) -> None:
    """What each worker runs."""
    if config["from"]:
        os.chdir(config["from"])  # the paths in the settings may be relative
    context = raytrain.get_context()
    run = open_run(Path(config["folder"]))
    device = get_device()
    if device.type == "cuda":
        # NCCL's exchange of objects goes by it, and workers of a node may see all its GPUs.
        torch.cuda.set_device(device)
    here = {"device": str(device), "threads": run.settings.threads or 1}
    run = replace(run, record=run.record.model_copy(update={"settings": run.settings.model_copy(update=here)}))
    team = Team(context.get_world_rank(), context.get_world_size())
    fit_run(run, progress=lambda *_: None, tell=lambda _: None, team=team)


@dataclass
class FileConfig(TorchConfig):  # type: ignore[misc]  # ray ships no types
    """A process group whose members meet through a file."""

    file: str = ""

    @property
    def backend_cls(self) -> type[Backend]:
        """What Ray Train starts and ends the group with."""
        return _FileBackend


class _FileBackend(Backend):  # type: ignore[misc]  # likewise
    def on_start(self, worker_group: Any, backend_config: FileConfig) -> None:
        resources = worker_group.get_resources_per_worker()
        kind, size = "nccl" if resources.get("GPU") else "gloo", len(worker_group)
        ray.get(
            [
                worker_group.execute_single_async(
                    number, _join, kind, f"file://{backend_config.file}", number, size, backend_config.timeout_s
                )
                for number in range(size)
            ]
        )

    def on_shutdown(self, worker_group: Any, backend_config: FileConfig) -> None:
        with suppress(GetTimeoutError):  # one that waits for a dead worker is ended all the same
            ray.get(worker_group.execute_async(_leave), timeout=_PATIENCE)


def _join(kind: str, meeting: str, number: int, size: int, seconds: int) -> None:
    dist.init_process_group(kind, meeting, rank=number, world_size=size, timeout=timedelta(seconds=seconds))


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _scaling(settings: RunSettings, local: bool) -> raytrain.ScalingConfig:
    cpus = max(1, settings.threads)
    gpus = settings.device.startswith("cuda") or (
        settings.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0
    )
    for kind, each in (("CPU", cpus), ("GPU", int(gpus))):
        there = ray.cluster_resources().get(kind, 0)
        if local and settings.workers * each > there:
            what = f"{settings.workers} workers of {each} {kind} each are asked for, this machine has {there:g}"
            raise SettingsError(what, where="workers", hint="Ask for fewer, or run on a cluster.")
    return raytrain.ScalingConfig(
        num_workers=settings.workers, use_gpu=gpus, resources_per_worker={"CPU": cpus, "GPU": int(gpus)}
    )


def _own(error: Exception) -> LandsweepError:
    """What the workers raised, the one that says most of it."""
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    causes = [getattr(each, "cause", None) or each for each in failures.values()]
    for cause in causes:
        if isinstance(cause, LandsweepError):
            return cause
    cause = causes[0] if causes else error
    reason = (str(cause).strip() or type(cause).__name__).splitlines()[-1].partition(". ")[0]
    return TrainingError(f"a worker ended ({reason})", hint="Go on with --resume.")


@contextmanager
def _followed(run: Run, progress: Progress, tell: Tell) -> Iterator[None]:
    """Tell what the first worker writes into the run's logs, while it does."""
    over, text = threading.Event(), run.folder / LOGS / TEXT
    told = text.stat().st_size if text.is_file() else 0
    rows = open_dataset(run.settings.data).rows("train")
    steps = Plan(least=2 * run.settings.workers).steps(rows, run.settings.batch_size)

    def look() -> None:
        nonlocal told
        if not text.is_file():
            return
        with open(text, "rb") as file:
            file.seek(told)
            lines, told = file.read(), file.tell()
        for line in lines.decode().splitlines():
            tell(line.partition(" ")[2])
        if (run.folder / TABLE).is_file():
            progress(len(read_epochs(run.folder / TABLE)) * steps, run.settings.epochs * steps)

    def follow() -> None:
        while not over.wait(_WAIT):
            look()

    thread = threading.Thread(target=follow, name="follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        look()
