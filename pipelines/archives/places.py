"""Where patches lie: what a split by places must know before anything is packed.

Flows in: a `Catalogue`. Flows out: the centre and the side of each patch, from its name where that says it (BigEarthNet
v2: the tile of Sentinel-2's grid, and the patch's column and row in it), else from its file. Nothing is read of pixels.

Places are points in space, in metres from the middle of a sphere: near each other there is near on the ground,
whatever the zones of UTM that two files are in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform

from pipelines.archives.catalogue import Catalogue
from pipelines.archives.patch_files import ONE_FILE, Fetch, Layout
from pipelines.errors import ArchiveError, PatchError, SettingsError
from pipelines.location import fetcher
from pipelines.pixels.plain_tiff import Bounds
from pipelines.pixels.raster import open_image, place

RADIUS = 6_371_000.0
"""Of the sphere, in metres; it is off by 0.3 % at the most, and so are distances."""

_TILE = re.compile(r".*_T(\d\d)([C-HJ-NP-X])([A-HJ-NP-Z])([A-HJ-NP-V])_(\d+)_(\d+)")
_SIDE = 1200.0  # of BigEarthNet's patches, in metres
_SQUARE, _TURN = 100_000.0, 2_000_000.0  # squares of the grid, and northing after which their letters come again
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_BANDS = "CDEFGHJKLMNPQRSTUVWX"  # of 8° of latitude each, from 80° south
_READERS, _AT_ONCE = 16, 256

Position = tuple[str, Bounds]
"""Code or WKT of coordinates; left, bottom, right and top in them."""


@dataclass(frozen=True)
class Places:
    """Where the rows of a catalogue lie.

    Args:
        points: centres in space, float64 (rows, 3) metres; NaN where the file cannot be read.
        latitude, longitude: of them, in degrees, (rows,).
        side: of the patches, in metres: the median.
    """

    points: NDArray[np.float64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    side: float

    @property
    def known(self) -> NDArray[np.bool_]:
        """(rows,); a file that cannot be read is left out when it is packed, with its reason."""
        return np.isfinite(self.longitude)


def places_of(catalogue: Catalogue) -> Places:
    """Find out where each patch lies.

    Raises:
        ArchiveError: patches have no place: it says how many.
        SettingsError: patches lie in a tar and their names do not say where.
        ServiceError: the object store does not answer.
    """
    ids = catalogue.rows["patch_id"].tolist()
    found: list[Position | bool | None] = [place_in_name(each) for each in ids]
    rest = [row for row, each in enumerate(found) if each is None]
    if rest and catalogue.in_tar:
        what = f"{len(rest):,} of {len(ids):,} patches lie in a tar, and their names do not say where they are"
        raise SettingsError(what, where="split", hint="Unpack it, or use another --split.")
    files = [catalogue.rows["place"].iloc[row] for row in rest]
    for row, each in zip(rest, read_places(files, catalogue.layout, fetcher(catalogue.root)), strict=True):
        found[row] = each
    located = _on_sphere([each if isinstance(each, tuple) else None for each in found])
    readable = np.array([each is not False for each in found])
    without = np.flatnonzero(readable & ~located.known)
    if len(without):
        what = f"{len(without):,} of {len(ids):,} patches do not say where on Earth they lie, such as {ids[without[0]]}"
        hint = "Give the files coordinates, or use --split balanced, which does not ask for places."
        raise ArchiveError(what, where=str(catalogue.root), hint=hint)
    return located


def place_in_name(patch_id: str) -> Position | None:
    """What a name such as `S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57` says of its patch; None of any other."""
    found = _TILE.fullmatch(patch_id)
    if not found or not 1 <= int(found[1]) <= 60:
        return None
    zone, band, column, row = int(found[1]), found[2], found[3], found[4]
    east = (_LETTERS.index(column) % 8 + 1) * _SQUARE
    north = (_LETTERS.index(row) - (0 if zone % 2 else 5)) % 20 * _SQUARE
    south = band < "N"
    # Letters come again every 2,000 km: the middle of the band of latitude says which of them is meant.
    middle = (-76 + 8 * _BANDS.index(band)) * 110_600.0 + (10_000_000.0 if south else 0.0)
    north += round((middle - north) / _TURN) * _TURN
    left, top = east + int(found[5]) * _SIDE, north + _SQUARE - int(found[6]) * _SIDE
    return f"EPSG:{(32700 if south else 32600) + zone}", (left, top - _SIDE, left + _SIDE, top)


def read_places(places: Sequence[str], layout: Layout, fetch: Fetch) -> list[Position | bool | None]:
    """What the files of patches say, many asked for at once, for a store takes its time.

    Args:
        places: of the patches, as a catalogue has them.
        layout: which file of a patch is asked; of a file a band, the smallest.
        fetch: reads a file.

    Returns:
        Of each, its position; None where it has none, False where it cannot be read.

    Raises:
        OSError, ServiceError: from `fetch`, where it is not one file that is wrong.
    """
    band = min(layout.bands, key=lambda each: each.size).name

    def read(patch: str) -> bytes | None:
        try:
            return fetch(layout.file_of(patch, band))
        except OSError as error:
            if not isinstance(error, FileNotFoundError) and error.errno not in ONE_FILE:
                raise
            return None

    found: list[Position | bool | None] = []
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(places), _AT_ONCE):
            found += map(_position, readers.map(read, places[start : start + _AT_ONCE]))
    return found


def _position(data: bytes | None) -> Position | bool | None:
    try:
        if data is None:
            return False
        with open_image(data) as source:
            crs, bounds = place(source)
    except PatchError:
        return False
    return (crs, bounds) if crs and bounds else None


def _on_sphere(found: Sequence[Position | None]) -> Places:
    """Centres and sides, each system of coordinates transformed at once; NaN where there is none that is known."""
    corners = np.full((2, 2, len(found)), np.nan)  # lower left and upper right; longitude and latitude
    systems: dict[str, list[int]] = {}
    for row, each in enumerate(found):
        if each:
            systems.setdefault(each[0], []).append(row)
    for crs, rows in systems.items():
        bounds = np.array([each[1] for row in rows if (each := found[row])])
        try:
            for corner in range(2):
                x, y = transform(crs, "EPSG:4326", *bounds[:, 2 * corner : 2 * corner + 2].T)
                corners[corner][:, rows] = x, y
        except (CRSError, RasterioError, ValueError):  # coordinates that nobody knows
            corners[:, :, rows] = np.nan
    corners[:, :, ~np.isfinite(corners).all(axis=(0, 1))] = np.nan
    ends = [_in_space(*each) for each in corners]
    middle = (ends[0] + ends[1]) / 2
    points = middle * (RADIUS / np.linalg.norm(middle, axis=1, keepdims=True))
    sides = np.linalg.norm(ends[1] - ends[0], axis=1) / np.sqrt(2)
    known = sides[np.isfinite(sides)]
    longitude = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    latitude = np.degrees(np.arcsin((points[:, 2] / RADIUS).clip(-1, 1)))
    return Places(points, latitude, longitude, float(np.median(known)) if len(known) else 0.0)


def _in_space(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    east, north = np.radians(longitude), np.radians(latitude)
    along = np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1)
    scaled: NDArray[np.float64] = RADIUS * along
    return scaled
