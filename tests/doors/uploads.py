"""One table of bad uploads, and the suite that every door runs on it: HTTP, client, command line, page, plain reading.

A row says how a file's bytes are made, what kind of wrong they are, and what a reader is told. A door is a class below
`DoorTests` with a fixture `door` that gives it an upload, looks at the form of its answer, and returns what it says.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.bands import ALL_BANDS
from pipelines.errors import (
    BandError,
    InputError,
    LandsweepError,
    NotFoundError,
    PatchError,
    TooLargeError,
    UnsupportedError,
)
from pipelines.pixels.meaning import Known
from tests.fakes import geotiff, png, stack, tiff_with_overview_file

SIZE = 120
"""Pixels a side that the models take which are asked here; by default these take all twelve bands."""

MAX_BYTES = 2 * 2**20
"""The most that they take, so that nothing larger has to be sent."""

LEVELS = dict(zip(ALL_BANDS, (400, 500, 750, 700, 1200, 2200, 2600, 2700, 2900, 2900, 1900, 1100), strict=True))
"""About the medians of BigEarthNet's land, reflectance × 10,000."""

KNOWN = {
    band: Known(
        scale=1e-4,
        unit="reflectance",
        quantiles={"0.1": level / 40, "1": level / 12, "50": level, "99": 3 * level, "99.9": 5 * level},
    )
    for band, level in LEVELS.items()
}
"""What a model that is asked here has seen."""

SERVER = str(Path(__file__).parents[2])


@dataclass(frozen=True)
class Wrong:
    """A kind of wrong, in the words of HTTP and of Python; in all, the command line's exit is 2."""

    status: int
    code: str
    error: type[LandsweepError]


EMPTY = Wrong(400, "empty", InputError)
UNSUPPORTED = Wrong(415, "unsupported", UnsupportedError)
TOO_LARGE = Wrong(413, "toolarge", TooLargeError)
UNFIT = Wrong(422, "patch", PatchError)
UNKNOWN = Wrong(404, "notfound", NotFoundError)
BANDS = Wrong(422, "band", BandError)


@dataclass(frozen=True)
class Upload:
    """One bad file.

    Args:
        make: its bytes.
        wrong: what kind of wrong it is.
        said: what is in the message at every door.
        left_out: what is in the reason for which an archive leaves it out, where that is another; None where an archive
            may hold it, and only a model does not take it.
    """

    make: Callable[[], bytes]
    wrong: Wrong
    said: str
    left_out: str | None = ""

    @cached_property
    def data(self) -> bytes:
        return self.make()


def claiming(data: bytes, **values: int) -> bytes:
    """The same TIFF with other values in some 16- or 32-bit tags of its directory."""
    tags = {"width": 256, "height": 257, "bands": 277, "block_width": 322, "block_height": 323}
    for name, value in values.items():
        at = _entry(data, tags[name])
        packed = struct.pack("<H" if struct.unpack_from("<H", data, at + 2) == (3,) else "<I", value)
        data = data[: at + 8] + packed + data[at + 8 + len(packed) :]
    return data


def _entry(data: bytes, tag: int) -> int:
    """Where a tag's entry is."""
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    places = range(directory + 2, directory + 2 + 12 * entries, 12)
    return next(at for at in places if struct.unpack_from("<H", data, at) == (tag,))


def tag_twice(data: bytes) -> bytes:
    """The same TIFF with its width given again in place of its height."""
    at = _entry(data, 256)
    return data[: at + 12] + data[at : at + 12] + data[at + 24 :]


def in_a_circle(data: bytes) -> bytes:
    """The same TIFF, whose directory says that it is followed by itself."""
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    end = directory + 2 + 12 * entries
    return data[:end] + data[4:8] + data[end + 4 :]


def filled(value: float, dtype: str = "uint16", *, pixel: float | None = None, **profile: object) -> bytes:
    """All twelve bands of one value, but for one pixel where that is given."""
    pixels = np.full((12, SIZE, SIZE), value, dtype)
    if pixel is not None:
        pixels[3, 5, 7] = pixel
    return geotiff(pixels, ALL_BANDS, **profile)


def land(factor: float, dtype: str) -> bytes:
    """Ordinary land on another scale."""
    levels = np.array(list(LEVELS.values()))[:, None, None] * factor * np.ones((1, SIZE, SIZE))
    return geotiff((levels if dtype.startswith("float") else np.rint(levels)).astype(dtype), ALL_BANDS)


def masked(rows: int) -> bytes:
    """Ordinary pixels, of which so many rows are declared to be no data."""
    pixels = np.full((12, SIZE, SIZE), 900, np.uint16)
    pixels[:, :rows] = 0
    return geotiff(pixels, ALL_BANDS, nodata=0)


def scaled(scale: float) -> bytes:
    """Ordinary pixels, whose bands are all declared to have a scale."""
    return filled(900, scales=(scale,) * 12)


def first_band(name: str) -> bytes:
    """All twelve bands, of which the file calls the first another name; given as it stands in the file's XML."""
    return stack(("Q" * len(name), *ALL_BANDS[1:])).replace(b"Q" * len(name), name.encode())


def garbled() -> bytes:
    data = stack(compress="deflate")
    return data[: len(data) // 2] + bytes(5000) + data[len(data) // 2 + 5000 :]


def jpeg() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE)).save(target, "JPEG")
    return target.getvalue()


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("patch.tif", stack(("B04",)))
    return target.getvalue()


UPLOADS: dict[str, Upload] = {
    # no GeoTIFF, whatever its name says
    "empty": Upload(lambda: b"", EMPTY, "is empty"),
    "one byte": Upload(lambda: b"I", UNSUPPORTED, "a text file"),
    "text": Upload(lambda: b"hello, world", UNSUPPORTED, "a text file"),
    "text in Greek": Upload(lambda: "Αθήνα".encode() * 200, UNSUPPORTED, "a text file"),
    "noise": Upload(lambda: bytes(range(128, 256)), UNSUPPORTED, "a file of another kind"),
    "png": Upload(png, UNSUPPORTED, "a PNG picture", "wrong bands"),
    "jpeg": Upload(jpeg, UNSUPPORTED, "a JPEG picture"),
    "jpeg 2000": Upload(
        lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99), UNSUPPORTED, "a file of another kind", "no image"
    ),
    "pdf": Upload(lambda: b"%PDF-1.7 ...", UNSUPPORTED, "a PDF document"),
    "zip": Upload(zipped, UNSUPPORTED, "a ZIP archive"),
    "npy": Upload(lambda: b"\x93NUMPY\x01\x00", UNSUPPORTED, "a NumPy array"),
    "hdf5": Upload(lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), UNSUPPORTED, "an HDF5 file"),
    "vrt": Upload(lambda: b'<VRTDataset rasterXSize="1"></VRTDataset>', UNSUPPORTED, "a VRT, which may point"),
    "vrt after a mark": Upload(lambda: b"\xef\xbb\xbf\n <VRTDataset/>", UNSUPPORTED, "a VRT, which may point"),
    "wms": Upload(lambda: b'<GDAL_WMS><Service name="WMS"/></GDAL_WMS>', UNSUPPORTED, "an XML or HTML document"),
    # cut off or damaged
    "cut after 4 bytes": Upload(lambda: b"II*\0", UNFIT, "cut off in its header", "cut off"),
    "cut in its directory": Upload(lambda: stack()[: stack().index(b"B01") - 99], UNFIT, "cut off"),
    "cut in half": Upload(lambda: stack()[:180_000], UNFIT, "cut off"),
    "cut by one byte": Upload(lambda: stack()[:-1], UNFIT, "cut off"),
    "big-endian, cut": Upload(lambda: stack(endianness="big")[:90_000], UNFIT, "cut off"),
    "BigTIFF, cut": Upload(lambda: stack(bigtiff="yes")[:90_000], UNFIT, "cut off"),
    "deflate, cut by one byte": Upload(lambda: stack(compress="deflate")[:-1], UNFIT, "cut off"),
    "tiles, cut in half": Upload(lambda: stack(tiled=True, compress="lzw")[:150_000], UNFIT, "cut off"),
    "garbled": Upload(garbled, UNFIT, "damaged or cut off"),
    "tag twice": Upload(lambda: tag_twice(stack()), UNFIT, "a tag twice"),
    "directories in a circle": Upload(lambda: in_a_circle(stack()), UNFIT, "in a circle"),
    "overview file": Upload(tiff_with_overview_file, UNFIT, "overviews outside itself"),
    # more than it may have, or says that it has
    "too large": Upload(lambda: b"II*\0" + bytes(3 * 2**20), TOO_LARGE, "2 MiB", "cut off"),
    "claims width": Upload(lambda: claiming(stack(), width=50_000), TOO_LARGE, "claims 50000×120 px"),
    "claims size": Upload(lambda: claiming(stack(), width=4096, height=4096), TOO_LARGE, "MiB for one image"),
    "claims bands": Upload(lambda: claiming(stack(), bands=65_535), TOO_LARGE, "claims 65535 bands"),
    "claims block": Upload(
        lambda: claiming(stack(tiled=True, blockxsize=64, blockysize=64), block_width=32_768, block_height=32_768),
        TOO_LARGE,
        "MiB for one block",
    ),
    "claims many deep bands": Upload(
        lambda: claiming(
            stack(dtype="float32", tiled=True, blockxsize=64, blockysize=64),
            bands=60,
            block_width=512,
            block_height=512,
        ),
        TOO_LARGE,
        "60 MiB for one block",
    ),
    # other bands than the model's
    "three bands": Upload(lambda: stack(ALL_BANDS[1:4]), UNFIT, "file has 3 bands (B02, B03, B04)", "wrong bands"),
    "three bands without names": Upload(
        lambda: stack(ALL_BANDS[1:4], named=False), UNFIT, "file has 3 bands without names", "wrong bands"
    ),
    "missing band": Upload(lambda: stack(ALL_BANDS[:-1]), UNFIT, "needs B12", "wrong bands"),
    "band too many, without names": Upload(
        lambda: stack((*ALL_BANDS, "B10"), named=False), UNFIT, "file has 13 bands without names", "wrong bands"
    ),
    "thirteen without names": Upload(
        lambda: stack((*ALL_BANDS[:10], "B10", *ALL_BANDS[10:]), named=False), UNFIT, "B09,B10,B11,B12", "wrong bands"
    ),
    "fourteen without names": Upload(
        lambda: stack((*ALL_BANDS, "B10", "SCL"), named=False),
        UNFIT,
        "also those that the model does not use",
        "wrong bands",
    ),
    "numbers for names": Upload(
        lambda: stack([f"Band {number}" for number in range(1, 14)]), UNFIT, "13 bands without names", "wrong bands"
    ),
    "unknown band": Upload(lambda: first_band("VV"), UNFIT, "file has 12 bands (VV, B02, B03", "wrong bands"),
    "band twice": Upload(lambda: first_band("B02"), UNFIT, "two bands of the file have one name", "wrong bands"),
    "band in two spellings": Upload(
        lambda: stack(("B1", "coastal", *ALL_BANDS[1:])), UNFIT, '"B1" and "coastal" could both be B01', "wrong bands"
    ),
    "one band without a name": Upload(
        lambda: stack(("B02", "", *ALL_BANDS[2:])), UNFIT, "file has 12 bands (B02, no name, B03", "wrong bands"
    ),
    "all of another sensor": Upload(
        lambda: stack([f"SR_B{number}" for number in range(1, 8)]),
        UNFIT,
        "needs B05, B06, B07, B08, B09",
        "wrong bands",
    ),
    "HTML for a band": Upload(
        lambda: first_band("&lt;script&gt;alert(1)&lt;/script&gt;"),
        UNFIT,
        "(<script>alert(1)</script>, B02",
        "wrong bands",
    ),
    "a terminal's codes for a band": Upload(
        lambda: first_band("VV&#27;[2J&#10;error: none"),
        UNFIT,
        r"(VV\x1b[2J\nerror: none, B02",
        "wrong bands",
    ),
    "markup for a band": Upload(lambda: first_band("[bold]VV[/]"), UNFIT, "[bold]VV[/]", "wrong bands"),
    "a book for a band": Upload(lambda: first_band("B" * 5000), UNFIT, f"({'B' * 39}…, B02", "wrong bands"),
    # other pixels than the model's
    "too small": Upload(lambda: stack(size=60), UNFIT, "image is 60×60 px, the model takes 120×120", "wrong size"),
    "one pixel less": Upload(lambda: stack(size=119), UNFIT, "image is 119×119 px", "wrong size"),
    "not square": Upload(
        lambda: geotiff(np.ones((12, SIZE, 60), np.uint16), ALL_BANDS), UNFIT, "image is 60×120 px", "wrong size"
    ),
    "complex": Upload(lambda: filled(1, "complex64"), UNFIT, "pixels are complex64"),
    "complex integers": Upload(
        lambda: geotiff(np.ones((12, SIZE, SIZE), np.complex64), ALL_BANDS, dtype="complex_int16"),
        UNFIT,
        "pixels are complex_int16",
        "pixels are complex",
    ),
    "nan": Upload(lambda: filled(np.nan, "float32"), UNFIT, "all pixels are empty"),
    "one infinite": Upload(lambda: filled(700, "float32", pixel=np.inf), UNFIT, "infinite"),
    "zeros": Upload(lambda: filled(0), UNFIT, "all pixels are empty"),
    "no data": Upload(lambda: filled(-9999, "int16", nodata=-9999), UNFIT, "all pixels are empty"),
    "no data of 16 bits": Upload(lambda: filled(65_535, nodata=65_535), UNFIT, "all pixels are empty"),
    "a third without data": Upload(
        lambda: masked(SIZE // 3), UNFIT, "33% of the patch is no data", "pixels without data, which the other files"
    ),
    # on another scale than the model's
    "negative": Upload(lambda: filled(-5, "int16"), UNFIT, "pixels are around -5, and the", "do not fit uint16"),
    "decibels": Upload(lambda: filled(-12.5, "float32"), UNFIT, "pixels are around -12", "do not fit uint16"),
    "unit reflectance": Upload(lambda: land(1e-4, "float32"), UNFIT, "reflectance from 0 to 1", "fractions"),
    "percent": Upload(lambda: land(0.01, "float32"), UNFIT, "they seem to be percent", "fractions"),
    "8 bits": Upload(lambda: land(0.0255, "uint8"), UNFIT, "they seem to be 8 bits", None),
    "senseless": Upload(lambda: filled(60_000), UNFIT, "times too large", None),
    "a declared scale that makes them senseless": Upload(lambda: scaled(0.01), UNFIT, "times too large", None),
    "a declared scale of nothing": Upload(lambda: scaled(0), UNFIT, "declared scale is no number, or 0"),
}


@dataclass(frozen=True)
class Question:
    """A sound file, asked about in a way that is wrong: by a model that is not there, or as bands that it has not."""

    wrong: Wrong
    said: str
    model: str | None = None
    bands: str | None = None

    @property
    def data(self) -> bytes:
        return stack(ALL_BANDS[:3], named=False)


QUESTIONS: dict[str, Question] = {
    "unknown model": Question(UNKNOWN, 'no model "sea" here', model="sea"),
    "no word for a model": Question(UNKNOWN, 'no model "" here', model=""),
    "path for a model": Question(UNKNOWN, 'no model "../../etc/passwd" here', model="../../etc/passwd"),
    "HTML for a model": Question(UNKNOWN, 'no model "<img src=x>" here', model="<img src=x>"),
    "a book for a model": Question(UNKNOWN, f'no model "{"x" * 79}…" here', model="x" * 5000),
    "short for bands that are not the model's": Question(UNFIT, "the model needs B04", bands="B1,B2,B3"),
    "HTML for a band": Question(UNFIT, "file has 3 bands (<b>, B02, B03)", bands="<b>,B02,B03"),
    "a book for a band": Question(UNFIT, f"file has 3 bands ({'x' * 39}…, B02, B03)", bands=f"{'x' * 5000},B02,B03"),
    "band in two spellings": Question(UNFIT, '"b2" and "blue" could both be B02', bands="b2,blue,B03"),
    "band twice": Question(BANDS, 'band "B02" is given twice', bands="B02,B02,B03"),
    "no band": Question(BANDS, "no band given", bands=" , "),
    "a set of more bands": Question(UNFIT, "10 band names were given for a file of 3 bands", bands="all-imp"),
    "too few bands": Question(UNFIT, "1 band names were given for a file of 3 bands", bands="B02"),
    "too many bands": Question(UNFIT, "4 band names were given for a file of 3 bands", bands="B02,B03,B04,B08"),
    "bands that are not the model's": Question(UNFIT, "the model needs B01", bands="B02,B03,B04"),
}

Door = Callable[[Upload | Question], str]


def check_clear(told: str, said: str) -> None:
    """What is wrong and how to mend it, in few words of ours, and nothing of the server's."""
    assert said.lower() in told.lower()
    assert told.rstrip().endswith((".", "?"))
    assert len(told.splitlines()) == 1 and len(told) < 600
    for word in ("Traceback", 'File "', ".py", SERVER, "/tmp", "/vsi", "site-packages", "rasterio", "GDAL", "\x1b"):
        assert word not in told, told


def check_free_of_requests(told: str) -> None:
    """Who has made no request is told nothing of one."""
    for word in ("?bands=", "/v1/", "body", "content type"):
        assert word not in told, told


class DoorTests:
    """What every door promises of every bad upload."""

    @pytest.mark.parametrize("name", UPLOADS)
    def test_a_bad_upload_is_one_clear_message(self, door: Door, name: str) -> None:
        check_clear(door(UPLOADS[name]), UPLOADS[name].said)


class AskedDoorTests(DoorTests):
    """And of every wrong question, where questions are asked."""

    @pytest.mark.parametrize("name", QUESTIONS)
    def test_a_wrong_question_is_one_clear_message(self, door: Door, name: str) -> None:
        check_clear(door(QUESTIONS[name]), QUESTIONS[name].said)
