"""Patches of any layout are read band by band; each that is left out has the reason that is true."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.transform import from_origin

from pipelines.archives.patch_files import Layout, read_patch
from pipelines.bands import ALL_BANDS
from pipelines.dataset.manifest import BandColumn
from pipelines.errors import PatchError, ServiceError
from pipelines.location import MAX_FILE_BYTES, fetcher
from pipelines.pixels.patch import Patch
from tests.doors.uploads import SIZE, UPLOADS
from tests.fakes import geotiff

SIZES = {"B02": 120, "B05": 60, "B09": 20}
PLACE = "tile/patch"
FILES = Layout(kind="files", bands=[BandColumn(name=name, size=size) for name, size in SIZES.items()])

Archive = dict[str, bytes]
"""File name to content."""


def name_of(band: str) -> str:
    return f"{PLACE}/patch_{band}.tif"


def band_file(size: int, dtype: str = "uint16", value: float | None = None, **profile: Any) -> bytes:
    """A band of random digital numbers, or all of one, over the same 1,200 m."""
    drawn = np.random.default_rng(size).integers(1, 9000, (1, size, size))
    pixels = (drawn if value is None else np.full_like(drawn, value, float)).astype(dtype)
    return geotiff(pixels, **{"transform": from_origin(300000, 5000000, 1200 / size, 1200 / size)} | profile)


def files(**changed: bytes) -> Archive:
    return {name_of(band): changed.get(band, band_file(size)) for band, size in SIZES.items()}


def read(layout: Layout, archive: Archive, place: str = PLACE) -> Patch:
    def fetch(name: str) -> bytes:
        if name not in archive:
            raise FileNotFoundError(name)
        return archive[name]

    return read_patch(layout, place, fetch)


def reason(layout: Layout, archive: Archive, place: str = PLACE) -> str:
    with pytest.raises(PatchError) as caught:
        read(layout, archive, place)
    return f"{caught.value.what}: {caught.value.where}" if caught.value.where else caught.value.what


def test_bands_come_in_the_layouts_order_at_their_own_size() -> None:
    turned = FILES.model_copy(update={"bands": FILES.bands[::-1]})
    patch = read(turned, files())
    assert {band: array.shape[0] for band, array in patch.pixels.items()} == dict(reversed(SIZES.items()))
    assert (patch.crs, patch.bounds) == ("EPSG:32633", (300000, 4998800, 301200, 5000000))


def test_one_band_that_is_not_empty_is_enough() -> None:
    patch = read(FILES, files(B02=band_file(120, value=0), B05=band_file(60, value=0)))
    assert patch.pixels["B09"].any()


def test_patches_without_a_place_are_taken() -> None:
    nowhere = {"crs": None, "transform": None}
    patch = read(FILES, {name_of(band): band_file(size, **nowhere) for band, size in SIZES.items()})
    assert (patch.crs, patch.bounds) == ("", None)


WRONG_FILES: dict[str, Callable[[], Archive]] = {
    "missing file: B05": lambda: {name: data for name, data in files().items() if "B05" not in name},
    "file is empty: B05": lambda: files(B05=b""),
    "file is cut off: B05": lambda: files(B05=band_file(60)[:-1]),
    "file is damaged or cut off: its pixels cannot be decoded: B05": lambda: files(
        B05=band_file(60, compress="deflate")[:-9]
    ),
    "not a GeoTIFF but a text file: B05": lambda: files(B05=b"404 not found"),
    "wrong size: B05": lambda: files(B05=band_file(120)),
    "wrong size: B09": lambda: files(B09=geotiff(np.ones((2, 20, 20), np.uint16))),
    "wrong type: B05": lambda: files(B05=band_file(60, "float32")),
    "wrong type: B02": lambda: files(B02=band_file(120, "int16")),
    "bands lie in different places: B05": lambda: files(
        B05=band_file(60, transform=from_origin(300020, 5000000, 20, 20))
    ),
    "bands lie in different places: B09": lambda: files(B09=band_file(20, crs="EPSG:32634")),
}


@pytest.mark.parametrize("said", WRONG_FILES)
def test_patches_of_files_are_left_out_for_their_reason(said: str) -> None:
    assert reason(FILES, WRONG_FILES[said]()) == said


@pytest.mark.parametrize("changed", [{"transform": from_origin(300000, 5000000, 10, 10)}, {"crs": None}])
def test_another_grid_is_another_place(changed: dict[str, Any]) -> None:
    """A coarser band with the finest band's pixel size covers another area; a band without a place has none."""
    assert reason(FILES, files(B09=band_file(20, **changed))) == "bands lie in different places: B09"


@pytest.mark.parametrize("empty", [{"value": 0}, {"value": 65535, "nodata": 65535}, {"value": 7, "nodata": 7}])
def test_patches_without_data_are_left_out(empty: dict[str, Any]) -> None:
    archive = {name_of(band): band_file(size, **empty) for band, size in SIZES.items()}
    assert reason(FILES, archive) == "all pixels are empty"
    without = {key: value for key, value in empty.items() if key != "nodata"}
    if empty["value"]:
        assert read(FILES, archive | files(B05=band_file(60, **without)))


NAMES = ("red", "green", "nir")
NAMED = Layout(kind="stack", bands=[BandColumn(name=name, size=8) for name in ("nir", "red")])
UNNAMED = NAMED.model_copy(update={"names": list(NAMES)})
PIXELS = np.arange(1, 3 * 64 + 1).reshape(3, 8, 8)


def stack_of(pixels: NDArray[Any], names: tuple[str, ...] | None = NAMES, **profile: Any) -> Archive:
    return {"a.tif": geotiff(pixels, names, **profile)}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "float32", "float64"])
def test_whole_numbers_of_any_type_are_taken_as_they_are(dtype: str) -> None:
    patch = read(NAMED, stack_of(PIXELS.astype(dtype)), "a.tif")
    assert list(patch.pixels) == ["nir", "red"]
    for name, band in (("nir", 2), ("red", 0)):
        assert patch.pixels[name].dtype == np.uint16
        np.testing.assert_array_equal(patch.pixels[name], PIXELS[band])


def test_stacks_without_descriptions_are_read_by_the_layouts_names() -> None:
    patch = read(UNNAMED, stack_of(PIXELS.astype(np.uint16), None), "a.tif")
    np.testing.assert_array_equal(patch.pixels["nir"], PIXELS[2])


def test_what_a_file_says_of_its_bands_goes_before_their_order() -> None:
    for layout in (NAMED, UNNAMED):
        patch = read(layout, stack_of(PIXELS.astype(np.uint16), ("nir", "red", "green")), "a.tif")
        np.testing.assert_array_equal(patch.pixels["nir"], PIXELS[0])
        np.testing.assert_array_equal(patch.pixels["red"], PIXELS[1])


def ones(dtype: str = "uint16", value: float = 1, bands: int = 3, size: int = 8) -> NDArray[Any]:
    return np.full((bands, size, size), value).astype(dtype)


WRONG_STACKS: dict[str, tuple[str, Callable[[], Archive]]] = {
    "absent": ("missing file", dict),
    "cut off": ("cut off", lambda: {"a.tif": stack_of(ones())["a.tif"][:-9]}),
    "size": ("wrong size", lambda: stack_of(ones(size=9))),
    "not square": ("wrong size", lambda: stack_of(ones()[:, :, :7])),
    "missing band": ("wrong bands", lambda: stack_of(ones(bands=2), ("red", "green"))),
    "other names": ("wrong bands", lambda: stack_of(ones(), ("red", "green", "swir"))),
    "band twice": ("wrong bands", lambda: stack_of(ones(), ("red", "red", "nir"))),
    "no names": ("wrong bands", lambda: stack_of(ones(), None)),
    "zeros": ("all pixels are empty", lambda: stack_of(ones(value=0))),
    "no data": ("all pixels are empty", lambda: stack_of(ones("int16", -9999), nodata=-9999)),
    "no data in the bands that are read": ("all pixels are empty", lambda: stack_of(ones() * [[[0]], [[1]], [[0]]])),
    "nan": ("all pixels are empty", lambda: stack_of(ones("float32", np.nan))),
    "one nan": ("pixels without data, which", lambda: stack_of(np.where(PIXELS == 5, np.nan, PIXELS))),
    "infinite": ("pixels are infinite", lambda: stack_of(ones("float32", np.inf))),
    "fractions": ("pixels are fractions, and those of the other files are not", lambda: stack_of(ones("float32", 0.3))),
    "one fraction": ("pixels are fractions", lambda: stack_of(np.where(PIXELS == 5, 5.5, PIXELS))),
    "negative": ("pixels do not fit uint16", lambda: stack_of(ones("int16", -1))),
    "too large": ("pixels do not fit uint16", lambda: stack_of(ones("int32", 65_536))),
    "much too large": ("pixels do not fit uint16", lambda: stack_of(ones("float64", 1e30))),
    "complex": ("pixels are complex64", lambda: stack_of(ones("complex64"))),
}


@pytest.mark.parametrize("fault", WRONG_STACKS)
def test_stacks_are_left_out_for_their_reason(fault: str) -> None:
    said, archive = WRONG_STACKS[fault]
    assert said in reason(NAMED, archive(), "a.tif")


TWELVE = Layout(kind="stack", bands=[BandColumn(name=name, size=SIZE) for name in ALL_BANDS])


@pytest.mark.parametrize("name", UPLOADS)
def test_bad_uploads_are_left_out_of_an_archive_too(name: str, tmp_path: Path) -> None:
    """But for those that only a model does not take."""
    upload = UPLOADS[name]
    (tmp_path / "a.tif").write_bytes(upload.data)
    if upload.left_out is None:
        assert read_patch(TWELVE, "a.tif", fetcher(tmp_path))
        return
    with pytest.raises(PatchError) as caught:
        read_patch(TWELVE, "a.tif", fetcher(tmp_path))
    assert (upload.left_out or upload.said) in caught.value.what
    assert str(tmp_path) not in caught.value.what


def test_more_or_fewer_bands_than_names_are_wrong() -> None:
    for bands in (2, 4):
        assert reason(UNNAMED, stack_of(ones(bands=bands), None), "a.tif") == f"wrong bands ({bands} for 3 names)"


def test_files_that_cannot_be_opened_are_left_out_by_what_the_system_says(tmp_path: Path) -> None:
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "loop.tif").symlink_to(tmp_path / "loop.tif")
    (tmp_path / "dangling.tif").symlink_to(tmp_path / "absent")
    (tmp_path / "file").write_bytes(b"")
    with open(tmp_path / "large.tif", "wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    for place, said in {
        "folder.tif": "unreadable file (is a directory)",
        "loop.tif": "unreadable file (too many levels of symbolic links)",
        "dangling.tif": "missing file",
        "file/a.tif": "unreadable file (not a directory)",
        "large.tif": "file has more than 64 MiB",
    }.items():
        with pytest.raises(PatchError) as caught:
            read_patch(NAMED, place, fetcher(tmp_path))
        assert caught.value.what == said


@pytest.mark.parametrize(
    "error", [OSError(errno.EMFILE, os.strerror(errno.EMFILE)), ServiceError("the store is down"), TimeoutError()]
)
def test_faults_of_the_machine_are_no_reason_to_leave_a_patch_out(error: Exception) -> None:
    def fetch(_: str) -> bytes:
        raise error

    with pytest.raises(type(error)):
        read_patch(NAMED, "a.tif", fetch)
