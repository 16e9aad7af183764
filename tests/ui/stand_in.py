"""A tiny endpoint that speaks `serve.schema`, for the page's tests: real decoding, invented probabilities."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from PIL import Image

from pipelines.bands import ALL_BANDS, BAND_SETS
from pipelines.errors import LandsweepError, NotFoundError
from pipelines.labels import LABEL_NAMES
from pipelines.patch import Patch, read_stack, write_stack
from serve.schema import ErrorAnswer, ErrorBody, LabelPrediction, ModelInfo, ModelName, Models, Prediction

SIZE = 120


def model_info(name: str, bands: tuple[str, ...]) -> ModelInfo:
    return ModelInfo(
        name=name,
        version=3,
        architecture="landnet",
        bands=list(bands),
        image_size=SIZE,
        scale=10_000,
        labels=list(LABEL_NAMES),
        thresholds=dict.fromkeys(LABEL_NAMES, 0.4),
        metrics={},
        dataset="0" * 64,
        trial={},
    )


MODELS = [model_info("landnet-all", ALL_BANDS), model_info("landnet-swir", ("B08", "B11", "B12"))]


def make_tiff(bands: tuple[str, ...] = ALL_BANDS, seed: int = 0, size: int = SIZE) -> bytes:
    """A smooth random patch with a place on Earth."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(200, 3000, (len(bands), 6, 6)).astype(np.float32)
    smooth = [np.asarray(Image.fromarray(layer).resize((size, size), Image.Resampling.BICUBIC)) for layer in coarse]
    pixels = {band: layer.clip(1).astype(np.uint16) for band, layer in zip(bands, smooth, strict=True)}
    patch = Patch(pixels, "EPSG:32633", (336_000.0, 5_200_800.0, 337_200.0, 5_202_000.0))
    return write_stack(patch, bands, size)


def predict(tiff: bytes, model: ModelInfo) -> Prediction:
    patch = read_stack(tiff, wanted=model.bands, size=SIZE)
    rng = np.random.default_rng(int(patch.pixels[model.bands[0]].sum()) % 2**32)
    chances = sorted((rng.random(len(model.labels)) ** 3).tolist(), reverse=True)
    order = rng.permutation(model.labels).tolist()
    return Prediction(
        model=ModelName(name=model.name, version=model.version),
        predictions=[
            LabelPrediction(
                label=str(label), probability=chance, threshold=0.2 + 0.03 * (i % 9), positive=chance >= 0.2 + 0.03 * (i % 9)
            )
            for i, (label, chance) in enumerate(zip(order, chances, strict=True))
        ],
        bands_used=model.bands,
        crs=patch.crs,
        bounds=patch.bounds,
        warnings=list(patch.warnings),
        timing_ms={"decode": 4.2, "predict": 21.5, "total": 26.1},
        request_id="0f4e2a",
    )


def explain(tiff: bytes, model: ModelInfo, label: str) -> bytes:
    if label not in model.labels:
        raise NotFoundError(f'unknown class "{label}"')
    band = read_stack(tiff, wanted=model.bands).pixels[model.bands[-1]].astype(np.float32)
    heat = (band - band.min()) / (np.ptp(band) + 1) * 255
    if label == LABEL_NAMES[0]:
        heat[:] = 0
    buffer = io.BytesIO()
    Image.fromarray(heat.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def make_endpoint(models: list[ModelInfo] = MODELS) -> FastAPI:
    """The endpoint as an app; `models` are what it serves, the default first."""
    app = FastAPI()

    def find(name: str | None) -> ModelInfo:
        for model in models:
            if name in (None, model.name):
                return model
        raise NotFoundError(f'no model "{name}"')

    @app.exception_handler(LandsweepError)
    async def refuse(request: Request, error: LandsweepError) -> Response:
        text = f"{error.where}: {error.what}" if error.where else error.what
        body = ErrorBody(code="refused", message=text, hint=error.hint, request_id="0f4e2a")
        return Response(ErrorAnswer(error=body).model_dump_json(), error.status, media_type="application/json")

    @app.get("/v1/models")
    async def list_models() -> Models:
        return Models(models=models)

    @app.get("/v1/models/{name}/example")
    async def example(name: str) -> Response:
        return Response(make_tiff(tuple(find(name).bands), seed=7), media_type="image/tiff")

    @app.post("/v1/predict")
    async def post_predict(request: Request, model: str | None = None) -> Prediction:
        return predict(await request.body(), find(model))

    @app.post("/v1/explain")
    async def post_explain(request: Request, label: str, model: str | None = None) -> Response:
        return Response(explain(await request.body(), find(model), label), media_type="image/png")

    return app


def make_study(folder: Any, name: str = "first", running: bool = True) -> None:
    """A study of seven trials in every state, as the search would leave it."""
    import optuna

    from tune.settings import SearchSettings
    from tune.study import SETTINGS, open_storage

    settings = SearchSettings(name=name, data=folder / "shards", experiments=folder, trials=12, epochs=8)
    settings.folder.mkdir(parents=True)
    (settings.folder / SETTINGS).write_text(settings.dump_yaml(), encoding="utf-8")
    storage = open_storage(settings, settings.folder)
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
    rng = np.random.default_rng(1)
    states = ["complete", "pruned", "complete", "failed", "complete", "pruned", "running" if running else "complete"]
    for number, state in enumerate(states):
        trial = study.ask()
        trial.suggest_categorical("model", ["landnet", "resnet18"])
        trial.suggest_categorical("bands", ["all", "rgb-nir-swir"])
        trial.suggest_float("learning_rate", 5e-4, 8e-3, log=True)
        trial.suggest_float("weight_decay", 1e-3, 0.2, log=True)
        trial.suggest_categorical("batch_size", [16, 32, 64])
        top, curve = 0.5 + 0.35 * rng.random(), []
        for epoch in range(1, {"pruned": 3, "failed": 2, "running": 5}.get(state, 8) + 1):
            value = top * (1 - 0.7 ** (epoch + 1)) + 0.02 * rng.standard_normal()
            trial.report(value, epoch)
            losses = {"train_loss": 0.4 / epoch, "validation_loss": 0.45 / epoch + 0.02 * epoch}
            curve.append({"epoch": epoch, "ap_macro": value, "f1_macro": value * 0.9, **losses})
        trial.set_user_attr("curves", curve)
        trial.set_user_attr("seconds", 31.5 + 11 * number)
        if state == "failed":
            trial.set_user_attr("reason", "loss is NaN at epoch 3, step 41; lower the learning rate")
        finish = {"pruned": optuna.trial.TrialState.PRUNED, "failed": optuna.trial.TrialState.FAIL}
        if state == "complete":
            study.tell(trial, max(point["ap_macro"] for point in curve))
        elif state in finish:
            study.tell(trial, state=finish[state])
    storage.remove_session()
    storage.engine.dispose()
