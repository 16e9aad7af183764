"""What was packed can be served: a file gets from the endpoint what `landsweep test` gives it, whatever its numbers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.bundle.weights import load_bundle
from models.measure.evaluate import evaluate
from pipelines.dataset.manifest import open_dataset
from pipelines.feeding.rows import read_split
from pipelines.packing.ingest import ingest
from pipelines.pixels.patch import read_stack
from pipelines.settings import IngestSettings
from serve.predictor import Predictor
from tests.fakes import geotiff, write_fresh_bundle

BANDS, SIZE, FILES = ("B02", "B03", "B04"), 16, 15
WITHOUT_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)  # each example packs a set
SPLITS = ("train", "validation", "test")

Declared = tuple[float, float]
"""Scale and offset."""

PLAIN: dict[str, tuple[float, float]] = {"uint8": (20, 220), "float32": (0.01, 0.9), "float64": (-25, -2)}
"""Type of numbers that declare nothing, and between which two they lie: pictures, reflectance, decibels."""

REFLECTANCE: dict[str, tuple[float, float]] = {"int16": (-0.02, 0.5), "uint16": (0.01, 0.9), "uint32": (0.01, 0.9)}
"""Type of whole numbers, and between which two the reflectance lies that they stand for."""

NEWER, LANDSAT = (1e-4, -0.1), (2.75e-5, -0.2)
MIXTURES: list[list[Declared | None]] = [
    [None], [(1e-4, 0.0)], [NEWER], [LANDSAT], [None, NEWER], [(1e-4, 0.0), NEWER], [NEWER, NEWER, LANDSAT],
]  # fmt: skip
"""What the files of a set declare, in turn; what declares nothing is reflectance × 10,000."""

FORMS = [(kind, [None]) for kind in PLAIN] + [(kind, lines) for kind in REFLECTANCE for lines in MIXTURES]


def write_files(folder: Path, kind: str, lines: Sequence[Declared | None], nodata: float | None, seed: int) -> None:
    """Files whose numbers mean the same whatever they declare, every third with a corner of no data; and a table."""
    random = np.random.default_rng(seed)
    rows = ["file,label,split"]
    for number in range(FILES):
        pixels: NDArray[Any] = random.uniform(*(PLAIN | REFLECTANCE)[kind], (len(BANDS), SIZE, SIZE))
        line = lines[number % len(lines)]
        declared = {} if line is None else {"scales": (line[0],) * len(BANDS), "offsets": (line[1],) * len(BANDS)}
        if kind in REFLECTANCE:
            scale, offset = line or (1e-4, 0.0)
            pixels = (pixels - offset) / scale
        pixels = (pixels if kind.startswith("float") else np.rint(pixels)).astype(kind)
        if nodata is not None and number % 3 == 0:
            pixels[:, :5, :5] = nodata
        (folder / f"{number}.tif").write_bytes(geotiff(pixels, BANDS, nodata=nodata, **declared))
        rows.append(f"{number}.tif,{'ab'[number % 2]},{SPLITS[number % 3]}")
    (folder / "labels.csv").write_text("\n".join(rows), encoding="utf-8")


@settings(max_examples=12, phases=WITHOUT_SHRINKING)
@given(st.sampled_from(FORMS), st.booleans(), st.integers(0, 99))
def test_a_packed_file_is_answered_as_it_was_scored(
    tmp_path: Path, form: tuple[str, list[Declared | None]], holes: bool, seed: int
) -> None:
    kind, lines = form
    shutil.rmtree(tmp_path)
    (tmp_path / "set").mkdir(parents=True)
    empty = np.nan if kind.startswith("float") else {"uint8": 0, "int16": -9999}.get(kind, 0)
    write_files(tmp_path / "set", kind, lines, empty if holes else None, seed)
    manifest = ingest(IngestSettings(source=str(tmp_path / "set"), out=str(tmp_path / "shards")))
    assert sum(map(manifest.rows, SPLITS)) == FILES, manifest.dropped
    bundle = load_bundle(write_fresh_bundle(tmp_path / "bundle", tmp_path / "shards", bands="all", seed=0))
    predictor = Predictor(tmp_path / "bundle", device="cpu", threads=1)
    for split in SPLITS:
        rows = read_split(tmp_path / "shards", split, bundle.config.bands)
        scored = evaluate(bundle.net, rows, SIZE, torch.device("cpu"))
        expected = torch.sigmoid(torch.from_numpy(scored.logits)).numpy()
        for name, row in zip(rows.patch_ids, expected, strict=True):
            config = bundle.config
            data = (tmp_path / "set" / f"{name}.tif").read_bytes()
            patch = read_stack(data, wanted=config.bands, size=SIZE, known=config.known(), max_nodata=config.max_nodata)
            (found,) = predictor.predict([patch])
            served = {each.label: each.probability for each in found}
            np.testing.assert_allclose([served[label] for label in config.label_names], row, atol=1e-4)
    assert open_dataset(tmp_path / "shards") == manifest
