"""TIFFs read without GDAL are read as GDAL reads them, and whatever is not plain is left to it."""

from __future__ import annotations

import resource
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetWriter, MemoryFile
from rasterio.transform import from_origin

from pipelines.errors import PatchError, TooLargeError
from pipelines.pixels.plain_tiff import Bounds, read_plain
from pipelines.pixels.raster import Raster, read_raster
from pipelines.pixels.tiff_header import DEFAULT_LIMITS, check_claims
from tests.fakes import geotiff, tiff_with_overview_file

SIZE = 20
PIXELS = np.random.default_rng(0).integers(1, 60_000, (1, SIZE, SIZE)).astype(np.uint16)
THREE = np.concatenate([PIXELS, PIXELS + 1, PIXELS + 2])


def changed(data: bytes, change: Callable[[DatasetWriter], Any]) -> bytes:
    """The file after GDAL has changed it."""
    with tempfile.TemporaryDirectory() as folder, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = Path(folder, "x.tif")
        path.write_bytes(data)
        with rasterio.open(path, "r+") as target:
            change(target)
        return path.read_bytes()


def with_tag(tag: int, kind: int, value: int, data: bytes) -> bytes:
    """The file with one entry more at the end of its directory, which is moved to the end of the file."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    entries = data[at + 2 : at + 2 + 12 * count] + struct.pack("<HHII", tag, kind, 1, value)
    directory = struct.pack("<H", count + 1) + entries + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


def points() -> list[GroundControlPoint]:
    corners = ((0, 0), (0, SIZE), (SIZE, 0), (SIZE, SIZE))
    return [GroundControlPoint(row, column, 10 * column, -10 * row) for row, column in corners]


def unwritten() -> bytes:
    """A file whose strips are not there."""
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "width": SIZE, "height": SIZE, "sparse_ok": True}
    with MemoryFile() as memory:
        with memory.open(**profile, crs="EPSG:32633", transform=from_origin(300000, 5000000, 10, 10)):
            pass
        return bytes(memory.read())


PLAIN = {
    "one strip": geotiff(PIXELS),
    "many strips": geotiff(PIXELS, blockysize=3),
    "no place": geotiff(PIXELS, crs=None, transform=None),
    "southern zone": geotiff(PIXELS, crs="EPSG:32720"),
    "a fraction of a metre": geotiff(PIXELS, transform=from_origin(300000.25, 5000000.125, 9.99, 10.01)),
}
"""Forms that are read without GDAL."""

OTHER = {
    "place without coordinates": geotiff(PIXELS, crs=None),
    "coordinates without place": geotiff(PIXELS, transform=None),
    "deflate": geotiff(PIXELS, compress="deflate"),
    "lzw": geotiff(PIXELS, compress="lzw", predictor=2),
    "zstd": geotiff(PIXELS, compress="zstd"),
    "tiles": geotiff(PIXELS, tiled=True, blockxsize=16, blockysize=16),
    "bands pixel by pixel": geotiff(THREE, interleave="pixel", photometric="minisblack"),
    "bands one by one": geotiff(THREE, ("B04", "B03", "B02"), interleave="band"),
    "big-endian": geotiff(PIXELS, endianness="big"),
    "BigTIFF": geotiff(PIXELS, bigtiff="yes"),
    "8 bits": geotiff((PIXELS >> 8).astype(np.uint8)),
    "12 bits": geotiff(PIXELS >> 4, nbits=12),
    "signed": geotiff((PIXELS >> 1).astype(np.int16)),
    "32 bits": geotiff(PIXELS.astype(np.int32)),
    "float": geotiff(PIXELS.astype(np.float32)),
    "float64 with predictor": geotiff(PIXELS.astype(np.float64), compress="deflate", predictor=3),
    "complex": geotiff(PIXELS.astype(np.complex64)),
    "no data": geotiff(PIXELS, nodata=0),
    "description": geotiff(PIXELS, ("B04",)),
    "GDAL metadata": changed(geotiff(PIXELS), lambda file: file.update_tags(producer="test")),
    "scale": changed(geotiff(PIXELS), lambda file: setattr(file, "scales", (0.0001,))),
    "pixels are points": changed(geotiff(PIXELS), lambda file: file.update_tags(AREA_OR_POINT="Point")),
    "white is zero": geotiff(PIXELS, photometric="miniswhite"),
    "palette": changed(geotiff(PIXELS, photometric="palette"), lambda file: file.write_colormap(1, {0: (1, 2, 3)})),
    "rotated": geotiff(PIXELS, transform=Affine(10, 2, 300000, 3, -10, 5000000)),
    "south up": geotiff(PIXELS, transform=Affine(10, 0, 300000, 0, 10, 5000000)),
    "degrees": geotiff(PIXELS, crs="EPSG:4326", transform=from_origin(15, 48, 1e-4, 1e-4)),
    "other coordinates": geotiff(PIXELS, crs="EPSG:3035"),
    "coordinates of its own": geotiff(PIXELS, crs="+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84"),
    "control points": geotiff(PIXELS, transform=None, gcps=points()),
    "overview": changed(geotiff(PIXELS), lambda file: file.build_overviews([2], Resampling.nearest)),
    "mask": changed(geotiff(PIXELS), lambda file: file.write_mask(np.eye(SIZE, dtype=bool))),
    "nothing written": unwritten(),
    "upside down": with_tag(274, 3, 4, geotiff(PIXELS)),
    "bits in reverse": with_tag(266, 3, 2, geotiff(PIXELS)),
}
"""Forms that GDAL reads."""

FORMS = PLAIN | OTHER


@contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def by_gdal(data: bytes) -> tuple[NDArray[Any], str, Bounds | None]:
    """What rasterio makes of a file, with nothing of ours: pixels, code or WKT, bounds."""
    with quiet(), MemoryFile(data) as memory, memory.open(driver="GTiff") as source:
        if source.crs is None:
            return source.read(), "", None
        code = source.crs.to_epsg()
        return source.read(), f"EPSG:{code}" if code else source.crs.to_wkt(), tuple(source.bounds)


def assert_as_gdal(data: bytes, raster: Raster) -> None:
    pixels, crs, bounds = by_gdal(data)
    assert raster.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(raster.pixels, pixels)
    assert (raster.crs, raster.bounds) == (crs, bounds)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_as_gdal_reads_it(form: str) -> None:
    data = FORMS[form]
    assert (read_plain(data) is not None) == (form in PLAIN)
    assert_as_gdal(data, read_raster(data))


def test_no_data_and_descriptions_are_told() -> None:
    zeros = read_raster(OTHER["no data"])
    assert zeros.holes is None or zeros.holes.any()
    np.testing.assert_array_equal(zeros.pixels == 0, zeros.holes if zeros.holes is not None else False)
    assert read_raster(OTHER["bands one by one"]).names == ("B04", "B03", "B02")
    assert read_raster(PLAIN["one strip"]).names is None


def test_all_utm_zones_are_plain() -> None:
    for code in (*range(32601, 32661), *range(32701, 32761)):
        data = geotiff(PIXELS, crs=f"EPSG:{code}")
        plain = read_plain(data)
        assert plain is not None
        assert (f"EPSG:{plain.epsg}", plain.bounds) == by_gdal(data)[1:]


def test_every_real_file_is_plain_and_read_as_gdal_reads_it(real_data: Path) -> None:
    files = [path for version in ("v1", "v2") for path in (real_data / f"bigearthnet-{version}").rglob("*.tif")]
    assert len(files) == 1008
    for path in files:
        data = path.read_bytes()
        plain = read_plain(data)
        assert plain is not None
        pixels, crs, bounds = by_gdal(data)
        assert (f"EPSG:{plain.epsg}" if plain.epsg else "", plain.bounds) == (crs, bounds)
        np.testing.assert_array_equal(plain.pixels, pixels[0])


def test_directory_behind_the_pixels_is_plain_too() -> None:
    """As software other than GDAL writes it."""
    data = with_tag(317, 3, 1, PLAIN["one strip"])
    assert read_plain(data) is not None
    assert_as_gdal(data, read_raster(data))
    with pytest.raises(PatchError):
        read_raster(data[:-1])


def entry(tag: int, data: bytes) -> int:
    """Where a tag's entry is in the directory of a little-endian file."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    return next(e for e in range(at + 2, at + 2 + 12 * count, 12) if struct.unpack_from("<H", data, e) == (tag,))


def test_strips_of_another_size_than_they_should_have_are_left_to_gdal() -> None:
    """One strip gives two bytes to the next, so that they still follow each other and add up."""
    data = bytearray(PLAIN["many strips"])
    offsets, counts = (struct.unpack_from("<I", data, entry(tag, bytes(data)) + 8)[0] for tag in (273, 279))
    assert struct.unpack_from("<HI", data, entry(279, bytes(data)) + 2) == (3, 7)
    first, second = struct.unpack_from("<HH", data, counts)
    struct.pack_into("<HH", data, counts, first - 2, second + 2)
    (after,) = struct.unpack_from("<I", data, offsets + 4)
    struct.pack_into("<I", data, offsets + 4, after - 2)
    assert read_plain(bytes(data)) is None


@pytest.mark.parametrize(("text", "plain"), [(b"UTM in somebody's words|", True), (b"LUnits = feet|", False)])
def test_coordinates_that_a_text_defines_are_left_to_gdal(text: bytes, plain: bool) -> None:
    data = bytearray(PLAIN["one strip"])
    struct.pack_into("<II", data, entry(34737, bytes(data)) + 4, len(text) + 1, len(data))
    (keys,) = struct.unpack_from("<I", data, entry(34735, bytes(data)) + 8)
    words = list(struct.unpack_from("<32H", data, keys))
    words[words.index(1026) + 2] = len(text)
    words[words.index(2049) + 2 : words.index(2049) + 4] = 1, 0
    struct.pack_into("<32H", data, keys, *words)
    data += text + b"\0"
    assert (read_plain(bytes(data)) is not None) == plain
    assert_as_gdal(bytes(data), read_raster(bytes(data)))


@pytest.mark.parametrize(("form", "text"), [("coordinates of its own", b"unknown|"), ("description", b"B04<")])
def test_text_that_is_no_text_is_damage(form: str, text: bytes) -> None:
    assert text in FORMS[form]
    with pytest.raises(PatchError, match="damaged"):
        read_raster(FORMS[form].replace(text, b"\xff" + text[1:]))


WHOLE_FORMS = sorted(set(FORMS) - {"overview", "mask"})
"""Forms of which no byte can be done without."""


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(WHOLE_FORMS), st.floats(0, 1, exclude_max=True))
def test_any_truncation_is_refused(form: str, share: float) -> None:
    data = FORMS[form]
    with pytest.raises(PatchError):
        read_raster(data[: int(share * len(data))])


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["overview", "mask"]), st.floats(0, 1, exclude_max=True))
def test_truncation_of_a_second_image_never_changes_the_first(form: str, share: float) -> None:
    data = FORMS[form]
    try:
        raster = read_raster(data[: int(share * len(data))])
    except PatchError:
        return
    np.testing.assert_array_equal(raster.pixels, PIXELS)


def assert_harmless(data: bytes) -> bool:
    """A spoiled file is refused in our words, or read as GDAL reads it; whether it was read without GDAL."""
    try:
        raster = read_raster(data)
    except PatchError:
        return False
    assert raster.pixels.nbytes <= DEFAULT_LIMITS.max_image_bytes
    plain = read_plain(data)
    if plain is not None:
        assert_as_gdal(data, raster)  # and it does read it: what is plain is sound
    return plain is not None


def flipped(data: bytes, at: int, bits: int) -> bytes:
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


def test_any_flipped_bit_in_the_header_of_a_plain_file_is_harmless() -> None:
    """Every single one: 3,000 files, of which GDAL must agree on each that is still plain."""
    data = PLAIN["one strip"]
    header = len(data) - PIXELS.nbytes
    still_plain = sum(assert_harmless(flipped(data, at, 1 << bit)) for at in range(header) for bit in range(8))
    assert 500 < still_plain < 4 * header


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(sorted(FORMS)), st.integers(0, 700), st.integers(1, 255))
def test_any_changed_byte_in_any_header_is_harmless(form: str, at: int, bits: int) -> None:
    data = FORMS[form]
    assert_harmless(flipped(data, at % len(data), bits))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_bytes_of_no_meaning_are_refused(data: bytes) -> None:
    for head in (b"", b"II*\0\x08\0\0\0", b"II*\0\x08\0\0\0\x01\0"):
        with pytest.raises(PatchError):
            read_raster(head + data)


def bomb() -> bytes:
    """170 bytes that claim one tile of 32768² px, of which 64² are the image."""
    entries = {256: 64, 257: 64, 258: 16, 259: 8, 262: 1, 277: 1, 322: 32768, 323: 32768, 324: 160, 325: 10, 339: 1}
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4)
    return head.ljust(170, b"\0")


def of_many_bands() -> bytes:
    """A file of 65,535 bands of one pixel each."""
    count = 65_535
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, count, 200)]
    entries += [(277, 3, 1, count), (278, 3, 1, 1), (279, 4, count, 200 + 4 * count), (284, 3, 1, 2)]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4)
    offsets, counts = np.full(count, 199, "<u4"), np.ones(count, "<u4")
    return head.ljust(200, b"\0") + offsets.tobytes() + counts.tobytes()


TOO_FAR: dict[str, tuple[bytes, type[PatchError], str]] = {
    "overview file": (tiff_with_overview_file(), PatchError, "overviews outside itself"),
    "bomb": (bomb(), TooLargeError, "for one block"),
    "65,535 bands": (of_many_bands(), TooLargeError, "claims 65535 bands"),
    "empty": (b"", PatchError, "file is empty"),
}


@pytest.mark.parametrize("name", TOO_FAR)
def test_what_costs_or_reaches_too_far_is_refused_at_once(name: str) -> None:
    data, kind, said = TOO_FAR[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(kind, match=said):
        read_raster(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("name", ["bomb", "65,535 bands"])
def test_what_costs_too_much_is_refused_by_its_header_alone(name: str) -> None:
    """GDAL, which would take gigabytes for the one and minutes for the other, does not see it."""
    data, kind, said = TOO_FAR[name]
    with pytest.raises(kind, match=said):
        check_claims(data)


def test_the_bomb_is_one_that_gdal_would_open() -> None:
    """So that its refusal is worth something."""
    with quiet(), MemoryFile(bomb()) as memory:
        try:
            with memory.open(driver="GTiff") as source:
                assert source.block_shapes == [(32768, 32768)]
        except RasterioError as error:
            pytest.fail(f"it is no TIFF: {error}")
