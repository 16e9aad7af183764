"""The pages of a report that show where a model looked: best and worst patches, with a map of each class.

    out/
      gradcam_visualizations/best_01.png …     the patch, all its classes in one picture, each class for itself
      gradcam_visualizations/worst_01.png …
      gradcam_visualizations/chosen_01.png …   in place of both, patches that somebody named
      activations.pdf                          the same patches: feature maps of each stage

Flows in: a loaded bundle, the rows of a dataset, and what the bundle predicts of them. Flows out: the files above,
all computed before the first is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from models.bundle.weights import Bundle
from models.explain.activations import activations, draw_stages, pdf_of, stages_of
from models.explain.maps import GRADCAM, HeatMap, explain_each, made_of
from models.explain.overlay import Explained, draw_overlay
from models.measure.extremes import Example, bands_shown, colour_of, extremes, match, pick
from models.measure.predictions import Predictions
from models.measure.shared_classes import rows_of, shared_classes
from pipelines.dataset.manifest import open_dataset
from pipelines.drawing.canvas import png_of
from pipelines.errors import BundleError
from pipelines.feeding.batches import assemble
from pipelines.feeding.rows import Rows
from pipelines.feeding.streamed import open_stream
from pipelines.files import exclusive, write_whole
from pipelines.location import Location

PAGES, ACTIVATIONS = "gradcam_visualizations", "activations.pdf"
TITLES = {"gradcam": "Grad-CAM", "ablationcam": "Ablation-CAM"}
NOTE = (
    "Each class is scaled to its own peak: colour says where, not how much. Lines around a class are at half of its "
    "peak; a number beside its peak has a line to it."
)

_OWN = re.compile(r"(best|worst|chosen)_\d+\.png")


@dataclass(frozen=True)
class Page:
    """One patch that was explained.

    Args:
        name: its file, relative to the folder of the report.
        patch_id: whose it is.
        remarks: what a user must be told of its maps, as sentences.
    """

    name: str
    patch_id: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """Patches that are explained.

    Args:
        examples: the page of each, relative to the folder of the report, to what is known of it.
        images: as the net takes them, in the same order.
        colour: what their pictures show.
        split: they are of.
    """

    examples: dict[str, Example]
    images: Tensor
    colour: str
    split: str


def write_gradcam_pages(
    out: Path, bundle: Bundle, shown: Shown, labels: Sequence[str] = (), method: str = GRADCAM
) -> list[Page]:
    """Explain patches, a page each. Pages of an earlier report are replaced.

    Args:
        out: folder of the results, made if it is not there.
        shown: see `choose`.
        labels: classes to show, in place of those that were found, missed and wrongly said.
        method: see `explain`.

    Raises:
        LabelError, SettingsError, TrainingError, BundleError: see `explain` and `activations`.
        StorageError, BusyError: see `put`.
    """
    pages, files = draw_pages(bundle, shown, labels, method)
    put(out, files | draw_activations(bundle, shown))
    return pages


def open_shown(bundle: Bundle, data: Location | str, split: str) -> Rows:
    """A split with the bundle's bands, and those of true colour where there are any; its labels are of the classes
    that the bundle knows too, in the bundle's order.

    Raises:
        BundleError: the dataset has none of the bundle's classes.
        ShardError: there is no such dataset, or the split is empty.
        BandError: the dataset lacks a band.
        SettingsError, ServiceError: see `open_dataset`.
    """
    manifest = open_dataset(data)
    bands = dict.fromkeys([*bundle.config.bands, *bands_shown(manifest.band_names)])
    both = shared_classes(bundle.config.label_names, manifest.label_names, str(data))
    return rows_of(open_stream(data, split, list(bands), manifest), manifest.label_names, both.names)


def choose(bundle: Bundle, rows: Rows, predictions: Predictions, n: int, patch_ids: Sequence[str] = ()) -> Shown:
    """The n best and the n worst patches, or those of some ids.

    Raises:
        PredictionsError: the predictions are of other patches than the rows, or there is no patch of such an id.
        BundleError: they are of classes that the bundle does not know.
        ShardError: a band was not read.
    """
    if not set(predictions.label_names) <= set(bundle.config.label_names):
        raise BundleError("the predictions are of other classes than the model's", hint="Predict with this bundle.")
    if patch_ids:
        examples = _named("chosen", pick(predictions, rows, list(dict.fromkeys(patch_ids))))
    else:
        found = extremes(predictions, rows, n)
        examples = _named("best", found.best) | _named("worst", found.worst)
    images = _images(bundle, rows, predictions, [each.patch_id for each in examples.values()])
    return Shown(examples, images, colour_of(rows), predictions.split or "patch")


def draw_pages(
    bundle: Bundle, shown: Shown, labels: Sequence[str] = (), method: str = GRADCAM
) -> tuple[list[Page], dict[str, bytes]]:
    """A page a patch, as pictures. Shown are the classes that were found, missed and wrongly said, or these labels.

    Returns:
        The pages, and their files: name, relative to the folder of the report, to the bytes of a PNG.

    Raises:
        LabelError, SettingsError, TrainingError, BundleError: see `explain`.
    """
    words = [_facts(each, list(dict.fromkeys(labels))) for each in shown.examples.values()]
    maps = explain_each(bundle, shown.images, [list(each) for each in words], method)
    files: dict[str, bytes] = {}
    for (name, example), facts, heats in zip(shown.examples.items(), words, maps, strict=True):
        page = Explained(example.picture, heats, facts)
        heading = f"{TITLES[method]}: {example.patch_id} ({shown.split}, loss {example.loss:.3g})"
        note = " ".join(filter(None, (f"{shown.colour}.", NOTE, made_of(bundle))))
        files[name] = png_of(draw_overlay(page, heading, note, each=True))
    pages = [
        Page(name, example.patch_id, _remarks(heats))
        for (name, example), heats in zip(shown.examples.items(), maps, strict=True)
    ]
    return pages, files


def draw_activations(bundle: Bundle, shown: Shown) -> dict[str, bytes]:
    """The PDF of the same patches, by its name.

    Raises:
        SettingsError: see `activations`.
    """
    stages, whose = activations(bundle, shown.images), stages_of(bundle)
    figures = [
        draw_stages(found, example.picture, f"{example.patch_id}: {_place(name)}{whose}")
        for (name, example), found in zip(shown.examples.items(), stages, strict=True)
    ]
    return {ACTIVATIONS: pdf_of(figures)}


def _named(kind: str, examples: list[Example]) -> dict[str, Example]:
    return {f"{PAGES}/{kind}_{number:02d}.png": each for number, each in enumerate(examples, start=1)}


def _place(name: str) -> str:
    """`best_01` as people say it."""
    kind, number = Path(name).stem.split("_")
    return f"{kind} patch, number {int(number)}"


def _facts(example: Example, wanted: Sequence[str]) -> dict[str, str]:
    """The classes that are shown, and what of them."""
    kinds = {"found": example.found, "missed": example.missed, "wrongly said": example.wrong}
    kinds |= {"rightly not said": example.other} if wanted else {}
    every = {label: f"{word}, {share:.2f}" for word, classes in kinds.items() for label, share in classes.items()}
    return {label: every[label] for label in wanted} if wanted else every


def _remarks(heats: Mapping[str, HeatMap]) -> tuple[str, ...]:
    return tuple(heat.remark(label) for label, heat in heats.items() if heat.remark(label))


def _images(bundle: Bundle, rows: Rows, predictions: Predictions, ids: list[str]) -> Tensor:
    """What the net takes of these patches, in their order."""
    assert predictions.patch_ids is not None  # `extremes` has looked
    place = dict(zip(predictions.patch_ids.tolist(), match(predictions, rows).tolist(), strict=True))
    config = bundle.config
    chunk = rows.select(config.bands).take(np.array([place[each] for each in ids], np.int64))
    return assemble(chunk, config.bands, config.image_size, bundle.net.mean.device)


def put(out: Path, files: Mapping[str, bytes]) -> None:
    """Write files of an explanation. Where pages are among them, those of an earlier one are removed.

    Raises:
        StorageError: the disk is full.
        BusyError: another process explains into this folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    pages = {name for name in files if name.startswith(f"{PAGES}/")}
    with exclusive(out / ".lock", f"an explanation into {out}"):
        for name, data in files.items():
            write_whole(out / name, data)
        for there in (out / PAGES).iterdir() if pages else ():
            if _OWN.fullmatch(there.name) and f"{PAGES}/{there.name}" not in pages:
                there.unlink()
