"""Numbers that people brought: each script of ../shared/cases makes some and says what is right, and that is what is
packed, and answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.bundle.config import read_config
from pipelines.dataset.manifest import Manifest
from pipelines.errors import ArchiveError, PatchError
from pipelines.packing.ingest import ingest
from pipelines.pixels.patch import Patch, read_stack
from pipelines.settings import IngestSettings
from serve.predictor import Predictor
from tests.cases.conftest import Make
from tests.fakes import write_fresh_bundle


def pack(source: Path, out: Path, **more: object) -> Manifest:
    return ingest(IngestSettings.parse({"source": source, "out": out, **more}))


def numbers_of(manifest: Manifest, band: str = "B01") -> tuple[str, float, float, str, float | None]:
    found = manifest.column(band).numbers
    return found.dtype, found.scale, found.offset, found.unit, found.nodata


def test_p40_reflectance_from_0_to_1_is_packed_as_it_is(make: Make, tmp_path: Path) -> None:
    manifest = pack(make("p40"), tmp_path / "shards")
    assert numbers_of(manifest) == ("float32", 1, 0, "reflectance", None)
    assert manifest.statistics["B01"].mean == pytest.approx(0.09, rel=0.1)


def test_p41_the_offset_of_half_of_the_files_comes_off(make: Make, tmp_path: Path) -> None:
    manifest = pack(make("p41"), tmp_path / "shards")
    assert numbers_of(manifest) == ("float32", 1e-4, 0, "reflectance", None)
    assert manifest.statistics["B01"].mean == pytest.approx(900, rel=0.05)
    assert sum(manifest.notes.values()) == 20
    told = manifest.settings["notes"]
    assert any("10 of 20 files looked at declare scale 0.0001 and offset -0.1" in note for note in told)
    assert any("10 of 20 files looked at declare no scale" in note for note in told)


def test_p42_a_negative_number_for_no_data_is_a_hole(make: Make, tmp_path: Path) -> None:
    manifest = pack(make("p42"), tmp_path / "shards")
    assert numbers_of(manifest) == ("int16", 1e-4, 0, "reflectance", -9999)
    assert manifest.statistics["B01"].mean == pytest.approx(900, rel=0.1)
    assert manifest.dropped == {}


def test_p43_what_is_declared_to_be_no_data_is_in_no_mean(make: Make, tmp_path: Path) -> None:
    source = make("p43")
    with pytest.raises(ArchiveError, match="more without data than --max-nodata: 20"):
        pack(source, tmp_path / "none")
    manifest = pack(source, tmp_path / "shards", max_nodata=0.5)
    assert numbers_of(manifest) == ("uint16", 1e-4, 0, "reflectance", 65_535)
    assert manifest.statistics["B01"].mean == pytest.approx(900, rel=0.1)
    assert manifest.statistics["B01"].quantiles["99.9"] < 1_600


def test_p45_nan_is_a_hole(make: Make, tmp_path: Path) -> None:
    manifest = pack(make("p45"), tmp_path / "shards")
    assert numbers_of(manifest)[0] == "float32"
    assert manifest.statistics["B01"].mean == pytest.approx(900, rel=0.1)


def test_p46_the_same_numbers_in_any_form_are_the_same(make: Make, tmp_path: Path) -> None:
    manifest = pack(make("p46"), tmp_path / "shards")
    assert manifest.dropped == {}
    assert numbers_of(manifest)[0] == "uint16"
    assert manifest.notes == {"float64, stored as float32": 1}


def test_p48_pictures_of_8_bits_that_are_packed_can_be_sent(make: Make, tmp_path: Path) -> None:
    source = make("p48")
    manifest = pack(source, tmp_path / "shards")
    assert numbers_of(manifest, "B04")[0] == "uint8"
    bundle = write_fresh_bundle(tmp_path / "bundle", tmp_path / "shards", bands="all", seed=0)
    assert sent(bundle, source / "Forest_0.tif").warnings == ()


def sent(bundle: Path, file: Path, names: tuple[str, ...] | None = None) -> Patch:
    """What the endpoint makes of a file for a model."""
    config = read_config(bundle)
    return read_stack(
        file.read_bytes(),
        wanted=config.bands,
        size=config.image_size,
        names=names,
        known=config.known(),
        max_nodata=config.max_nodata,
    )


@pytest.fixture
def model(make: Make, tmp_path: Path) -> Path:
    """The model that the h-cases ask."""
    pack(make("h00"), tmp_path / "shards")
    return write_fresh_bundle(tmp_path / "bundle", tmp_path / "shards", bands="all", seed=0)


SAME = (
    "plain", "unnamed", "shuffled", "gee_names", "long_names", "lower", "b08a", "int16", "uint32", "int32", "float32",
    "float64", "scl", "eurosat13_named", "cog", "nbits15", "bigendian", "zstd", "lerc", "no_place", "offset_tag",
)  # fmt: skip
REFUSED = {
    "uint8": "40|8 bits", "reflectance": "reflectance from 0 to 1", "percent": "percent", "byte_range": "8 bits",
    "scl_unnamed": "13 bands", "eurosat13": "13 bands", "nodata0": "62% of the patch is no data",
    "size33": "33×33", "size64": "64×64", "scene": "1098×1098",
}  # fmt: skip
TOLD = {"nan": "2% of the patch", "minus9999": "2% of the patch", "nodata65535": "2% of the patch"}


def test_h01_one_patch_in_every_form_gets_one_answer_or_a_clear_refusal(
    make: Make, model: Path, tmp_path: Path
) -> None:
    folder = make("h01")
    predictor = Predictor(model, device="cpu", threads=1)
    expected = predictor.predict([sent(model, folder / "plain.tif")])
    for name in SAME:
        assert predictor.predict([sent(model, folder / f"{name}.tif")]) == expected, name
    for name, said in REFUSED.items():
        with pytest.raises(PatchError, match=said):
            sent(model, folder / f"{name}.tif")
    for name, said in TOLD.items():
        found = sent(model, folder / f"{name}.tif")
        assert any(said in note for note in found.warnings), name
        assert np.isnan(found.pixels["B01"][:4, :4]).all(), name
    for kind in ("dark_band_float", "dark_band_uint16"):
        assert sent(model, folder / f"{kind}.tif").pixels["B09"].max() == 2


def test_h03_the_same_reflectance_gets_the_same_answer_twice(make: Make, model: Path) -> None:
    folder = make("h03")
    predictor = Predictor(model, device="cpu", threads=1)
    old, new = (predictor.predict([sent(model, folder / f"{name}.tif")]) for name in ("old", "new"))
    assert old == new
