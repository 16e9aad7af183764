"""Small things made up for tests: GeoTIFFs with any fault, and bundles that need no training."""

from __future__ import annotations

import io
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from pipelines.bands import ALL_BANDS, parse_bands

if TYPE_CHECKING:
    from pipelines.dataset.manifest import Part


def stack(
    bands: Sequence[str] = ALL_BANDS, size: int = 120, *, named: bool = True, dtype: str = "uint16", **profile: Any
) -> bytes:
    """A GeoTIFF of random reflectance with the given bands."""
    pixels = np.random.default_rng(len(bands)).integers(100, 4000, (len(bands), size, size))
    return geotiff(pixels.astype(dtype), bands if named else None, **profile)


def geotiff(
    pixels: NDArray[Any],
    names: Sequence[str] | None = None,
    *,
    scales: Sequence[float] | None = None,
    offsets: Sequence[float] | None = None,
    **profile: Any,
) -> bytes:
    """A GeoTIFF of these pixels, (bands, height, width), and what it declares of its bands."""
    count, height, width = pixels.shape
    place = {"crs": "EPSG:32633", "transform": from_origin(300000, 5000000, 10, 10), "dtype": pixels.dtype} | profile
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(driver="GTiff", count=count, height=height, width=width, **place) as target:
            target.write(pixels)
            if names is not None:
                target.descriptions = tuple(names)
            if scales is not None:
                target.scales = tuple(scales)
            if offsets is not None:
                target.offsets = tuple(offsets)
        return bytes(memory.read())


def png(bands: int = 3, size: int = 120) -> bytes:
    """A PNG picture."""
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (size, size, bands), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def tiff_with_overview_file() -> bytes:
    """A TIFF that asks GDAL to read another file for its overviews."""
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            dtype="uint16",
            count=12,
            height=120,
            width=120,
            crs="EPSG:32633",
            transform=from_origin(0, 0, 10, 10),
        ) as target:
            target.write(np.full((12, 120, 120), 500, np.uint16))
            target.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="/etc/hostname")
        return bytes(memory.read())


def rewrite_band(path: Path, pixels: NDArray[Any]) -> None:
    """Put other pixels into one band's file."""
    with rasterio.open(path) as source:
        profile = source.profile
    profile.update(dtype=pixels.dtype, height=pixels.shape[0], width=pixels.shape[1])
    with rasterio.open(path, "w", **profile) as target:
        target.write(pixels, 1)


def write_fresh_bundle(folder: Path, shards: Path, *, bands: str, seed: int) -> Path:
    """A landnet bundle with fresh weights, and the metrics that these reach."""
    from models.bundle.config import BundleConfig
    from models.bundle.weights import write_bundle
    from models.measure.metrics import score
    from models.nets.build import create_net
    from pipelines.dataset.manifest import open_dataset
    from pipelines.feeding.rows import read_split
    from pipelines.pixels.patch import Patch

    manifest = open_dataset(shards)
    names = parse_bands(bands, manifest.band_names)
    mean = {band: manifest.statistics[band].mean for band in names}
    std = {band: manifest.statistics[band].std for band in names}
    numbers = {band: manifest.known(band) for band in names}
    labels = manifest.label_names
    given: dict[str, Any] = {"mean": list(mean.values()), "std": list(std.values()), "bands": names}
    net = create_net("landnet", **given, num_classes=len(labels), seed=seed)
    split = read_split(shards, "validation", names)
    chunk = split.take(np.array([0]))
    config = BundleConfig(
        architecture="landnet",
        num_classes=len(labels),
        label_names=labels,
        in_chans=len(names),
        bands=list(names),
        mean=mean,
        std=std,
        numbers=numbers,
        max_nodata=manifest.settings.get("max_nodata", 0.25),
        image_size=max(column.size for column in manifest.bands),
        thresholds=dict.fromkeys(labels, 0.5),
        dataset=manifest.hash,
        seed=seed,
    )
    metrics = {"validation": score(np.full(split.labels.shape, 0.5, np.float32), split.labels, labels)}
    write_bundle(folder, net, config, metrics, Patch({band: chunk[band][0] for band in names}))
    return folder


def write_fresh_ensemble(folder: Path, shards: Path) -> Path:
    """Three landnets with fresh weights as one bundle: their bands are some of each other's, or others."""
    import json

    from models.bundle.config import EXAMPLE, METRICS
    from models.bundle.weights import load_bundle, write_bundle
    from models.ensemble.join import join
    from pipelines.pixels.patch import Patch, read_stack

    sources = [
        write_fresh_bundle(folder.with_name(f"{folder.name}-{seed}"), shards, bands=bands, seed=seed)
        for seed, bands in enumerate(("B08,B04", "B11", "B04,B8A"))
    ]
    joined = join([load_bundle(each) for each in sources], [0.25, 0.25, 0.5])
    patches = [read_stack((each / EXAMPLE).read_bytes(), wanted=load_bundle(each).config.bands) for each in sources]
    example = Patch({band: pixels for patch in patches for band, pixels in patch.pixels.items()})
    write_bundle(folder, joined.net, joined.config, json.loads((sources[0] / METRICS).read_text()), example)
    return folder


def free_port() -> int:
    """A port of loopback that nobody listens on, for somebody who will; never the same twice."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


_given: set[int] = set()


@contextmanager
def nobody() -> Iterator[str]:
    """A URL of loopback where every connection is refused: its port is held, so that nobody else comes to listen."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def rows_made_up(rows: int, sizes: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """What `write_dataset` writes: random pixels, of which (0, 0) is the row's number; which rows are odd or third."""
    rng, number = np.random.default_rng(rows), np.arange(rows)
    found = {band: rng.integers(0, 65536, (rows, size, size)).astype(np.uint16) for band, size in sizes.items()}
    for pixels in found.values():
        pixels[:, 0, 0] = number
    labels = np.stack([number % 2, number % 3 == 0], axis=1).astype(np.uint8)
    return found | {"labels": labels, "patch_id": np.array([f"p{row}" for row in number], dtype=object)}


def write_dataset(folder: Path, rows: int, *, sizes: dict[str, int], rows_per_part: int = 100) -> Path:
    """A dataset of one split, `train`, without an archive; see `rows_made_up`."""
    from pipelines.dataset.part_file import write_part

    whole, parts = rows_made_up(rows, sizes), []
    for number, start in enumerate(range(0, rows, rows_per_part)):
        here = np.arange(start, min(start + rows_per_part, rows))
        columns = {
            "patch_id": whole["patch_id"][here].tolist(),
            "country": ["Austria" if row % 3 else "Finland" for row in here],
            "crs": ["EPSG:32633"] * len(here),
            "x": here.astype(float),
            "y": here.astype(float),
            "nodata": np.zeros(len(here)),
            "labels": whole["labels"][here],
        }
        pixels = {band: whole[band][here] for band in sizes}
        parts.append(write_part(folder, f"train/part-{number:05d}.parquet", columns, pixels))
    return write_manifest(folder, sizes, ["odd", "third"], {"train": parts})


def write_manifest(
    folder: Path,
    sizes: Mapping[str, int],
    labels: Sequence[str],
    splits: dict[str, list[Part]],
    *,
    mean: float = 0,
    std: float = 1,
) -> Path:
    """What makes parts a dataset folder, which is given back: bands and their sizes, labels, statistics."""
    from pipelines.dataset.manifest import MANIFEST, BandColumn, Manifest, Statistics

    manifest = Manifest(
        source={"name": "made up"},
        bands=[BandColumn(name=band, size=size) for band, size in sizes.items()],
        label_names=list(labels),
        splits=splits,
        statistics={band: Statistics(mean=mean, std=std) for band in sizes},
        label_counts={},
        country_counts={},
        dropped={},
        unmapped={},
        settings={},
        versions={},
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return folder
