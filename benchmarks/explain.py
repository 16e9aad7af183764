"""What a heat map costs beside a prediction, and what pytorch-grad-cam's own methods cost for the same map.

    python -m benchmarks.explain [--models landnet,vit] [--rounds 3] [--save]

One patch of all bands at 120 px, one class, one thread. The library is given the same net, layer and patch, normalised
and padded before; its Grad-CAM takes the gradients of all weights too, and its Ablation-CAM runs the whole net once a
channel. Where it has no way to take away a channel of a family (channels last, tokens), there is no peer.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, redirect_stderr
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
import typer
from pytorch_grad_cam import AblationCAM, GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from rich.table import Table

from benchmarks.loops import DEVIATION, MEAN, new_net
from benchmarks.rounds import Contender, Go, Rates, Rounds, Save, cores, run_rounds, show
from models.bundle.config import BundleConfig
from models.bundle.weights import Bundle
from models.explain.maps import ABLATIONCAM, GRADCAM, explain
from models.explain.target_layer import cam_target
from models.nets.build import ReflectanceNet
from pipelines.bands import ALL_BANDS, PATCH_SIZE
from pipelines.labels import LABEL_NAMES

MODELS = "landnet,resnet18,resnet50,densenet121,efficientnet_b0,swin,vit,convnext,vgg16"
PREDICTION, LIBRARY = "prediction", "library's "
SECONDS = 0.5
"""Least length of a run: a map may take milliseconds."""


def bundle_of(name: str, net: ReflectanceNet) -> Bundle:
    """A net of the zoo as if it had been trained."""
    config = BundleConfig(
        architecture=name,
        num_classes=len(LABEL_NAMES),
        label_names=list(LABEL_NAMES),
        in_chans=len(ALL_BANDS),
        bands=list(ALL_BANDS),
        mean=dict.fromkeys(ALL_BANDS, MEAN),
        std=dict.fromkeys(ALL_BANDS, DEVIATION),
        image_size=PATCH_SIZE,
        thresholds=dict.fromkeys(LABEL_NAMES, 0.5),
        dataset="made up",
        seed=0,
    )
    return Bundle(config, net.eval())


def contenders(name: str) -> list[Contender]:
    """A prediction, both methods, and the library's where it can."""
    bundle = bundle_of(name, new_net(name))
    net, label = bundle.net, LABEL_NAMES[0]
    pixels = np.random.default_rng(0).integers(0, 10_000, (1, len(ALL_BANDS), PATCH_SIZE, PATCH_SIZE))
    image = torch.from_numpy(pixels.astype(np.float32))
    layer, reshape = cam_target(name, net)
    prepared, targets = net.prepare(image).detach(), [ClassifierOutputTarget(0)]

    def predict() -> None:
        with torch.inference_mode():
            net(image)

    def library(method: Any) -> Callable[[], None]:
        def run() -> None:
            given = {"model": net.backbone, "target_layers": [layer], "reshape_transform": reshape}
            with redirect_stderr(io.StringIO()), method(**given) as cam:  # it draws a progress bar
                cam(prepared.clone(), targets)

        return run

    works: dict[str, Callable[[], object]] = {PREDICTION: predict}
    for own in (GRADCAM, ABLATIONCAM):
        works[own] = partial(explain, bundle, image, label, own)
    works[LIBRARY + GRADCAM] = library(GradCAM)
    if reshape is None:
        works[LIBRARY + ABLATIONCAM] = library(AblationCAM)
    return [Contender(each, ready(work), []) for each, work in works.items()]


def ready(work: Callable[[], object]) -> Callable[[], AbstractContextManager[Go]]:
    """A run does the work as often as fits into `SECONDS`, once at least."""

    def go() -> int:
        started, times = time.perf_counter(), 0
        while not times or time.perf_counter() - started < SECONDS:
            work()
            times += 1
        return times

    return lambda: nullcontext(go)


def cells(rates: Rates) -> Iterator[str]:
    """Milliseconds, and how many times as long the library takes."""
    for name in (PREDICTION, GRADCAM, ABLATIONCAM):
        yield f"{1000 / rates.median(name):,.0f}"
    for method in (GRADCAM, ABLATIONCAM):
        yield f"{rates.ratio(method, LIBRARY + method):.1f} ×" if LIBRARY + method in rates.runs else "–"


def main(
    models: Annotated[str, typer.Option(help="names in the zoo")] = MODELS, rounds: Rounds = 3, save: Save = False
) -> None:
    """Print what a map costs by each method, and the library's cost to ours."""
    torch.set_num_threads(1)
    table = Table("", "prediction, ms", "Grad-CAM, ms", "Ablation-CAM, ms", "library's Grad-CAM", "its Ablation-CAM")
    every = []
    for name in models.split(","):
        every.append(run_rounds(contenders(name), rounds, cold=False))
        table.add_row(name, *cells(every[-1]))
    show("explain", save, table, f"one patch, one class, one thread; × is the library's time to ours; {cores(every)}")


if __name__ == "__main__":
    typer.run(main)
