"""What the numbers of one's own files are, found out from some of them, and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.archives.catalogue import Catalogue
from pipelines.archives.detect import read_archive
from pipelines.errors import SettingsError
from pipelines.pixels.meaning import Encoding
from pipelines.settings import IngestSettings
from tests.fakes import geotiff

BANDS = ("B02", "B03", "B04")


def catalogue_of(folder: Path, files: list[dict[str, Any]], dtype: str = "uint16", **settings: object) -> Catalogue:
    """Of files whose pixels lie around a level each, and which declare what is given with it."""
    random = np.random.default_rng(0)
    rows = ["file,label"]
    for number, made in enumerate(files):
        level = made.pop("level", 900)
        pixels = level * random.uniform(0.8, 1.2, (3, 16, 16))
        pixels = pixels.astype(dtype) if dtype.startswith("float") else np.rint(pixels).astype(dtype)
        (folder / f"{number}.tif").write_bytes(geotiff(pixels, BANDS, **made))
        rows.append(f"{number}.tif,{'ab'[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    return read_archive(IngestSettings.parse({"source": folder, "out": "unused", **settings}))


def numbers_of(catalogue: Catalogue) -> Encoding:
    (found,) = {band.numbers for band in catalogue.layout.bands}
    return found


def told(catalogue: Catalogue, said: str) -> bool:
    return any(said in note for note in catalogue.notes)


NEWER = {"scales": (1e-4,) * 3, "offsets": (-0.1,) * 3}


def test_what_all_files_declare_is_the_datasets(tmp_path: Path) -> None:
    found = catalogue_of(tmp_path, [{"level": 1900, **NEWER} for _ in range(6)])
    assert numbers_of(found) == Encoding(scale=1e-4, offset=-0.1, unit="reflectance")
    assert not found.layout.undeclared, "one that declares nothing is left out"


def test_what_is_told_goes_for_files_that_say_nothing(tmp_path: Path) -> None:
    more = {"scale": 0.01, "offset": -3.0, "unit": "percent", "nodata": 0}
    found = catalogue_of(tmp_path, [{} for _ in range(6)], **more)
    assert numbers_of(found) == Encoding(scale=0.01, offset=-3, unit="percent", nodata=0)
    assert not told(found, "are taken for reflectance")


def test_a_number_for_no_data_must_be_one_of_the_type(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="-1 is no number of uint16"):
        catalogue_of(tmp_path, [{} for _ in range(6)], nodata=-1)


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (3000, "processing baseline 04.00; if so, tell it with --scale 0.0001 --offset -0.1"),
        (11_000, "Landsat's Collection 2; if so, tell it with --scale 0.0000275 --offset -0.2"),
    ],
)
def test_an_offset_is_suspected_where_it_shows(tmp_path: Path, level: int, said: str) -> None:
    found = catalogue_of(tmp_path, [{"level": level} for _ in range(6)])
    assert told(found, said)


def test_numbers_with_dark_pixels_are_not_suspected(tmp_path: Path) -> None:
    found = catalogue_of(tmp_path, [{"level": 900} for _ in range(6)])
    assert told(found, "are taken for reflectance × 10,000")
    assert not told(found, "offset")


def test_decibels_keep_their_unit_to_themselves(tmp_path: Path) -> None:
    found = catalogue_of(tmp_path, [{"level": -12.0} for _ in range(6)], "float32", unit="dB")
    assert numbers_of(found) == Encoding(dtype="float32", unit="dB")
