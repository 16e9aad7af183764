"""One run by two workers on real Ray Train: as one worker would, on loopback only, and resumed where one was killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.train import TrainingFailedError
from ray.train.v2.api.exceptions import WorkerGroupError
from safetensors.torch import load_file

from models.bundle.config import WEIGHTS
from models.settings import RunSettings
from models.training.checkpoint import STATE
from models.training.run_folder import open_run
from models.training.train import train
from pipelines.errors import LandsweepError, SettingsError, TrainingError
from tests.e2e.sockets import listening, processes_below
from tests.models.bright import write_bright
from tune.distributed import _beside, _own, fit_together

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """65 patches in batches of 16: shares of unequal size, and a last batch that is joined to the one before."""
    return write_bright(tmp_path_factory.mktemp("bright") / "shards", {"train": 65, "validation": 37, "test": 5})


def settings_for(dataset: Path, out: Path, **more: Any) -> RunSettings:
    plain = {"data": dataset, "out": out, "batch_size": 16, "epochs": 3, "threads": 1, "device": "cpu", "workers": 2}
    plain |= {"explain": 0}
    return RunSettings.parse(plain | more)


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "logs" / "epochs.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_workers_learn_what_one_does_though_one_is_killed(dataset: Path, tmp_path: Path) -> None:
    """Without batch norm, dropout and augmentation nothing but rounding differs. And they listen on loopback only."""
    same = {"model": "vit_tiny_patch16_224", "augment": {"flips": False}, "learning_rate": 1e-4, "feed": "streamed"}
    same |= {"sampling": "weighted", "ema": 0.9}
    train(settings_for(dataset, tmp_path / "one", workers=1, **same))
    told: list[str] = []
    steps: list[tuple[int, int]] = []
    with heard() as sockets:
        threading.Thread(target=kill_a_worker, args=(tmp_path / "two",), daemon=True).start()
        with pytest.raises(TrainingError, match=r"a worker ended .* Go on with --resume"):
            here = Path(os.path.relpath(dataset))  # workers have another working directory
            train(settings_for(here, tmp_path / "two", checkpoint_steps=2, **same), fit=fit_together)
    assert len(sockets) > 5, "Ray's own sockets were not found"
    assert not [name for name in sockets if not name.startswith(("127.", "::1:", "::ffff:127."))]
    again = RunSettings(out=tmp_path / "two")
    train(again, resume=True, fit=fit_together, tell=told.append, progress=lambda *step: steps.append(step))
    for one, two in zip(rows_of(tmp_path / "one"), rows_of(tmp_path / "two"), strict=True):
        for key in ("train_loss", "validation_loss", "ap_macro"):
            assert two[key] == pytest.approx(one[key], rel=2e-3), key
    ours, theirs = (load_file(tmp_path / name / "checkpoints" / "final" / WEIGHTS) for name in ("one", "two"))
    distance = torch.cat([(ours[key] - theirs[key]).flatten() for key in ours]).norm()
    assert distance < 2e-3 * torch.cat([each.flatten() for each in ours.values()]).norm()
    assert any(line.startswith("going on after epoch") for line in told)
    assert [line[:9] for line in told if line.startswith("epoch")][-1] == "epoch 3/3"
    assert steps[-1] == (12, 12)
    assert open_run(tmp_path / "two").record.ended
    assert not (tmp_path / "two" / "ray").exists()


@contextmanager
def heard() -> Iterator[set[str]]:
    """Addresses on which this process and all below it listen at any moment of the block."""
    sockets: set[str] = set()
    over = threading.Event()

    def listen() -> None:
        while not over.wait(0.2):
            sockets.update(listening(processes_below(os.getpid())))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield sockets
    finally:
        over.set()
        thread.join()


def kill_a_worker(run: Path) -> None:
    """As soon as there is a checkpoint."""
    while not (run / "checkpoints" / STATE).is_file():
        time.sleep(0.05)
    workers = [pid for pid in processes_below(os.getpid()) if "TrainWorker" in name_of(pid)]
    os.kill(workers[-1], signal.SIGKILL)


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except OSError:
        return ""


def test_more_workers_than_there_are_cpus_are_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"5 workers of 1 CPU each are asked for, this machine has 4"):
        train(settings_for(dataset, tmp_path / "run", workers=5, batch_size=32), fit=fit_together)
    mended = settings_for(dataset, tmp_path / "run", workers=1, epochs=1, model="landnet-s")
    assert train(mended)["metrics"], "what ended before its first checkpoint may be begun anew"


@pytest.mark.parametrize(
    ("failures", "kind", "said"),
    [
        ({0: RuntimeError("peer is gone"), 1: TrainingError("loss is nan")}, TrainingError, "loss is nan"),
        ({1: SettingsError("no", where="device")}, SettingsError, "device: no"),
        ({0: ValueError("first\nlast")}, TrainingError, r"a worker ended \(last\). Go on with --resume"),
        ({0: MemoryError()}, TrainingError, r"a worker ended \(MemoryError\)"),
        ({}, TrainingError, "a worker ended"),
    ],
)
def test_what_a_worker_raised_is_what_is_said(
    failures: dict[int, Exception], kind: type[LandsweepError], said: str
) -> None:
    error = WorkerGroupError("workers failed", failures)
    assert isinstance(error, TrainingFailedError)
    with pytest.raises(kind, match=said):
        raise _own(error)


def test_ctrl_c_ends_the_wait_for_the_workers() -> None:
    over = threading.Event()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, it may be ignored

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)  # which is the main thread's to hear
        over.wait()

    try:
        with pytest.raises(KeyboardInterrupt):
            _beside(work)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
        over.set()
    with pytest.raises(ZeroDivisionError):
        _beside(lambda: 1 // 0)
