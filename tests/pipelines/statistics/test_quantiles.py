"""The quantiles that uploads are held against are those of the numbers that were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.dataset.manifest import BandColumn, open_dataset
from pipelines.dataset.part_file import decode_columns, open_part, sample_columns, write_part
from pipelines.pixels.meaning import KINDS, QUANTILES, Encoding, Kind
from pipelines.statistics.quantiles import sample_quantiles
from tests.fakes import rows_made_up, write_dataset

SHARES = list(QUANTILES.values())


def test_of_a_small_split_they_are_exact(tmp_path: Path) -> None:
    sizes = {"A": 8, "B": 3}
    dataset = open_dataset(write_dataset(tmp_path, 150, sizes=sizes))
    found = sample_quantiles(tmp_path, dataset.parts("train"), dataset.bands)
    written = rows_made_up(150, sizes)
    assert found.keys() == sizes.keys()
    for band, quantiles in found.items():
        assert list(quantiles) == list(QUANTILES)
        np.testing.assert_allclose(list(quantiles.values()), np.quantile(written[band].astype(float), SHARES))


@pytest.mark.parametrize("kind", KINDS)
def test_of_every_type_and_without_what_is_no_data(kind: Kind, tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(100, 40, (70, 5, 5)).clip(2, 250).astype(kind)
    numbers[::3, 1:3] = np.nan if kind == "float32" else 1
    column = BandColumn(name="A", size=5, numbers=Encoding(dtype=kind, nodata=None if kind == "float32" else 1))
    columns: dict[str, Any] = dict.fromkeys(("patch_id", "country", "crs"), [""] * 70)
    columns |= dict.fromkeys(("x", "y", "nodata"), [0.0] * 70) | {"labels": np.ones((70, 1), np.uint8)}
    part = write_part(tmp_path, "train/part-00000.parquet", columns, {"A": numbers})
    found = sample_quantiles(tmp_path, [part], [column])["A"]
    there = numbers[~np.isnan(numbers)] if kind == "float32" else numbers[numbers != 1]
    np.testing.assert_allclose(list(found.values()), np.quantile(there.astype(float), SHARES), rtol=1e-6)


def test_a_sample_is_every_so_manieth_number_of_all_that_is_read(tmp_path: Path) -> None:
    dataset = open_dataset(write_dataset(tmp_path, 60, sizes={"A": 8, "B": 3}))
    columns = {band.name: band for band in dataset.bands}
    table = open_part(tmp_path, dataset.parts("train")[0]).read(list(columns), 0)
    whole = {name: array.reshape(-1) for name, array in decode_columns(table, columns).items()}
    found = sample_columns(table, columns, 600)
    np.testing.assert_array_equal(found["A"], whole["A"][::7])  # of 3,840, each sixth made odd
    np.testing.assert_array_equal(found["B"], whole["B"])
