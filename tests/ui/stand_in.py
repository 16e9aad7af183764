"""A stand-in for the endpoint's models, and a study, for the page's tests: the real routes, invented probabilities."""

from __future__ import annotations

import io
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import optuna
import uvicorn
from fastapi import FastAPI
from PIL import Image

from pipelines.bands import ALL_BANDS
from pipelines.errors import LabelError, nearest
from pipelines.labels import LABEL_NAMES
from pipelines.pixels.patch import Patch, write_stack
from serve.body import DEADLINE
from serve.routes import create_app
from serve.schema import LabelPrediction, ModelInfo
from tests.doors.uploads import KNOWN, MAX_BYTES
from tune.settings import SearchSettings
from tune.study import SETTINGS, open_storage

SIZE = 120
BLIND_TO = LABEL_NAMES[0]
"""The class that the stand-in finds no evidence for."""


def model_info(name: str, bands: tuple[str, ...] = ALL_BANDS) -> ModelInfo:
    return ModelInfo(
        name=name,
        version=3,
        architecture="landnet",
        bands=list(bands),
        image_size=SIZE,
        numbers={band: KNOWN.get(band, KNOWN["B04"]) for band in bands},
        max_nodata=0.25,
        labels=list(LABEL_NAMES),
        thresholds=dict.fromkeys(LABEL_NAMES, 0.4),
        metrics={},
        dataset="0" * 64,
        trial={},
    )


MODELS = (model_info("landnet-all"), model_info("landnet-swir", ("B08", "B11", "B12")))


def make_tiff(bands: tuple[str, ...] = ALL_BANDS, seed: int = 0, size: int = SIZE) -> bytes:
    """A smooth random patch with a place on Earth and named bands."""
    rng = np.random.default_rng(seed)
    pixels = {}
    for band in bands:
        coarse = Image.fromarray(rng.integers(200, 3000, (6, 6)).astype(np.float32))
        smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
        pixels[band] = smooth.clip(1).astype(np.uint16)
    patch = Patch(pixels, "EPSG:32633", (336_000.0, 5_200_800.0, 337_200.0, 5_202_000.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # rasterio 1.4 multiplies affines the old way
        return write_stack(patch, bands, size)


class StandIn:
    """What the endpoint's routes ask for; same pixels, same answer."""

    max_bytes = MAX_BYTES

    def __init__(self, models: tuple[ModelInfo, ...] = MODELS) -> None:
        self.served = {model.name: model for model in models}

    def models(self) -> list[ModelInfo]:
        return list(self.served.values())

    async def predict(self, model: str, patch: Patch) -> list[LabelPrediction]:
        bands, names = self.served[model].bands, self.served[model].labels
        rng = np.random.default_rng(int(patch.pixels[bands[0]].sum()) % 2**32)
        chances = sorted((rng.random(len(names)) ** 3).tolist(), reverse=True)
        return [
            LabelPrediction(label=str(label), probability=chance, threshold=mark, positive=chance >= mark)
            for label, chance, mark in zip(rng.permutation(names), chances, rng.uniform(0.2, 0.5, 19), strict=False)
        ]

    async def explain(self, model: str, patch: Patch, label: str) -> tuple[bytes, bool]:
        if label not in self.served[model].labels:
            raise LabelError(f'unknown class "{label}"', hint=nearest(label, self.served[model].labels))
        band = patch.pixels[self.served[model].bands[-1]].astype(np.float32)
        heat = (band - band.min()) / (np.ptp(band) + 1) * (label != BLIND_TO) * 255
        buffer = io.BytesIO()
        Image.fromarray(heat.astype(np.uint8)).save(buffer, "PNG")
        return buffer.getvalue(), label != BLIND_TO

    async def example(self, model: str) -> bytes:
        return make_tiff(tuple(self.served[model].bands), seed=7)


def make_endpoint(models: tuple[ModelInfo, ...] = MODELS, deadline: float = DEADLINE) -> FastAPI:
    """The endpoint as an app; `models` are what it serves, the default first; `deadline` is for a body, in seconds."""
    return create_app(StandIn(models), deadline)


@contextmanager
def served_endpoint(deadline: float = DEADLINE, app: FastAPI | None = None) -> Iterator[str]:
    """The stand-in, or another app, on a free port of loopback, for the length of a block; yields its URL."""
    taken = socket.create_server(("127.0.0.1", 0))
    app = app or make_endpoint(deadline=deadline)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{taken.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=30)
    taken.close()


def make_study(experiments: Path, name: str = "first", states: str = "cpcfcpr") -> None:
    """A study as a search leaves it, a trial a letter: complete, pruned, failed, running."""
    settings = SearchSettings(name=name, data=experiments / "shards", experiments=experiments, trials=12, epochs=8)
    settings.folder.mkdir(parents=True)
    (settings.folder / SETTINGS).write_text(settings.dump_yaml(), encoding="utf-8")
    storage = open_storage(settings, settings.folder)
    study = optuna.create_study(study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler(seed=1))
    for number, state in enumerate(states):
        _add_trial(study, number, state)
    storage.remove_session()
    storage.engine.dispose()


def _add_trial(study: optuna.Study, number: int, state: str) -> None:
    trial = study.ask()
    trial.suggest_categorical("model", ["landnet", "resnet18"])
    trial.suggest_categorical("bands", ["all", "rgb-nir-swir"])
    trial.suggest_float("learning_rate", 5e-4, 8e-3, log=True)
    trial.suggest_float("weight_decay", 1e-3, 0.2, log=True)
    trial.suggest_categorical("batch_size", [16, 32, 64])
    rng = np.random.default_rng(number)
    top, curve = 0.5 + 0.35 * rng.random(), []
    for epoch in range(1, {"c": 8, "p": 3, "f": 2, "r": 5}[state] + 1):
        value = top * (1 - 0.7 ** (epoch + 1)) + 0.02 * rng.standard_normal()
        trial.report(value, epoch)
        losses = {"train_loss": 0.4 / epoch, "validation_loss": 0.45 / epoch + 0.02 * epoch}
        curve.append({"epoch": epoch, "ap_macro": value, "f1_macro": 0.9 * value, **losses})
    trial.set_user_attr("curves", curve)
    trial.set_user_attr("seconds", 31.5 + 11 * number)
    if state == "c":
        study.tell(trial, max(point["ap_macro"] for point in curve))
    elif state == "p":
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    elif state == "f":
        trial.set_user_attr("reason", "loss is <NaN> at epoch 3, step 41; lower the learning rate")
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
