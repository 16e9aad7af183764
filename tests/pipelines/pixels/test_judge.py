"""Numbers are judged by what a model was trained on: the patch as a whole, and not band by band."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.bands import ALL_BANDS, EUROSAT_ORDER, LEVEL_1C
from pipelines.errors import PatchError
from pipelines.pixels.judge import judge
from pipelines.pixels.meaning import QUANTILES, Known, Line
from pipelines.pixels.patch import read_stack
from pipelines.pixels.raster import read_raster
from tests.doors.uploads import KNOWN, LEVELS


def quantiles_of(numbers: NDArray[Any]) -> dict[str, float]:
    return dict(zip(QUANTILES, np.quantile(numbers, list(QUANTILES.values())).tolist(), strict=True))


SURFACES: dict[str, Mapping[str, float]] = {
    "land": LEVELS,
    "water": {band: 300 * 0.7**place for place, band in enumerate(ALL_BANDS)},
    "snow": {band: max(9000 - 800 * place, 300) for place, band in enumerate(ALL_BANDS)},
    "cloud": {band: 6000 + 500 * (place % 3) for place, band in enumerate(ALL_BANDS)},
    "desert": {band: 1200 + 350 * place for place, band in enumerate(ALL_BANDS)},
}


def patch_of(levels: Mapping[str, float], factor: float = 1, shift: float = 0) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(0)
    return {
        band: (factor * level * random.uniform(0.8, 1.2, (24, 24)) + shift).astype(np.float32)
        for band, level in levels.items()
    }


@pytest.mark.parametrize("surface", SURFACES)
def test_no_surface_of_the_earth_is_refused(surface: str) -> None:
    judge(patch_of(SURFACES[surface]), KNOWN)


@pytest.mark.parametrize("surface", ["snow", "cloud"])
def test_what_is_bright_in_all_of_a_few_bands_is_no_other_scale(surface: str) -> None:
    visible = {band: SURFACES[surface][band] for band in ("B04", "B03", "B02")}
    assert judge(patch_of(visible), {band: KNOWN[band] for band in visible})


def test_ordinary_land_is_not_odd() -> None:
    assert judge(patch_of(LEVELS), KNOWN) == []


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1e-4, "reflectance from 0 to 1"),
        (1e-2, "percent"),
        (0.0255, "8 bits"),
        (4.0, "times too large"),
        (0.1, "times too small"),
    ],
)
def test_another_scale_is_refused_with_the_factor(factor: float, said: str) -> None:
    with pytest.raises(PatchError) as caught:
        judge(patch_of(LEVELS, factor), KNOWN)
    assert said in str(caught.value)
    assert "the model was trained on numbers around 1,550" in str(caught.value)


def test_radar_and_landsat_are_refused() -> None:
    with pytest.raises(PatchError, match="around -12"):
        judge(patch_of(dict.fromkeys(ALL_BANDS, -12.0)), KNOWN)
    said = (
        r"they seem to be surface reflectance of Landsat's Collection 2\. Declare scale 2\.75e-05 and offset -0\.2 in"
    )
    with pytest.raises(PatchError, match=said):
        judge(patch_of(LEVELS, 1e-4 / 2.75e-5, 0.2 / 2.75e-5), KNOWN)


WAYS = {
    "reflectance from 0 to 1": Line(),
    "percent": Line(0.01),
    "reflectance × 10,000": Line(1e-4),
    "surface reflectance of Landsat's Collection 2": Line(2.75e-5, -0.2),
}
MENDED = {
    ("reflectance × 10,000", "percent"): "Multiply them by 100, or declare scale 0.01 in the file.",
    ("reflectance × 10,000", "reflectance from 0 to 1"): "Multiply them by 10,000.",
    ("reflectance from 0 to 1", "reflectance × 10,000"): "Divide them by 10,000, or declare scale 0.0001 in the file.",
    ("reflectance from 0 to 1", "percent"): "Divide them by 100, or declare scale 0.01 in the file.",
    ("surface reflectance of Landsat's Collection 2", "reflectance × 10,000"): "Declare scale 0.0001 in the file.",
    (
        "surface reflectance of Landsat's Collection 2",
        "reflectance from 0 to 1",
    ): "Make them (number + 0.2) / 2.75e-05.",
}


@pytest.mark.parametrize(("mine", "theirs"), [(mine, theirs) for mine in WAYS for theirs in WAYS if mine != theirs])
def test_reflectance_as_another_writes_it_is_refused_with_the_way(mine: str, theirs: str) -> None:
    line, other = WAYS[mine], WAYS[theirs]
    numbers = {"unit": "reflectance", "scale": line.scale, "offset": line.offset}
    known = {
        band: Known.parse({**numbers, "quantiles": {name: (number * 1e-4 - line.offset) / line.scale
                                                   for name, number in each.quantiles.items()}})
        for band, each in KNOWN.items()
    }  # fmt: skip
    with pytest.raises(PatchError) as caught:
        judge(patch_of(LEVELS, 1e-4 / other.scale, -other.offset / other.scale), known)
    assert f": they seem to be {theirs}. " in str(caught.value)
    assert MENDED.get((mine, theirs), "") in str(caught.value)


def test_one_dark_band_is_no_other_scale() -> None:
    pixels = patch_of(LEVELS)
    pixels["B09"] = np.full((24, 24), 2, np.float32)
    judge(pixels, KNOWN)


def test_a_band_that_is_called_by_anothers_name_is_said() -> None:
    pixels = patch_of(LEVELS)
    pixels["B01"] = pixels["B09"] * 4
    (note,) = judge(pixels, KNOWN)
    assert note == "B01 lies far beyond all that the model was trained on; are the bands named in the right order?"


def test_real_eurosat_in_another_order_is_said(real_data: Path) -> None:
    """Named as a Level-1C product has them, where its tool writes B8A last: B10 is then another band."""
    whole = [read_raster(path.read_bytes()).pixels for path in sorted((real_data / "eurosat-ms").glob("*/*5.tif"))]
    stack = np.stack(whole).astype(np.float64)
    known = {
        band: Known(scale=1e-4, unit="reflectance", quantiles=quantiles_of(stack[:, place]))
        for place, band in enumerate(EUROSAT_ORDER)
    }
    right, wrong = ([judge(dict(zip(names, patch, strict=True)), known) for patch in whole]
                    for names in (EUROSAT_ORDER, LEVEL_1C))  # fmt: skip
    assert sum(map(bool, right)) < len(whole) / 50
    said = [any("B10" in note and "right order" in note for note in notes) for notes in wrong]
    assert sum(said) > 0.9 * len(whole)


def test_an_offset_that_was_left_on_is_said() -> None:
    (note,) = judge(patch_of(LEVELS, 0.3, 1000), KNOWN)
    assert "baseline 04.00" in note


def test_bright_pixels_are_said() -> None:
    pixels = patch_of(LEVELS)
    pixels["B04"][:2] = 18_000
    assert judge(pixels, KNOWN) == ["B04 has pixels of 1.8 reflectance: cloud, snow or an error?"]


@given(st.floats(0.7, 1.4), st.integers(0, 143))
def test_holes_change_nothing(factor: float, holes: int) -> None:
    pixels = patch_of(LEVELS, factor)
    for array in pixels.values():
        array.flat[:holes] = np.nan
    assert judge(pixels, KNOWN) == []


def test_numbers_of_no_unit_are_judged_by_what_they_were() -> None:
    known = {"VV": Known(quantiles=dict(zip(QUANTILES, (-30.0, -25.0, -11.0, -4.0, 0.0), strict=True)))}
    assert judge({"VV": np.full((4, 4), -12, np.float32)}, known) == []
    with pytest.raises(PatchError, match=r"around 1,200"):
        judge({"VV": np.full((4, 4), 1200, np.float32)}, known)


def test_real_stacks_are_taken_as_they_are(real_data: Path) -> None:
    for path in sorted(real_data.glob("stacks*/*.tif")):
        assert read_stack(path.read_bytes(), size=120, known=KNOWN).nodata == 0
