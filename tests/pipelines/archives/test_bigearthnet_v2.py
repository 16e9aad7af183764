"""An archive's tables: what is left out is counted, what contradicts itself is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.archives.bigearthnet_v2 import IMAGES, METADATA, UNCLEAR
from pipelines.archives.catalogue import Catalogue
from pipelines.archives.detect import read_archive
from pipelines.errors import ArchiveError
from pipelines.settings import IngestSettings
from tests.pipelines.archives.archive_suite import check
from tests.pipelines.archives.v2_suite import FolderSuite


def read_catalogue(source: Path) -> Catalogue:
    return read_archive(IngestSettings(source=source, out="unused"))


@pytest.fixture
def tables(archive: Path, tmp_path: Path) -> Path:
    """The archive with tables that a test may spoil; the images are the same folder."""
    (tmp_path / IMAGES).symlink_to(archive / IMAGES)
    for name in (METADATA, UNCLEAR):
        shutil.copy(archive / name, tmp_path / name)
    return tmp_path


def spoil(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = folder / METADATA
    change(pd.read_parquet(path)).to_parquet(path)


def test_every_patch_is_packed_or_counted(archive: Path) -> None:
    catalogue = read_catalogue(archive)
    assert len(catalogue.rows) == 96
    assert set(catalogue.dropped) <= {"seasonal snow", "cloud or shadow"}
    folders = {path.name for path in (archive / IMAGES).glob("*/*")}
    assert folders == set(catalogue.rows["patch_id"]).union(*catalogue.dropped.values())


def test_real_archive(real_data: Path) -> None:
    catalogue = read_catalogue(real_data / "bigearthnet-v2")
    check(catalogue)
    assert len(catalogue.rows) == 17
    assert {reason: len(ids) for reason, ids in catalogue.dropped.items()} == {"cloud or shadow": 2, "seasonal snow": 3}


SPOILED: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "missing column": (lambda rows: rows.drop(columns="labels"), "column labels is missing"),
    "null split": (lambda rows: rows.assign(split=rows["split"].where(rows.index > 0)), "1 rows have empty cells"),
    "unknown split": (lambda rows: rows.assign(split="trian"), 'unknown split "trian". Did you mean "train"?'),
    "unknown label": (lambda rows: rows.assign(labels=[["Pasture"]] * len(rows)), 'unknown class "Pasture"'),
    "no label": (lambda rows: rows.assign(labels=[["Pastures"], *[[]] * (len(rows) - 1)]), "has no label"),
    "labels as text": (lambda rows: rows.assign(labels="Pastures"), "not lists of names"),
    "null label": (lambda rows: rows.assign(labels=[["Pastures", None]] * len(rows)), "a class name is null"),
    "null id": (lambda rows: rows.assign(patch_id=rows["patch_id"].where(rows.index > 1)), "2 rows have empty cells"),
    "ids as numbers": (lambda rows: rows.assign(patch_id=range(len(rows))), "patch_id is int64, not text"),
    "countries as numbers": (lambda rows: rows.assign(country=40), "country is int64, not text"),
    "flags as text": (lambda rows: rows.assign(contains_seasonal_snow="no"), "not true or false"),
    "no rows": (lambda rows: rows[:0], "labels are null, not lists"),
    "same patch twice": (lambda rows: pd.concat([rows, rows[:1].assign(split="test")]), "has two rows"),
}


@pytest.mark.parametrize("fault", SPOILED)
def test_spoiled_tables_are_refused(tables: Path, fault: str) -> None:
    change, said = SPOILED[fault]
    spoil(tables, change)
    with pytest.raises(ArchiveError) as caught:
        read_catalogue(tables)
    assert said in str(caught.value)


def test_broken_parquet_names_its_file(tables: Path) -> None:
    (tables / METADATA).write_bytes(b"PAR1 not really")
    with pytest.raises(ArchiveError, match=METADATA):
        read_catalogue(tables)


@settings(max_examples=150)
@given(at=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255), cut=st.booleans())
def test_any_damage_to_a_parquet_is_refused_or_does_not_matter(
    archive: Path, tables: Path, at: float, bits: int, cut: bool
) -> None:
    data = (archive / METADATA).read_bytes()
    place = int(at * len(data))
    (tables / METADATA).write_bytes(data[:place] + (b"" if cut else bytes([data[place] ^ bits]) + data[place + 1 :]))
    try:
        assert len(read_catalogue(tables)) > 0
        assert not cut
    except ArchiveError as error:
        assert str(tables) in error.where


def test_broken_list_of_what_is_unclear_names_its_file(tables: Path) -> None:
    (tables / UNCLEAR).write_bytes((tables / UNCLEAR).read_bytes()[:-3])
    with pytest.raises(ArchiveError, match=UNCLEAR):
        read_catalogue(tables)


def test_patches_that_both_tables_call_unclear_are_counted_once(archive: Path, tables: Path) -> None:
    first, second = pd.read_parquet(tables / METADATA)["patch_id"][:2]
    listed = pd.read_parquet(tables / UNCLEAR)
    spoil(tables, lambda rows: rows.assign(contains_seasonal_snow=rows["patch_id"] == first))
    more = listed[:1].assign(contains_seasonal_snow=False, contains_cloud_or_shadow=[None])
    pd.concat([listed, *(more.assign(patch_id=patch) for patch in (first, second))]).to_parquet(tables / UNCLEAR)
    catalogue = read_catalogue(tables)
    assert first in catalogue.dropped["seasonal snow"]
    assert catalogue.dropped["snow, cloud or shadow"] == [second]
    assert sum(map(len, catalogue.dropped.values())) == len(listed) + 2
    assert len(catalogue) == 94


def test_what_pandas_left_in_a_table_does_not_matter(tables: Path) -> None:
    before = read_catalogue(tables)
    path = tables / METADATA
    pq.write_table(pq.read_table(path).replace_schema_metadata({"pandas": '{"columns":'}), path)
    assert read_catalogue(tables).rows.equals(before.rows)


def test_columns_of_other_text_types_are_taken(tables: Path) -> None:
    before = read_catalogue(tables)
    spoil(tables, lambda rows: rows.astype({"split": "category", "country": "category", "patch_id": "object"}))
    after = read_catalogue(tables)
    pd.testing.assert_frame_equal(after.rows, before.rows)
    np.testing.assert_array_equal(after.labels, before.labels)


class TestFolder(FolderSuite):
    pass
