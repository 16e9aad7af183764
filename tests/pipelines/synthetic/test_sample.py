"""The synthetic archive: laid out as the real one, drawn as the real one, the same for the same seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

from pipelines.bands import SENTINEL2
from pipelines.errors import ArchiveError
from pipelines.labels import LABEL_NAMES
from pipelines.settings import SampleSettings
from pipelines.synthetic.atlas import LANDSCAPES, plan
from pipelines.synthetic.covers import COVERS, paint
from pipelines.synthetic.sample import SCHEMA, render, write_sample
from pipelines.synthetic.spectra import block_mean, season_of
from pipelines.synthetic.terrain import LEAST_SHARE

PATCHES = 30
HIDDEN = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"
REAL = Path(__file__).parents[4] / "shared" / "data" / "bigearthnet-v2"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample") / "archive"
    return write_sample(SampleSettings(out=out, patches=PATCHES, workers=1))


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_layout(archive: Path) -> None:
    clear, hidden = pq.read_table(archive / "metadata.parquet"), pq.read_table(archive / HIDDEN)
    patches = {path.name: path for path in (archive / "BigEarthNet-S2").glob("*/*")}
    assert len(clear) == PATCHES and len(hidden) == 1
    assert set(patches) == set(clear["patch_id"].to_pylist()) | set(hidden["patch_id"].to_pylist())
    for name, path in patches.items():
        assert name.startswith(path.parent.name + "_")
        assert {file.name for file in path.iterdir()} == {f"{name}_{band}.tif" for band in SENTINEL2}


def test_bands_are_where_the_name_says(archive: Path) -> None:
    sites = {site.patch_id: site for site in plan(PATCHES, seed=0)}
    for patch in sorted((archive / "BigEarthNet-S2").glob("*/*"))[::6]:
        source, column, row = sites[patch.name].source, *map(int, patch.name.split("_")[-2:])
        for band in SENTINEL2.values():
            with rasterio.open(patch / f"{patch.name}_{band.name}.tif") as file:
                assert file.shape == (band.size, band.size) and file.dtypes == ("uint16",)
                assert file.crs.to_epsg() == 32600 + int(source.tile[:2])
                assert file.compression is None and file.nodata is None
                west, north = source.x + 1200 * column, source.y - 1200 * row
                assert file.bounds == (west, north - 1200, west + 1200, north)
                assert file.read(1).min() >= 1


@pytest.mark.skipif(not REAL.exists(), reason="needs the real patches of shared/data")
def test_profile_and_columns_equal_the_real_ones(archive: Path) -> None:
    real_schema = pq.read_schema(REAL.parent / "metadata.parquet")
    assert pq.read_schema(archive / "metadata.parquet").equals(real_schema) and SCHEMA.equals(real_schema)
    ours, real = (next((root / "BigEarthNet-S2").glob("*/*")) for root in (archive, REAL))
    for band in SENTINEL2:
        with rasterio.open(ours / f"{ours.name}_{band}.tif") as a, rasterio.open(real / f"{real.name}_{band}.tif") as b:
            place = {"crs", "transform"}
            assert {k: v for k, v in a.profile.items() if k not in place} == {
                k: v for k, v in b.profile.items() if k not in place
            }


def test_same_seed_same_bytes_whatever_the_workers(archive: Path, tmp_path: Path) -> None:
    again = write_sample(SampleSettings(out=tmp_path / "again", patches=PATCHES, workers=2))
    assert digest(again) == digest(archive)
    assert plan(PATCHES, seed=1) != plan(PATCHES, seed=0)


def test_hidden_patches_are_only_in_the_second_table(archive: Path) -> None:
    clear, hidden = pq.read_table(archive / "metadata.parquet"), pq.read_table(archive / HIDDEN)
    assert not set(clear["patch_id"].to_pylist()) & set(hidden["patch_id"].to_pylist())
    flags = [(row["contains_seasonal_snow"], row["contains_cloud_or_shadow"]) for row in clear.to_pylist()]
    assert set(flags) == {(False, False)}
    assert all(row["contains_seasonal_snow"] != row["contains_cloud_or_shadow"] for row in hidden.to_pylist())


def test_snow_and_clouds_are_bright() -> None:
    sites = plan(400, seed=0)
    brightness = {kind: [] for kind in ("clear", "snow", "cloud")}  # type: dict[str, list[float]]
    for site in [*sites[:20], *sites[400:]]:
        brightness[site.weather].append(float(render(site, 0)["B02"].mean()))
    assert brightness["snow"] and brightness["cloud"]
    assert min(np.mean(brightness["snow"]), np.mean(brightness["cloud"])) > 2 * np.mean(brightness["clear"])


def test_label_frequencies_follow_the_table() -> None:
    sites = [site for site in plan(20_000, seed=3) if site.weather == "clear"]
    weights = np.array([kind.weight for kind in LANDSCAPES]) / sum(kind.weight for kind in LANDSCAPES)
    expected = weights @ np.array([kind.chances for kind in LANDSCAPES]) / 1000
    for name, share in zip(LABEL_NAMES, expected, strict=True):
        assert np.mean([name in site.labels for site in sites]) == pytest.approx(share, abs=0.02)
    counts = [len(site.labels) for site in sites]
    assert np.mean(counts) == pytest.approx(2.95, abs=0.06) and np.std(counts) == pytest.approx(1.36, abs=0.08)


def test_every_split_has_every_class() -> None:
    sites = [site for site in plan(300, seed=0) if site.weather == "clear"]
    for split, share in {"train": 0.5, "validation": 0.25, "test": 0.25}.items():
        members = [site for site in sites if site.split == split]
        assert len(members) / len(sites) == pytest.approx(share, abs=0.02)
        assert {name for site in members for name in site.labels} == set(LABEL_NAMES)


def test_names_stay_unique_when_tiles_overflow() -> None:
    sites = plan(2000, seed=0, grid=4)
    assert len({site.patch_id for site in sites}) == len(sites)
    assert any(site.visit for site in sites)


def test_each_label_covers_a_visible_share() -> None:
    assert tuple(COVERS) == LABEL_NAMES
    for site in plan(60, seed=5):
        rng = np.random.default_rng(site.index)
        zones, abundance = paint(site.labels, season_of(site.taken.month, site.source.country), rng)
        shares = np.bincount(zones.ravel(), minlength=len(site.labels)) / zones.size
        assert zones.min() >= 0 and shares.min() > 0.4 * LEAST_SHARE
        assert abundance.min() >= 0 and np.isfinite(abundance).all()


def test_coarse_bands_see_the_same_scene() -> None:
    bands = render(plan(30, seed=0)[0], seed=0)
    fine = block_mean(bands["B08"].astype(np.float32), 2)
    assert np.corrcoef(fine.ravel(), bands["B8A"].ravel())[0, 1] > 0.97


def test_refuses_the_working_directory_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArchiveError, match="cannot be replaced"):
        write_sample(SampleSettings(out=Path(), patches=1_000_000))


def test_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ArchiveError, match="not an empty folder"):
        write_sample(SampleSettings(out=tmp_path, patches=10))
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(SampleSettings(out=tmp_path / "out", patches=10, workers=1), progress=stop)
    assert list(tmp_path.iterdir()) == []
