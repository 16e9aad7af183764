"""What a bundle looks at on a split: `landsweep explain`.

    out/
      gradcam_visualizations/…, activations.pdf    see `explain.pages`
      band_importance.{json,png}                   what taking each band away does; see `explain.band_importance`

Flows in: `ExplainSettings`. Flows out: the files above, and what the command line prints.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from models.bundle.config import read_config
from models.bundle.locate import find_bundle, own_results
from models.bundle.weights import Bundle, load_bundle
from models.device import pick_device
from models.explain.band_importance import BandImportance, band_importance, draw_importance
from models.explain.maps import check_label, made_of
from models.explain.pages import ACTIVATIONS, choose, open_shown, write_gradcam_pages
from models.measure.shared_classes import shared_classes
from models.results.assess import examine
from models.results.score_split import OTHER_DATA
from models.settings import ExplainSettings
from pipelines.dataset.manifest import open_dataset
from pipelines.drawing.canvas import png_of
from pipelines.errors import LabelError, SettingsError
from pipelines.feeding.batches import assemble
from pipelines.feeding.rows import Rows
from pipelines.files import check_out, write_whole

IMPORTANCE = "band_importance"


def explain_on(settings: ExplainSettings, progress: Callable[[int, int], None] = lambda *_: None) -> dict[str, Any]:
    """Score the split, explain its best and worst patches or those of some ids, and measure what each band does.

    Raises:
        BundleError: there is none, or it is damaged, or the dataset has none of its classes.
        LabelError: the model does not know a class that is to be shown, or the dataset does not have it.
        PredictionsError: the split has no patch of an id.
        ShardError: there is no such dataset, or the split is empty.
        BandError: the dataset lacks a band.
        SettingsError: no `out` is given for a bundle, or nothing can be written to it; no such device; or see
            `open_dataset` and `explain`.
        ServiceError: the object store does not answer.
        TrainingError: a batch does not fit into memory.
        StorageError: the disk is full.
        BusyError: another process explains into this folder.
    """
    folder = find_bundle(settings.source, settings.checkpoint)
    same = read_config(folder).dataset == open_dataset(settings.data).hash
    out = settings.out or own_results(settings.source, folder, same_data=same)
    if out is None:
        hint = "Name one with --out: nothing is written to a bundle's own folder, nor to a run's of another dataset."
        raise SettingsError("no folder for the pages is given", where="out", hint=hint)
    check_out(out)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    bundle = load_bundle(folder, pick_device(settings.device))
    for label in settings.label:
        check_label(label, bundle.config.label_names)
    both = shared_classes(bundle.config.label_names, open_dataset(settings.data).label_names, settings.data)
    for label in settings.label:
        if label not in both.names:
            what = f'the dataset has no class "{label}", so that nobody knows which patches show it'
            raise LabelError(what, where=settings.data, hint=f"It has: {', '.join(both.names)}.")
    found = examine(bundle, settings.data, settings.split, batch_size=settings.batch_size).predictions
    rows = open_shown(bundle, settings.data, settings.split)
    shown = choose(bundle, rows, found, settings.patches, settings.patch_id)
    importance = measure_bands(bundle, rows, settings, progress)
    pages = write_gradcam_pages(out, bundle, shown, settings.label, settings.method)
    measured = importance.as_dict()
    write_whole(out / f"{IMPORTANCE}.json", json.dumps(measured, ensure_ascii=False, indent=2) + "\n")
    write_whole(out / f"{IMPORTANCE}.png", png_of(draw_importance(importance, settings.split)))
    said = {"bundle": str(folder), "split": settings.split, "method": settings.method}
    said |= {} if same else {"note": OTHER_DATA}
    said |= {"maps": made_of(bundle)} if made_of(bundle) else {}
    files = [*(page.name for page in pages), ACTIVATIONS, f"{IMPORTANCE}.json", f"{IMPORTANCE}.png"]
    listed = [{"page": page.name, "patch": page.patch_id, "remarks": " ".join(page.remarks)} for page in pages]
    counted = {"out": str(out), "files": files, "patches measured": len(importance.logits)}
    return said | counted | {"pages": listed, "importance": measured}


def band_rows(importance: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a band, the strongest first, for a table."""
    rows = []
    for band, found in sorted(importance.items(), key=lambda item: -item[1]["strength"]):
        label, change = min(found["logit"].items(), key=lambda item: item[1])
        said = label if change < 0 else None  # it may speak against every class
        rows.append({"band": band, "mean change of a logit": found["strength"], "speaks most for": said})
    return rows


def measure_bands(
    bundle: Bundle, rows: Rows, settings: ExplainSettings, progress: Callable[[int, int], None]
) -> BandImportance:
    """Importance of bands on patches spread evenly over the split, read a batch at a time: all could be 69 GB.

    Raises:
        ShardError: a band was not read.
        TrainingError: a batch does not fit into memory.
    """
    config, size = bundle.config, settings.batch_size
    places = np.unique(np.linspace(0, len(rows) - 1, min(settings.sample, len(rows))).astype(np.int64))
    chosen = rows.select(config.bands)
    chunks = (chosen.take(places[start : start + size]) for start in range(0, len(places), size))
    batches = (assemble(chunk, config.bands, config.image_size) for chunk in chunks)
    return band_importance(bundle, batches, len(places), progress=progress)
