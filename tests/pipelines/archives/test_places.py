"""Where patches lie: by their names, or by their files, whatever the coordinates; and what to do where nobody says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_bounds, from_origin
from rasterio.warp import transform_bounds

from pipelines.archives.patch_files import Layout
from pipelines.archives.places import RADIUS, place_in_name, places_of, read_places
from pipelines.dataset.manifest import BandColumn
from pipelines.errors import ArchiveError, SettingsError
from pipelines.pixels.raster import read_raster
from pipelines.settings import IngestSettings
from tests.fakes import geotiff
from tests.pipelines.archives.test_detect import read_catalogue

PIXELS = np.ones((1, 8, 8), np.uint16)
STACK = Layout(kind="stack", bands=[BandColumn(name="red", size=8)])


def test_names_say_what_the_files_say(real_data: Path) -> None:
    """But for 20 m, by which some tiles begin before their square."""
    patches = [each for tile in (real_data / "bigearthnet-v2" / "BigEarthNet-S2").iterdir() for each in tile.iterdir()]
    assert len(patches) > 20
    for patch in patches:
        raster = read_raster((patch / f"{patch.name}_B01.tif").read_bytes())
        found = place_in_name(patch.name)
        assert found is not None
        assert found[0] == raster.crs
        np.testing.assert_allclose(found[1], raster.bounds, atol=20)


@pytest.mark.parametrize(
    ("tile", "code", "left", "top"),
    [
        ("T32TQM", "EPSG:32632", 700_000, 4_700_000),
        ("T33UUP", "EPSG:32633", 300_000, 5_400_000),
        ("T29SNB", "EPSG:32629", 500_000, 4_200_000),
        ("T56HLH", "EPSG:32756", 300_000, 6_300_000),  # Sydney
        ("T01CCV", "EPSG:32701", 300_000, 2_000_000),  # the Antarctic
    ],
)
def test_tiles_of_all_the_world(tile: str, code: str, left: float, top: float) -> None:
    found = place_in_name(f"S2A_MSIL2A_20170613T101031_N9999_R022_{tile}_00_02")
    assert found == (code, (left, top - 3 * 1200, left + 1200, top - 2 * 1200))


@given(st.text(max_size=60) | st.from_regex(r"S2._T[0-9]{2}[A-Z]{3}_[0-9]{1,3}_[0-9]{1,3}", fullmatch=True))
def test_any_other_name_says_nothing(name: str) -> None:
    found = place_in_name(name)
    assert found is None or found[1][0] < found[1][2]


def test_files_say_where_they_lie_in_any_coordinates() -> None:
    """One place in the zones of UTM on either side of it, and in degrees: the same to a tenth of a patch."""
    here = (499_000.0, 5_300_000.0, 499_640.0, 5_300_640.0)
    files = {}
    for name, code in (("one", "EPSG:32633"), ("other", "EPSG:32632"), ("degrees", "EPSG:4326")):
        bounds = transform_bounds("EPSG:32633", code, *here)
        files[name] = geotiff(PIXELS, crs=code, transform=from_bounds(*bounds, 8, 8))
    files["nowhere"] = geotiff(PIXELS, crs=None, transform=from_origin(0, 0, 1, 1))
    files["bad"] = b"nothing"

    def fetch(name: str) -> bytes:
        if name == "absent":
            raise FileNotFoundError(name)
        return files[name]

    found = read_places([*files, "absent"], STACK, fetch)
    assert found[3:] == [None, False, False]
    assert [each[0] for each in found[:3] if isinstance(each, tuple)] == ["EPSG:32633", "EPSG:32632", "EPSG:4326"]


def lay(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    rows = ["file,label"]
    for number, (name, data) in enumerate(files.items()):
        (folder / name).write_bytes(data)
        rows.append(f"{name},{'ab'[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


def test_distances_are_those_on_the_ground(tmp_path: Path) -> None:
    """Across the border of two zones of UTM as within one."""
    east = transform_bounds("EPSG:32633", "EPSG:32632", 300_640.0, 5_300_000.0, 301_280.0, 5_300_640.0)
    files = {
        "0.tif": geotiff(PIXELS, ["red"], transform=from_bounds(300_000, 5_300_000, 300_640, 5_300_640, 8, 8)),
        "1.tif": geotiff(PIXELS, ["red"], crs="EPSG:32632", transform=from_bounds(*east, 8, 8)),
        "2.tif": geotiff(PIXELS, ["red"], transform=from_bounds(300_000, 5_310_000, 300_640, 5_310_640, 8, 8)),
        "3.tif": b"no picture",
    }
    catalogue = read_catalogue(lay(tmp_path / "data", files), split="balanced", max_bad=0.5)
    places = places_of(catalogue.take(np.arange(4)))
    order = np.argsort(catalogue.rows["patch_id"].to_numpy(dtype=object))
    points = places.points[order]
    assert places.side == pytest.approx(640, rel=0.05)
    assert np.linalg.norm(points[0] - points[1]) == pytest.approx(640, rel=0.05)
    assert np.linalg.norm(points[0] - points[2]) == pytest.approx(10_000, rel=0.005)
    np.testing.assert_allclose(np.linalg.norm(points[:3], axis=1), RADIUS)
    assert places.known[order].tolist() == [True, True, True, False]


def test_patches_without_a_place_are_counted_and_refused(tmp_path: Path) -> None:
    files = {f"{number}.tif": geotiff(PIXELS, ["red"]) for number in range(4)}
    files |= {f"bare{number}.tif": geotiff(PIXELS, ["red"], crs=None) for number in range(2)}
    folder = lay(tmp_path / "data", files)
    with pytest.raises(ArchiveError, match=r"2 of 6 patches do not say where .* such as bare\d\. .*--split balanced"):
        read_catalogue(folder, split="places")
    assert len(read_catalogue(folder)) == 6, "who does not ask for places needs none"


def test_a_tar_whose_names_say_nothing_is_refused(archive: Path) -> None:
    from dataclasses import replace

    catalogue = read_catalogue(archive)
    named = catalogue.rows.assign(patch_id=[f"patch{row}" for row in range(len(catalogue))])
    with pytest.raises(SettingsError, match=r"split: 96 of 96 patches lie in a tar, and their names do not say where"):
        places_of(replace(catalogue, rows=named, in_tar=True))


@pytest.mark.parametrize(("given", "length"), [("10km", 10_000), ("2.5 km", 2500), ("800m", 800), ("800", 800)])
def test_lengths_have_units(given: str, length: float) -> None:
    assert IngestSettings.parse({"source": "a", "out": "b", "block": given}).block == length


@pytest.mark.parametrize("given", ["10 miles", "", "-5", "0", "km", "nan", "1e9km"])
def test_other_lengths_are_refused(given: str) -> None:
    with pytest.raises(SettingsError, match="block"):
        IngestSettings.parse({"source": "a", "out": "b", "block": given})


def test_a_file_a_band_is_asked_by_what_its_name_ends_with() -> None:
    bands = [BandColumn(name="B02", size=8), BandColumn(name="B11", size=4)]
    layout = Layout(kind="files", bands=bands, endings={"B02": "_B02_10m.tif", "B11": "_B11_20m.tif"})
    data = geotiff(PIXELS, ["red"], transform=from_bounds(300_000, 5_300_000, 300_640, 5_300_640, 8, 8))
    (found,) = read_places(["p1/T33"], layout, {"p1/T33_B11_20m.tif": data}.__getitem__)
    assert found == ("EPSG:32633", (300_000, 5_300_000, 300_640, 5_300_640))
