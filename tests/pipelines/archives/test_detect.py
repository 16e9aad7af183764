"""Any archive is told by what lies in it, and split, thinned and ordered by the settings alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.archives.catalogue import SPLITS, Catalogue
from pipelines.archives.detect import read_archive
from pipelines.errors import ArchiveError, BandError, SettingsError
from pipelines.location import locate
from pipelines.settings import IngestSettings
from pipelines.tables.csv_cells import TABLE
from tests.fakes import geotiff
from tests.pipelines.archives.archive_suite import facts_of

CLASSES = ("ash", "beech", "oak", "pine")
FILES = 240


def read_catalogue(source: Path | str, **more: object) -> Catalogue:
    return read_archive(IngestSettings.parse({"source": source, "out": "unused", **more}))


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


def test_a_folder_without_a_split_is_dealt_one(folder: Path) -> None:
    catalogue = read_catalogue(folder)
    assert catalogue.rows["split"].value_counts().to_dict() == {"train": 168, "validation": 36, "test": 36}
    for split in SPLITS:
        share = (catalogue.rows["split"] == split).mean()
        counts = catalogue.labels[catalogue.rows["split"] == split].sum(axis=0)
        assert (abs(counts - share * catalogue.labels.sum(axis=0)) < 1).all()
    assert facts_of(read_catalogue(folder, split="balanced")) == facts_of(catalogue)


@pytest.mark.parametrize("subset", ["0", "0%", "241", "101%", "half", "-3", "", "1e2"])
def test_a_subset_that_there_is_not_is_refused(folder: Path, subset: str) -> None:
    with pytest.raises(SettingsError):
        read_catalogue(folder, subset=subset)


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


@pytest.mark.parametrize("bands", ["B04,B13", "", "B04,B04", "rgb,B08", "B10"])
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
