"""JPEG 2000 and PNG of an archive: read as they are, and their claims checked first."""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from pipelines.errors import LandsweepError, PatchError, UnsupportedError
from pipelines.pixels.patch import read_stack
from pipelines.pixels.pictures import picture_driver
from pipelines.pixels.raster import read_raster
from pipelines.pixels.tiff_header import DEFAULT_LIMITS
from tests.fakes import png

PIXELS = np.random.default_rng(0).integers(1, 4000, (3, 24, 24)).astype(np.uint16)


def written(driver: str, pixels: NDArray[Any], **profile: Any) -> bytes:
    bands, height, width = pixels.shape
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(
            driver=driver, count=bands, height=height, width=width, dtype=pixels.dtype, **profile
        ) as target:
            target.write(pixels)
        return bytes(memory.read())


def jp2() -> bytes:
    return written("JP2OpenJPEG", PIXELS, QUALITY=100, REVERSIBLE="YES", crs="EPSG:32633")


def changed(data: bytes, at: int, value: int, form: str = ">I") -> bytes:
    packed = struct.pack(form, value)
    return data[:at] + packed + data[at + len(packed) :]


def test_pixels_are_those_that_were_written() -> None:
    np.testing.assert_array_equal(read_raster(jp2()).pixels, PIXELS)
    np.testing.assert_array_equal(read_raster(written("PNG", PIXELS)).pixels, PIXELS)
    grey = (PIXELS[:1] // 16).astype(np.uint8)
    np.testing.assert_array_equal(read_raster(written("PNG", grey)).pixels, grey)


def png_claiming(width: int, height: int, bits: int = 16, colour: int = 2) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + head))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + b"IHDR" + head + crc


def siz(data: bytes) -> int:
    """Where the length of the marker SIZ is."""
    return data.index(b"\xff\x4f\xff\x51") + 4


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (png_claiming(5000, 10), "claims 5000×10 px"),
        (png_claiming(0, 10), "no pixels"),
        (png_claiming(10, 10, 8, 3), "palette"),
        (png_claiming(10, 10, 8, 9), "makes no sense"),
        (png_claiming(10, 10)[:20], "cut off in its header"),
        (changed(jp2(), siz(jp2()) + 4, 2**31), "claims 2147483648×24 px"),
        (changed(jp2(), siz(jp2()) + 36, 5000, ">H"), "5000 bands"),
        (changed(changed(jp2(), siz(jp2()) + 4, 4000), siz(jp2()) + 20, 1), "more than 1024 tiles"),
        (jp2()[:20], "cut off in its header"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I4s", 8, b"free") * 70, "file has no image"),
    ],
)
def test_what_claims_too_much_or_nothing_is_never_decoded(data: bytes, said: str) -> None:
    with pytest.raises(PatchError, match=said):
        picture_driver(data, DEFAULT_LIMITS)


def test_uploads_are_tiffs_still() -> None:
    for data in (jp2(), png()):
        with pytest.raises(UnsupportedError):
            read_stack(data)


@settings(max_examples=60)
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 255))
def test_any_changed_byte_is_harmless(share: float, value: int) -> None:
    data = jp2()
    at = int(share * len(data))
    try:
        read_raster(data[:at] + bytes([value]) + data[at + 1 :])
    except LandsweepError:
        return
