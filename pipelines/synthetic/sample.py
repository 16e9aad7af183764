"""A small synthetic archive in BigEarthNet v2's layout, so that everything downstream runs without a download.

Flows in: `SampleSettings` (how many patches, which seed). Flows out: a folder that the real archive's readers take:

    OUT/BigEarthNet-S2/<tile>/<patch>/<patch>_B02.tif …   12 GeoTIFFs a patch, uint16, at 10, 20 and 60 m
    OUT/metadata.parquet                                  the clear patches: `patches` of them
    OUT/metadata_for_patches_with_snow_cloud_or_shadow.parquet   2 % more, at least one, under snow or clouds

Labels, places and dates come from `atlas`, which follows the real metadata. The pixels are made up by `covers`,
`weather` and `spectra`: fit to exercise and to show the software, not to conclude anything about land or about models.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
from affine import Affine
from rasterio.crs import CRS

from pipelines.bands import PATCH_METRES, SENTINEL2
from pipelines.errors import ArchiveError
from pipelines.files import commit, sync
from pipelines.settings import SampleSettings
from pipelines.synthetic.atlas import Site, plan
from pipelines.synthetic.covers import paint
from pipelines.synthetic.spectra import Counts, season_of, sense
from pipelines.synthetic.weather import haze, overcast, snowed

SCHEMA = pa.schema(
    [
        ("patch_id", pa.string()),
        ("labels", pa.list_(pa.field("element", pa.string()))),
        ("split", pa.string()),
        ("country", pa.string()),
        ("s1_name", pa.string()),
        ("s2v1_name", pa.string()),
        ("contains_seasonal_snow", pa.bool_()),
        ("contains_cloud_or_shadow", pa.bool_()),
    ]
)

_CHUNK = 16  # patches handed to a worker at a time


def write_sample(settings: SampleSettings, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write a synthetic archive; the same seed gives the same bytes, whatever the number of workers.

    It is written aside and renamed at the end, so an interrupted run leaves nothing under `settings.out`.

    Args:
        settings: `patches` counts the clear ones; those under snow or clouds come on top.
        progress: called with patches done and patches in all.

    Returns:
        The archive's folder, `settings.out`.

    Raises:
        ArchiveError: `settings.out` is a file, or a folder that is not empty or cannot be replaced.
    """
    out = settings.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ArchiveError("not an empty folder", where=str(out), hint="Name a folder that does not exist yet.")
    if out.is_dir() and (out.samefile(Path.cwd()) or os.path.ismount(out)):
        raise ArchiveError("cannot be replaced by another folder", where=str(out), hint="Name one inside it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{out.name}.partial-", dir=out.parent))
    try:
        aside.chmod(0o755)
        _fill(aside, settings, progress)
        commit(aside, out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return out


def render(site: Site, seed: int) -> dict[str, Counts]:
    """Pixels of one patch: by band name, uint16 (size, size), reflectance × 10,000."""
    rng = np.random.default_rng([seed, 1, site.index])
    _, abundance = paint(site.labels, season_of(site.taken.month, site.source.country), rng)
    if site.weather == "snow":
        abundance = snowed(abundance, rng)
    elif site.weather == "cloud":
        abundance = overcast(abundance, rng)
    return sense(abundance, haze(rng), rng)


def _fill(folder: Path, settings: SampleSettings, progress: Callable[[int, int], None] | None) -> None:
    sites = plan(settings.patches, settings.seed)
    for done, _ in enumerate(_write_all(sites, folder / "BigEarthNet-S2", settings), start=1):
        if progress:
            progress(done, len(sites))
    hidden = [site for site in sites if site.weather != "clear"]
    _write_metadata(hidden, folder / "metadata_for_patches_with_snow_cloud_or_shadow.parquet")
    _write_metadata([site for site in sites if site.weather == "clear"], folder / "metadata.parquet")


def _write_all(sites: list[Site], folder: Path, settings: SampleSettings) -> Iterator[None]:
    """Write each site's patch, yielding after each; in processes of their own where that pays."""
    work = partial(_write_patch, folder=folder, seed=settings.seed)
    workers = settings.workers or min(os.cpu_count() or 1, len(sites) // (4 * _CHUNK))
    if workers <= 1:
        yield from map(work, sites)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, sites, chunksize=_CHUNK)


def _write_patch(site: Site, folder: Path, seed: int) -> None:
    patch = folder / site.tile / site.patch_id
    patch.mkdir(parents=True)
    crs = _crs(int(site.source.tile[:2]))
    west, north = site.source.x + PATCH_METRES * site.column, site.source.y - PATCH_METRES * site.row
    for name, counts in render(site, seed).items():
        band = SENTINEL2[name]
        with rasterio.open(
            patch / f"{site.patch_id}_{name}.tif",
            "w",
            driver="GTiff",
            width=band.size,
            height=band.size,
            count=1,
            dtype="uint16",
            crs=crs,
            transform=Affine(band.gsd, 0, west, 0, -band.gsd, north),
        ) as file:
            file.write(counts, 1)


@lru_cache
def _crs(zone: int) -> CRS:
    """UTM zone on the northern hemisphere; looking one up costs more than writing a band."""
    return CRS.from_epsg(32600 + zone)


def _write_metadata(sites: list[Site], path: Path) -> None:
    rows = [
        {
            "patch_id": site.patch_id,
            "labels": list(site.labels),
            "split": site.split,
            "country": site.source.country,
            "s1_name": site.s1_name,
            "s2v1_name": site.s2v1_name,
            "contains_seasonal_snow": site.weather == "snow",
            "contains_cloud_or_shadow": site.weather == "cloud",
        }
        for site in sorted(sites, key=lambda site: site.patch_id)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    sync(path)
