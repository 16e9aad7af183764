"""Band sets by name and by list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.bands import ALL_BANDS, BAND_SETS, SENTINEL2, parse_bands
from pipelines.errors import BandError


def test_named_sets_have_the_documented_channels() -> None:
    assert len(parse_bands("all")) == 12
    assert len(parse_bands("all-imp")) == 10
    assert parse_bands("rgb") == ("B04", "B03", "B02")
    assert parse_bands("rgb-nir-swir") == ("B04", "B03", "B02", "B08", "B11", "B12")
    assert {SENTINEL2[band].size for band in ALL_BANDS} == {120, 60, 20}


@given(st.permutations(ALL_BANDS), st.integers(1, 12))
def test_order_given_is_order_used(bands: list[str], count: int) -> None:
    assert parse_bands(",".join(bands[:count])) == tuple(bands[:count])


def test_all_means_what_the_dataset_has() -> None:
    assert parse_bands("all", ("red", "green")) == ("red", "green")


@pytest.mark.parametrize(
    ("spec", "said"),
    [("B04,B8B", 'Did you mean "B8A"?'), ("RGB!", "Band sets: all"), ("", "no band given"), ("B04,B04", "given twice")],
)
def test_wrong_bands_are_named(spec: str, said: str) -> None:
    with pytest.raises(BandError) as caught:
        parse_bands(spec)
    assert said in str(caught.value)


def test_a_set_must_be_in_the_dataset() -> None:
    assert all(parse_bands(name) for name in BAND_SETS)
    with pytest.raises(BandError, match="B04"):
        parse_bands("rgb", ("B02", "B03"))
