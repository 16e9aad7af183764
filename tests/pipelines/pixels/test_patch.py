"""Uploads: every right form is read, every wrong one refused with its reason."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.bands import ALL_BANDS, SENTINEL2, parse_bands
from pipelines.errors import LandsweepError, PatchError, TooLargeError, UnsupportedError
from pipelines.pixels.patch import Patch, read_stack, write_stack
from tests.fakes import geotiff, png, stack, tiff_with_overview_file


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


@pytest.mark.parametrize(
    "options", [{}, {"compress": "lzw"}, {"compress": "zstd", "tiled": True, "blockxsize": 64, "blockysize": 64}]
)
@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32"])
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


def claiming(tag: int, value: int, data: bytes) -> bytes:
    """The same TIFF with another value in one 16- or 32-bit tag of its directory."""
    at = data.index(struct.pack("<H", tag), struct.unpack_from("<I", data, 4)[0])
    kind = struct.unpack_from("<H", data, at + 2)[0]
    packed = struct.pack("<H" if kind == 3 else "<I", value)
    return data[: at + 8] + packed + data[at + 8 + len(packed) :]


def twice(tag: int, data: bytes) -> bytes:
    """The same TIFF with one tag given again in place of the next."""
    at = data.index(struct.pack("<H", tag), struct.unpack_from("<I", data, 4)[0])
    return data[: at + 12] + data[at : at + 12] + data[at + 24 :]


WRONG = {
    "empty": (b"", PatchError, "file is empty"),
    "text": (b"hello, world", UnsupportedError, "text file"),
    "text in Greek": ("Αθήνα".encode() * 200, UnsupportedError, "text file"),
    "noise": (bytes(range(128, 256)), UnsupportedError, "file of another kind"),
    "png": (png(), UnsupportedError, "PNG picture"),
    "pdf": (b"%PDF-1.7 ...", UnsupportedError, "PDF document"),
    "vrt": (b'<VRTDataset rasterXSize="1"></VRTDataset>', UnsupportedError, "VRT"),
    "npy": (b"\x93NUMPY\x01\x00", UnsupportedError, "NumPy array"),
    "header only": (b"II*\0", PatchError, "cut off in its header"),
    "size": (stack(size=64), PatchError, "image is 64×64 px, the model takes 120×120 px"),
    "three bands": (stack(("B04", "B03", "B02"), named=False), PatchError, "file has 3 bands without names"),
    "missing band": (stack(ALL_BANDS[:-1]), PatchError, "needs B12"),
    "unknown band": (stack(("B4", *ALL_BANDS[1:])), PatchError, 'unknown band "B4"'),
    "repeated band": (stack(("B02", *ALL_BANDS[1:])), PatchError, "two bands of the file have one name"),
    "8 bits": (stack(dtype="uint8"), PatchError, "pixels are uint8"),
    "complex": (stack(dtype="complex64"), PatchError, "pixels are complex64"),
    "complex integers": (
        geotiff(np.ones((12, 120, 120), np.complex64), dtype="complex_int16"),
        PatchError,
        "pixels are complex_int16",
    ),
    "nan": (geotiff(np.full((12, 120, 120), np.nan, np.float32), ALL_BANDS), PatchError, "NaN"),
    "zeros": (geotiff(np.zeros((12, 120, 120), np.uint16), ALL_BANDS), PatchError, "all pixels are empty"),
    "negative": (geotiff(np.full((12, 120, 120), -5, np.int16), ALL_BANDS), PatchError, "negative"),
    "unit reflectance": (geotiff(np.full((12, 120, 120), 0.3, np.float32), ALL_BANDS), PatchError, "from 0 to 1"),
    "senseless": (geotiff(np.full((12, 120, 120), 60000, np.uint16), ALL_BANDS), PatchError, "far above"),
    "overview file": (tiff_with_overview_file(), PatchError, "overviews outside itself"),
    "claims width": (claiming(256, 50_000, stack()), TooLargeError, "claims 50000×120 px"),
    "claims bands": (claiming(277, 65_535, stack()), TooLargeError, "claims 65535 bands"),
    "claims block": (
        claiming(322, 32_768, claiming(323, 32_768, stack(tiled=True, blockxsize=64, blockysize=64))),
        TooLargeError,
        "for one block",
    ),
    "many deep bands": (
        stack(tuple(f"X{i}" for i in range(60)), dtype="float32", tiled=True, blockxsize=512, blockysize=512),
        TooLargeError,
        "for one block",
    ),
    "tag twice": (twice(256, stack()), PatchError, "a tag twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_uploads_are_refused_with_their_reason(name: str) -> None:
    data, kind, said = WRONG[name]
    with pytest.raises(kind) as caught:
        read_stack(data, size=120)
    assert said in str(caught.value)
    assert caught.value.hint


def test_bright_pixels_are_answered_with_a_warning() -> None:
    pixels = np.full((12, 120, 120), 1000, np.uint16)
    pixels[3, :5] = 18_000
    assert any("1.8 reflectance" in note for note in read_stack(geotiff(pixels, ALL_BANDS)).warnings)


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
