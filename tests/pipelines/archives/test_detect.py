"""Any archive is told by what lies in it, and split, thinned and ordered by the settings alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.archives.bigearthnet_v2 import IMAGES, METADATA
from pipelines.archives.catalogue import SPLITS, Catalogue
from pipelines.archives.detect import read_archive
from pipelines.archives.labelled import TABLE
from pipelines.errors import ArchiveError, BandError, SettingsError
from pipelines.location import locate
from pipelines.settings import IngestSettings
from tests.fakes import geotiff

CLASSES = ("ash", "beech", "oak", "pine")
FILES = 240


def read_catalogue(source: Path | str, **more: object) -> Catalogue:
    return read_archive(IngestSettings.parse({"source": source, "out": "unused", **more}))


def facts_of(catalogue: Catalogue) -> list[tuple[str, str, list[int]]]:
    """What is packed, in order: each patch's id, split and labels."""
    rows = catalogue.rows
    return list(zip(rows["patch_id"], rows["split"], catalogue.labels.tolist(), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without a split: 240 files of four classes, of which the rarest has 12."""
    folder = tmp_path_factory.mktemp("folder")
    data = geotiff(np.ones((1, 4, 4), np.uint16), ("red",))
    rows = [(f"{number:03d}.tif", CLASSES[min(number // 76, 3)]) for number in range(FILES)]
    for name, _ in rows:
        (folder / name).write_bytes(data)
    pd.DataFrame(rows, columns=["file", "label"]).to_csv(folder / TABLE, index=False)
    return folder


def shuffled(folder: Path, copy: Path) -> Path:
    """The same files under a table in another order."""
    copy.mkdir()
    for file in folder.glob("*.tif"):
        (copy / file.name).symlink_to(file)
    pd.read_csv(folder / TABLE).sample(frac=1, random_state=5).to_csv(copy / TABLE, index=False)
    return copy


@pytest.mark.parametrize(
    ("kind", "rows", "dropped", "classes"),
    [
        ("bigearthnet-v2", 17, 5, 19),
        ("bigearthnet-v1", 62, 0, 19),
        ("stacks", 5, 0, 19),
        ("eurosat-ms", 700, 0, 10),
    ],
)
def test_every_kind_of_real_archive_is_told(real_data: Path, kind: str, rows: int, dropped: int, classes: int) -> None:
    more = {"names": ",".join(f"band{number}" for number in range(13))} if kind == "eurosat-ms" else {}
    catalogue = read_catalogue(real_data / kind, **more)
    assert (len(catalogue), sum(map(len, catalogue.dropped.values()))) == (rows, dropped)
    assert catalogue.labels.shape == (rows, classes) == (rows, len(catalogue.label_names))
    assert set(catalogue.rows["split"]) <= set(SPLITS)
    assert catalogue.rows["patch_id"].is_unique


def test_the_archives_own_split_is_kept_unless_another_is_asked_for(archive: Path) -> None:
    table = pd.read_parquet(archive / METADATA).set_index("patch_id")["split"].to_dict()

    def split_of(split: str) -> dict[str, str]:
        rows = read_catalogue(archive, split=split).rows
        return dict(zip(rows["patch_id"], rows["split"], strict=True))

    assert split_of("auto") == split_of("official") == table
    dealt = split_of("balanced")
    assert dealt.keys() == table.keys()
    assert dealt != table
    assert pd.Series(dealt).value_counts().to_dict() == {"train": 67, "validation": 15, "test": 14}


def test_a_folder_without_a_split_is_dealt_one(folder: Path) -> None:
    catalogue = read_catalogue(folder)
    assert catalogue.rows["split"].value_counts().to_dict() == {"train": 168, "validation": 36, "test": 36}
    for split in SPLITS:
        share = (catalogue.rows["split"] == split).mean()
        counts = catalogue.labels[catalogue.rows["split"] == split].sum(axis=0)
        assert (abs(counts - share * catalogue.labels.sum(axis=0)) < 1).all()
    assert facts_of(read_catalogue(folder, split="balanced")) == facts_of(catalogue)
    with pytest.raises(SettingsError, match=r"no split of its own\. Use --split balanced"):
        read_catalogue(folder, split="official")


@pytest.mark.parametrize(("subset", "size"), [("10%", 24), ("0.5%", 1), ("33", 33), ("100%", FILES), ("240", FILES)])
def test_a_subset_has_the_size_that_was_asked_for(folder: Path, subset: str, size: int) -> None:
    whole, part = read_catalogue(folder), read_catalogue(folder, subset=subset)
    assert len(part) == size
    splits = dict(zip(whole.rows["patch_id"], whole.rows["split"], strict=True))
    assert all(splits[patch_id] == split for patch_id, split, _ in facts_of(part))
    assert part.label_names == whole.label_names
    if size >= 24:
        assert part.labels.any(axis=0).all()
    assert part.others == frozenset(whole.rows["patch_id"]) - frozenset(part.rows["patch_id"])
    assert part.dropped == whole.dropped == {}


@pytest.mark.parametrize("subset", ["0", "0%", "241", "101%", "half", "-3", "", "1e2"])
def test_a_subset_that_there_is_not_is_refused(folder: Path, subset: str) -> None:
    with pytest.raises(SettingsError):
        read_catalogue(folder, subset=subset)


def archive_shuffled(archive: Path, copy: Path) -> Path:
    """The same images under a table in another order."""
    copy.mkdir()
    (copy / IMAGES).symlink_to(archive / IMAGES)
    for path in archive.glob("*.parquet"):
        shutil.copy(path, copy / path.name)
    rows = pd.read_parquet(archive / METADATA)
    rows.sample(frac=1, random_state=5).reset_index(drop=True).to_parquet(copy / METADATA)
    return copy


CHOICES = [{}, {"subset": "20%"}, {"split": "balanced"}, {"split": "balanced", "subset": "30"}]


@pytest.mark.parametrize("choice", CHOICES)
def test_one_seed_gives_one_order_whatever_the_order_of_the_table(
    folder: Path, archive: Path, tmp_path: Path, choice: dict[str, str]
) -> None:
    others = {folder: shuffled(folder, tmp_path / "folder"), archive: archive_shuffled(archive, tmp_path / "archive")}
    for source, other in others.items():
        first = facts_of(read_catalogue(source, **choice))
        assert first == facts_of(read_catalogue(source, **choice)) == facts_of(read_catalogue(other, **choice))
        again = facts_of(read_catalogue(source, seed=1, **choice))
        assert again != first
        if not choice and source is archive:
            assert sorted(again) == sorted(first)


def test_patches_are_packed_in_no_order_of_theirs(folder: Path) -> None:
    """A run of rows is a fair sample: classes do not come one after the other, as they do in the table."""
    rows = read_catalogue(folder)
    assert len({labels.argmax() for labels in rows.labels[:20]}) > 2


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / "folder").mkdir(parents=True)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "up").symlink_to(tmp_path / "loop")
    (tmp_path / "loop" / "self").symlink_to(tmp_path / "loop" / "self")
    for name, said in {
        "absent": "absent: no such folder",
        "file": "file: not a folder",
        "empty": "empty: no archive here",
        "other": "other: no archive here",
        "loop": "loop: no archive here",
    }.items():
        with pytest.raises(ArchiveError, match=said):
            read_catalogue(tmp_path / name)


def test_links_that_run_in_circles_are_counted_and_not_followed(real_data: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(real_data / "bigearthnet-v2", tmp_path / "archive"))
    whole = read_catalogue(source)
    (source / IMAGES / "up").symlink_to(source)
    tile = next(path for path in (source / IMAGES).iterdir() if path.is_dir())
    (tile / "self").symlink_to(tile / "self")
    (tile / "tile").symlink_to(tile)
    looped = read_catalogue(source)
    assert facts_of(looped) == facts_of(whole)
    assert looped.dropped["no metadata row"] == sorted([IMAGES, "tile"])


@pytest.mark.parametrize("bands", ["B04,B8", "", "B04,B04", "rgb,B08", "B10"])
def test_bands_that_are_not_there_are_refused(archive: Path, bands: str) -> None:
    with pytest.raises(BandError):
        read_catalogue(archive, bands=bands)


def test_file_urls_are_paths(archive: Path) -> None:
    assert locate(f"file://{archive}") == archive.resolve()
    assert facts_of(read_catalogue(f"file://{archive}")) == facts_of(read_catalogue(archive))


def test_unknown_kinds_of_addresses_are_refused() -> None:
    with pytest.raises(SettingsError, match="nosuch:// addresses cannot be read here"):
        read_catalogue("nosuch://bucket/archive")


def test_s3_without_its_client_says_what_to_install() -> None:
    """In a process of its own, in which s3fs cannot be imported."""
    program = "import sys; sys.modules['s3fs'] = None; import landsweep; landsweep.main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "data", "check", "s3://bucket/shards"],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "For s3:// install landsweep[s3]." in ended.stderr
    assert "Traceback" not in ended.stderr
