"""The ingest job: pixel-exact, restartable, and honest about what it leaves out."""

from __future__ import annotations

import shutil
import threading
import warnings
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from pipelines.archives.catalogue import SPLITS, Catalogue
from pipelines.archives.detect import read_archive
from pipelines.cluster import let_streams_end
from pipelines.dataset.manifest import MANIFEST, Manifest, open_dataset
from pipelines.errors import ArchiveError, ShardError
from pipelines.feeding.rows import read_split
from pipelines.packing.ingest import agree, ingest, plan_of
from pipelines.packing.pack_part import RECORDS
from pipelines.settings import IngestSettings
from tests.fakes import geotiff, rewrite_band

pytestmark = pytest.mark.usefixtures("ray_session")  # else each ingest starts a Ray of its own


def run(source: Path, out: Path, **more: object) -> Manifest:
    return ingest(IngestSettings.parse({"source": source, "out": out, "rows_per_part": 20, **more}))


@pytest.fixture(scope="module")
def shards(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive in more parts than are packed without Ray."""
    run(archive, out := tmp_path_factory.mktemp("ingest") / "shards")
    return out


def archive_of(source: Path, **more: object) -> Catalogue:
    return read_archive(IngestSettings.parse({"source": source, "out": "unused", **more}))


def test_an_ingest_goes_on_from_the_same_tar_or_from_files_alone(archive: Path, tmp_path: Path) -> None:
    """Parts of a tar are filled in its order, of a folder's files in another: both in one dataset lose patches."""
    settings, files = IngestSettings(source=str(archive), out=str(tmp_path / "out")), archive_of(archive)
    tar = replace(files, root=tmp_path / "a.tar", in_tar=True)
    agree(tmp_path / "out", plan_of(settings, tar), tar)
    agree(tmp_path / "out", plan_of(settings, tar), tar)
    for other in (files, replace(tar, root=tmp_path / "b.tar")):
        with pytest.raises(ShardError, match="the unfinished ingest here had another source"):
            agree(tmp_path / "out", plan_of(settings, other), other)


def pixels_of(catalogue: Catalogue, place: str) -> dict[str, NDArray[Any]]:
    """A patch's bands as rasterio reads them."""
    root, layout = Path(str(catalogue.root)), catalogue.layout
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if layout.kind == "stack":
            with rasterio.open(root / place) as file:
                names = list(layout.names or file.descriptions)
                return {band.name: file.read(names.index(band.name) + 1) for band in layout.bands}
        found = {}
        for band in layout.bands:
            with rasterio.open(root / place / f"{Path(place).name}_{band.name}.tif") as file:
                found[band.name] = file.read(1)
        return found


def assert_pixel_exact(source: Path, shards: Path, **more: object) -> None:
    """Every pixel and label of every patch, against rasterio and the archive's table."""
    catalogue = archive_of(source, **more)
    rows = catalogue.rows.set_index("patch_id")
    labels = dict(zip(catalogue.rows["patch_id"], catalogue.labels.tolist(), strict=True))
    manifest = open_dataset(shards)
    seen = 0
    for name in SPLITS:
        split = read_split(shards, name, manifest.band_names)
        taken = split.take(np.arange(len(split)))
        for row, patch_id in enumerate(split.patch_ids):
            assert rows.loc[patch_id, "split"] == name
            assert split.labels[row].tolist() == labels[patch_id]
            for band, pixels in pixels_of(catalogue, rows.loc[patch_id, "place"]).items():
                np.testing.assert_array_equal(taken[band][row], pixels)
            seen += 1
    assert seen == len(rows) == sum(manifest.rows(name) for name in SPLITS)


def test_synthetic_archive_is_pixel_exact(archive: Path, shards: Path) -> None:
    assert_pixel_exact(archive, shards)


REAL: dict[str, tuple[int, dict[str, object]]] = {
    "bigearthnet-v2": (17, {}),
    "bigearthnet-v1": (62, {}),
    "stacks": (5, {"bands": "rgb-swir"}),
    "eurosat-ms": (700, {"names": "B01,B02,B03,B04,B05,B06,B07,B08,B09,B10,B11,B12,B8A", "rows_per_part": 200}),
}


@pytest.mark.parametrize("kind", REAL)
def test_real_archives_are_pixel_exact(real_data: Path, ray_session: None, tmp_path: Path, kind: str) -> None:
    patches, more = REAL[kind]
    manifest = run(real_data / kind, tmp_path / "out", **more)
    assert sum(manifest.rows(split) for split in SPLITS) == patches
    assert sum(map(len, manifest.dropped.values())) == (5 if kind == "bigearthnet-v2" else 0)
    assert_pixel_exact(real_data / kind, tmp_path / "out", **more)


def test_what_a_patch_shows_is_told_with_it(real_data: Path, ray_session: None, tmp_path: Path) -> None:
    """Classes without one of the 19 are in the manifest; a place is in its row, and empty where there is none."""
    manifest = run(real_data / "bigearthnet-v1", tmp_path / "out", bands="B01")
    assert manifest.unmapped == archive_of(real_data / "bigearthnet-v1").unmapped != {}
    parts = (tmp_path / "out" / part.file for parts in manifest.splits.values() for part in parts)
    rows = pa.concat_tables(pq.read_table(part, columns=["crs", "x", "y"]) for part in parts).to_pandas()
    assert (rows["crs"] == "").sum() == 4
    assert (rows["x"].isna() == (rows["crs"] == "")).all()
    assert set(rows["crs"]) - {""} <= {f"EPSG:326{zone}" for zone in range(29, 37)}


def test_statistics_are_those_of_the_training_split(shards: Path) -> None:
    manifest = open_dataset(shards)
    train = read_split(shards, "train", ("B04", "B09"))
    taken = train.take(np.arange(len(train)))
    for band in ("B04", "B09"):
        assert manifest.statistics[band].mean == pytest.approx(taken[band].mean(dtype=np.float64), rel=1e-12)
        assert manifest.statistics[band].std == pytest.approx(taken[band].std(dtype=np.float64), rel=1e-9)
    assert list(manifest.label_counts["train"].values()) == train.labels.sum(axis=0).tolist()


def test_band_subset(archive: Path, ray_session: None, tmp_path: Path) -> None:
    manifest = run(archive, tmp_path / "out", bands="rgb-nir")
    assert manifest.band_names == ("B04", "B03", "B02", "B08")


def spoiled(archive: Path, folder: Path) -> tuple[Path, dict[str, str]]:
    """A copy of the archive with five patches spoiled in five ways, and the reason expected for each."""
    copy = Path(shutil.copytree(archive, folder / "archive"))
    patches = [copy / "BigEarthNet-S2" / place for place in archive_of(copy).rows["place"][:5]]
    (patches[0] / f"{patches[0].name}_B02.tif").unlink()
    cut = patches[1] / f"{patches[1].name}_B03.tif"
    cut.write_bytes(cut.read_bytes()[:2000])
    rewrite_band(patches[2] / f"{patches[2].name}_B04.tif", np.ones((60, 60), np.uint16))
    rewrite_band(patches[3] / f"{patches[3].name}_B08.tif", np.ones((120, 120), np.float32))
    for file in patches[4].glob("*.tif"):
        with rasterio.open(file) as source:
            shape = source.shape
        rewrite_band(file, np.zeros(shape, np.uint16))
    reasons = (
        "missing file: B02",
        "file is cut off: B03",
        "wrong size: B04",
        "wrong type: B08",
        "all pixels are empty",
    )
    return copy, {patch.name: reason for patch, reason in zip(patches, reasons, strict=True)}


def test_too_many_unreadable_patches_stop_the_job(archive: Path, ray_session: None, tmp_path: Path) -> None:
    copy, _ = spoiled(archive, tmp_path)
    for resume in (False, True):
        with pytest.raises(ArchiveError, match=r"--max-bad 0\.01"):
            run(copy, tmp_path / "out", resume=resume)
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_mended_patches_are_packed_on_resume(archive: Path, shards: Path, ray_session: None, tmp_path: Path) -> None:
    copy, expected = spoiled(archive, tmp_path)
    with pytest.raises(ArchiveError):
        run(copy, tmp_path / "out")
    for patch_id in expected:
        for file in copy.rglob(f"{patch_id}_B*.tif"):
            file.unlink()
        for file in archive.rglob(f"{patch_id}_B*.tif"):
            shutil.copy(file, copy / file.relative_to(archive))
    assert run(copy, tmp_path / "out", resume=True).splits == open_dataset(shards).splits


def test_folder_in_use_is_refused(archive: Path, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="already holds a dataset"):
        run(archive, shards)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ShardError, match="not empty"):
        run(archive, tmp_path)


def test_finished_ingest_is_not_done_again(archive: Path, shards: Path) -> None:
    assert run(archive, shards, resume=True).hash == open_dataset(shards).hash


def test_other_settings_are_no_resumption(archive: Path, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="holds another dataset"):
        run(archive, shards, resume=True, bands="rgb")
    assert not (shards / RECORDS).exists()
    copy, _ = spoiled(archive, tmp_path)
    with pytest.raises(ArchiveError):
        run(copy, tmp_path / "out")
    with pytest.raises(ShardError, match="had another source, settings or versions"):
        run(copy, tmp_path / "out", resume=True, seed=1)
    with pytest.raises(ShardError, match=r"folder is not empty\. Choose another, or go on with --resume"):
        run(copy, tmp_path / "out")


def test_one_that_packed_nothing_is_no_hindrance(archive: Path, shards: Path, tmp_path: Path) -> None:
    """As is left where Ray did not start, whatever was asked for then."""
    (tmp_path / "out" / RECORDS).mkdir(parents=True)
    (tmp_path / "out" / RECORDS / "plan.json").write_text("{}")
    assert run(archive, tmp_path / "out", bands="rgb", subset="20").splits


def test_resuming_takes_over_nothing_that_is_not_an_ingests(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ShardError, match="folder is not empty"):
        run(archive, tmp_path, resume=True)
    with pytest.raises(ShardError, match="not a folder"):
        run(archive, tmp_path / "note.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_subset_has_its_share_of_every_split(archive: Path, shards: Path, ray_session: None, tmp_path: Path) -> None:
    manifest, whole = run(archive, tmp_path / "out", subset="25%", bands="B09"), open_dataset(shards)
    assert sum(manifest.rows(split) for split in SPLITS) == 24
    for split in SPLITS:
        assert abs(manifest.rows(split) - whole.rows(split) / 4) < 1
    ids = {split: set(read_split(tmp_path / "out", split, ["B09"]).patch_ids) for split in SPLITS}
    assert all(ids[split] <= set(read_split(shards, split, ["B09"]).patch_ids) for split in SPLITS)
    assert manifest.settings["subset"] == "25%"


def test_own_data_is_packed_with_its_own_classes(ray_session: None, tmp_path: Path) -> None:
    """A file of another size than most is left out; a split of the table is kept, and one that lacks a class too."""
    source = tmp_path / "data"
    source.mkdir()
    pixels = np.random.default_rng(0).integers(1, 9000, (40, 3, 8, 8)).astype(np.uint16)
    for number, each in enumerate(pixels):
        (source / f"{number}.tif").write_bytes(geotiff(each if number else each[:, :7, :7], ("red", "green", "nir")))
    table = [f"{number}.tif,{'ash' if number % 4 else 'oak'},{SPLITS[number % 3]}" for number in range(40)]
    (source / "labels.csv").write_text("\n".join(["file,label,split", *table]))
    manifest = run(source, tmp_path / "out", max_bad=0.03)
    assert manifest.dropped == {"wrong size": ["0"]}
    assert (manifest.label_names, manifest.band_names) == (["ash", "oak"], ("B04", "B03", "B08"))
    assert {split: manifest.rows(split) for split in SPLITS} == {"train": 13, "validation": 13, "test": 13}
    train = read_split(tmp_path / "out", "train", ["B08"])
    for name, taken in zip(train.patch_ids, train.take(np.arange(13))["B08"], strict=True):
        np.testing.assert_array_equal(taken, pixels[int(name), 2])


def test_a_stream_that_is_given_up_has_ended_before_ray_is(ray_session: None) -> None:
    """Its threads are known by their names: under others they would not be waited for, and end the process."""
    import ray.data

    def parts() -> Generator[Any]:
        dataset = ray.data.range(64, override_num_blocks=64).map(lambda row: row)
        yield from dataset.iter_batches(batch_size=None, prefetch_batches=0)

    before = set(threading.enumerate())
    with closing(parts()) as stream:
        next(stream)
        at_work = set(threading.enumerate()) - before
    assert any(each.name.startswith("StreamingExecutor-") for each in at_work)
    assert let_streams_end()
    assert [each.name for each in at_work if each.is_alive()] in ([], ["Prefetcher"])
