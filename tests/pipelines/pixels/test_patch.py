"""Uploads: every right form is read, every wrong one refused with its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.bands import ALL_BANDS, SENTINEL2, parse_bands
from pipelines.errors import LandsweepError, PatchError
from pipelines.pixels.patch import Patch, read_stack, write_stack
from pipelines.pixels.tiff_header import Limits
from tests.doors.uploads import KNOWN, MAX_BYTES, SIZE, Door, DoorTests, Question, Upload
from tests.fakes import geotiff, stack


def test_named_bands_are_picked_by_name() -> None:
    shuffled = tuple(reversed(ALL_BANDS))
    pixels = np.arange(1, 13, dtype=np.uint16)[:, None, None] * np.ones((1, 120, 120), np.uint16)
    patch = read_stack(geotiff(pixels, shuffled), wanted=parse_bands("rgb"))
    assert [int(patch.pixels[band][0, 0]) for band in ("B04", "B03", "B02")] == [9, 10, 11]
    assert patch.crs == "EPSG:32633"
    assert patch.bounds == (300000, 4998800, 301200, 5000000)


def test_unnamed_stack_of_twelve_is_taken_with_a_warning() -> None:
    patch = read_stack(stack(named=False))
    assert tuple(patch.pixels) == ALL_BANDS
    assert "does not name its bands" in patch.warnings[0]


def test_names_can_be_given() -> None:
    patch = read_stack(stack(("B04", "B03"), named=False), wanted=("B03",), names=("B04", "B03"))
    assert tuple(patch.pixels) == ("B03",)
    assert patch.warnings == ()


def test_extra_named_bands_are_dropped_with_a_warning() -> None:
    patch = read_stack(stack((*ALL_BANDS, "B10")))
    assert patch.warnings == ("bands B10 were not used",)
    assert read_stack(stack((*ALL_BANDS, "no\nband"))).warnings == (r"bands no\nband were not used",)


@pytest.mark.parametrize(
    "options", [{}, {"compress": "lzw"}, {"compress": "zstd", "tiled": True, "blockxsize": 64, "blockysize": 64}]
)
@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "uint32", "float32", "float64"])
def test_any_lossless_form_gives_the_same_pixels(options: dict[str, object], dtype: str) -> None:
    plain, other = read_stack(stack()), read_stack(stack(dtype=dtype, **options))
    for band in ALL_BANDS:
        np.testing.assert_array_equal(plain.pixels[band], other.pixels[band])


def test_write_and_read_round_trip() -> None:
    rng = np.random.default_rng(0)
    pixels = {name: rng.integers(1, 9000, (band.size, band.size)).astype(np.uint16) for name, band in SENTINEL2.items()}
    patch = Patch(pixels, "EPSG:32633", (0.0, 0.0, 1200.0, 1200.0))
    again = read_stack(write_stack(patch, ALL_BANDS, 120), size=120)
    assert (again.crs, again.bounds, again.warnings) == (patch.crs, patch.bounds, ())
    for name, band in SENTINEL2.items():
        np.testing.assert_array_equal(again.pixels[name][:: 120 // band.size, :: 120 // band.size], pixels[name])


class TestReading(DoorTests):
    @pytest.fixture
    def door(self) -> Door:
        def read(upload: Upload | Question) -> str:
            with pytest.raises(PatchError) as caught:
                read_stack(upload.data, size=SIZE, known=KNOWN, limits=Limits(max_bytes=MAX_BYTES))
            assert isinstance(caught.value, upload.wrong.error)
            return str(caught.value)

        return read


def test_bright_pixels_are_answered_with_a_warning() -> None:
    pixels = np.full((12, 120, 120), 1000, np.uint16)
    pixels[3, :5] = 18_000
    assert any("1.8 reflectance" in note for note in read_stack(geotiff(pixels, ALL_BANDS), known=KNOWN).warnings)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.sampled_from(["none", "lzw", "deflate"]))
def test_any_truncation_is_refused(share: float, compress: str) -> None:
    data = stack(("B04", "B03", "B02"), compress=compress)
    with pytest.raises(PatchError):
        read_stack(data[: int(share * len(data))], wanted=("B04", "B03", "B02"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_bytes_of_no_meaning_are_refused(data: bytes) -> None:
    for head in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0"):
        with pytest.raises(LandsweepError):
            read_stack(head + data)


def test_real_stacks_are_read(real_data: Path) -> None:
    for path in sorted(real_data.glob("stacks*/*.tif")):
        assert tuple(read_stack(path.read_bytes(), size=120).pixels) == ALL_BANDS
