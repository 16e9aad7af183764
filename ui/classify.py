"""The Classify page: what happens when a file arrives, an example is picked, or a class is chosen.

Flows in: the bytes of a GeoTIFF. Flows out: HTML. Everything is asked of the endpoint over HTTP; what is wrong
becomes one message, and what was there before it goes, so that no answer stands beside another patch's picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines.errors import LandsweepError, NotFoundError, ServiceError, nearest
from serve.client import Client
from serve.schema import ModelInfo, Prediction
from ui import render
from ui.examples import fetch_example, find_examples, gallery
from ui.picture import Picture, lay_over, read_heat, take_picture

Connect = Callable[[], Client]

BAND_NAMES = "Band names"
"""What the page calls its field for what a file's bands are."""


@dataclass(frozen=True)
class Shot:
    """One patch as classified by one model; `bands` are the names that its file's bands were given, if any."""

    tiff: bytes
    bands: str
    model: str
    picture: Picture
    answer: Prediction

    @property
    def labels(self) -> list[str]:
        """Class names by falling probability."""
        return [each.label for each in self.answer.predictions]

    @property
    def choices(self) -> list[tuple[str, str]]:
        """The same to choose from: what to show, and the name."""
        return [(f"{each.label} ({100 * each.probability:.0f} %)", each.label) for each in self.answer.predictions]


@dataclass(frozen=True)
class Result:
    """What the page shows for a shot, or for a failure."""

    shot: Shot | None
    messages: str
    picture: str
    labels: str
    facts: str


@dataclass(frozen=True)
class Welcome:
    """What the page shows when it opens."""

    models: list[ModelInfo]
    messages: str
    gallery: str
    blank: str


def connect_to(url: str) -> Connect:
    """How to reach an endpoint that speaks in the page's words.

    Returns:
        What makes a `Client` for it, which raises InputError if it is no URL.
    """
    return partial(Client, url, bands_are=f"“{BAND_NAMES}”")


def welcome(connect: Connect, folder: Path | None) -> Welcome:
    """Ask the endpoint for its models and examples."""
    try:
        with connect() as client:
            models = client.models()
            if not models:
                raise ServiceError("the endpoint serves no model", hint="Add one with `landsweep registry add`.")
            examples = find_examples(client, models, folder)
    except LandsweepError as error:
        return Welcome([], render.failure(error), "", "")
    return Welcome(models, "", gallery(examples, models), render.blank(models))


def classify(connect: Connect, tiff: bytes, model: str | None, bands: str = "") -> Result:
    """Classify one patch by one model; what goes wrong is told in the result.

    Args:
        model: the endpoint's default where None.
        bands: comma list of what the file's bands are, in file order; empty leaves it to the file.
    """
    try:
        with connect() as client:
            answer = client.predict(tiff, model=model, bands=bands or None)
            info = _info(client.models(), answer.model.name)
        shot = Shot(tiff, bands, info.name, take_picture(tiff, info, bands), answer)
    except LandsweepError as error:
        return Result(None, render.failure(error), "", "", "")
    return Result(
        shot,
        render.notes(answer.warnings),
        render.picture(shot.picture),
        render.labels(answer.predictions),
        render.facts(answer),
    )


def _info(models: list[ModelInfo], name: str) -> ModelInfo:
    for model in models:
        if model.name == name:
            return model
    raise NotFoundError(f'no model "{name}"', hint=nearest(name, [model.name for model in models]))


def classify_example(connect: Connect, folder: Path | None, key: str, model: str | None) -> tuple[Result, str | None]:
    """Classify an example by the model it was made for, else by the chosen one; returns which that was."""
    try:
        with connect() as client:
            example = fetch_example(client, client.models(), folder, key)
    except LandsweepError as error:
        return Result(None, render.failure(error), "", "", ""), model
    model = example.model or model
    return classify(connect, example.tiff, model), model


def explain(connect: Connect, shot: Shot | None, label: str | None) -> str:
    """Grad-CAM of one class over the patch's picture, as HTML."""
    if shot is None or label is None:
        return ""
    try:
        if label not in shot.labels:
            raise NotFoundError(f'no class "{label[:80]}"', hint=nearest(label, shot.labels))
        with connect() as client:
            png = client.explain(shot.tiff, label, model=shot.model, bands=shot.bands or None)
        heat = read_heat(png, shot.picture.rgb.shape)
    except LandsweepError as error:
        return render.failure(error)
    if not heat.any():
        return render.evidence(label, shot.picture.rgb, found=False)
    return render.evidence(label, lay_over(shot.picture.rgb, heat), found=True)
