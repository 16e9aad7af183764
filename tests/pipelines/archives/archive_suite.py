"""What archives of every kind must do alike. A kind is tested by a class of ten lines: it derives from `ArchiveSuite`
and says what its table looks like and where its files lie.

The archives are made up: a mapping of paths to bytes, in which anything can be damaged before `lay` puts it on a disk.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from rasterio.transform import from_origin

from pipelines.archives.catalogue import SPLITS, Catalogue
from pipelines.archives.detect import read_archive
from pipelines.dataset.manifest import MANIFEST, Manifest, check_dataset
from pipelines.errors import ArchiveError, BandError, SettingsError
from pipelines.feeding.rows import read_split
from pipelines.labels import LABEL_NAMES, decode_labels
from pipelines.packing.ingest import ingest
from pipelines.settings import IngestSettings
from tests.fakes import geotiff

Content = dict[str, bytes]
"""Path to content."""

Sizes = Mapping[str, int]
"""Band to pixels a side."""

LABELS = ("Agro-forestry areas", "Coniferous forest", "Mixed forest", "Pastures")
"""Called the same among the 43 classes and the 19."""


@dataclass(frozen=True)
class Made:
    """A patch of which everything follows from its number; `turn` gives it other labels."""

    number: int
    turn: int = 0

    @property
    def name(self) -> str:
        return f"tile{self.number // 16}_{self.number:02d}_7"

    @property
    def labels(self) -> tuple[str, ...]:
        bits = (self.number + self.turn) % 15 + 1
        return tuple(label for place, label in enumerate(LABELS) if bits >> place & 1)

    @property
    def split(self) -> str:
        return SPLITS[self.number % 3]

    @property
    def country(self) -> str:
        return ("Austria", "Finland")[self.number // 3 % 2]

    def pixels(self, band: str, size: int) -> NDArray[np.uint16]:
        drawn = np.random.default_rng([self.number, int(band[1:])]).integers(1, 9000, (size, size))
        return drawn.astype(np.uint16)

    def tiff(self, bands: Sizes, dtype: str = "uint16", times: float = 1) -> bytes:
        stack = times * np.stack([self.pixels(band, size) for band, size in bands.items()])
        metres = 1200 / stack.shape[-1]
        place = from_origin(300000 + 1200 * self.number, 5000000, metres, metres)
        return geotiff(stack.astype(dtype), list(bands), transform=place)


PATCHES = tuple(Made(number) for number in range(48))

DAMAGE: dict[str, Callable[[Made, Sizes], bytes | None]] = {
    "missing file": lambda patch, bands: None,
    "file is cut off: part of its header lies beyond its end": lambda patch, bands: patch.tiff(bands)[:-1],
    "file is empty": lambda patch, bands: b"",
    "not a GeoTIFF but a text file": lambda patch, bands: b"404 not found",
    "wrong size": lambda patch, bands: patch.tiff(dict.fromkeys(bands, 24)),
    "wrong type": lambda patch, bands: patch.tiff(bands, "float32", 0.3),
}
"""What is said of a patch one of whose files became so."""


@dataclass(frozen=True)
class Kind:
    """What is particular about a kind of archive.

    Args:
        name: as the catalogue calls it.
        without_row, without_files: what is said of a patch that the table lacks, and of one with nothing but its row.
        alone: what is said of a folder that has the table alone, or the files alone.
        images: the folder that the patches are in.
        sizes: the bands of its made-up patches, in another order than they are asked for.
        tells: what the table says of a patch beside its labels.
        of_band: how a file is told with which something is wrong: by its band, where there is a file a band.
        wrong_type: what is said of fractions.
        in_circles: what is left out where links lead to folders above them.
    """

    name: str
    without_row: str
    without_files: str
    alone: dict[str, str]
    images: str = ""
    sizes: Sizes = field(default_factory=lambda: {"B09": 20, "B05": 60})
    tells: tuple[str, ...] = ("split", "country")
    of_band: str = ": B05"
    wrong_type: str = "wrong type"
    in_circles: dict[str, list[str]] = field(default_factory=dict)


class Packed(NamedTuple):
    source: Path
    out: Path
    manifest: Manifest
    expected: dict[str, list[str]]
    """Reason to the patches that are left out for it."""


class Listing(closing[Generator[os.DirEntry[str]]]):
    """What `os.scandir` gives: a context, and an iterator."""

    def __next__(self) -> os.DirEntry[str]:
        return next(self.thing)


def facts_of(catalogue: Catalogue) -> list[object]:
    """All that is said of the patches to pack, in order, and of those to leave out."""
    rows = zip(catalogue.rows.itertuples(index=False, name=None), catalogue.labels.tolist(), strict=True)
    return [*rows, sorted(catalogue.others), {why: sorted(ids) for why, ids in catalogue.dropped.items()}]


def check(catalogue: Catalogue) -> None:
    """What is true of any: ids are unique, labels are of the names, splits of the three."""
    assert catalogue.rows["patch_id"].is_unique
    assert catalogue.labels.shape == (len(catalogue), len(catalogue.label_names))
    assert set(catalogue.rows["split"]) <= set(SPLITS)


class ArchiveSuite(ABC):
    kind: Kind

    @classmethod
    @abstractmethod
    def table(cls, patches: Sequence[Made]) -> Content:
        """What says which patches there are and what they show."""

    @classmethod
    @abstractmethod
    def files(cls, patch: Made) -> dict[str, Sizes]:
        """The paths of a patch's files, and the bands in each."""

    @classmethod
    def lay(cls, content: Content, folder: Path) -> Path:
        """Put an archive on the disk."""
        (folder / cls.kind.images).mkdir(parents=True, exist_ok=True)
        for name, data in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    @classmethod
    def pixels(cls, patches: Sequence[Made]) -> Content:
        return {name: patch.tiff(bands) for patch in patches for name, bands in cls.files(patch).items()}

    @classmethod
    def settings(cls, source: Path, out: Path | str = "unused", **more: object) -> IngestSettings:
        return IngestSettings.parse({"source": source, "out": out, "bands": "B05,B09", **more})

    def read(self, source: Path, **more: object) -> Catalogue:
        return read_archive(self.settings(source, **more))

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """An archive with nothing wrong; it is not to be changed."""
        return cls.lay(cls.table(PATCHES) | cls.pixels(PATCHES), tmp_path_factory.mktemp("whole") / "archive")

    @pytest.fixture(scope="class")
    @classmethod
    def packed(cls, tmp_path_factory: pytest.TempPathFactory) -> Packed:
        """A dataset made of an archive whose first patches cannot be used, each for a reason of its own."""
        unlisted, absent, blank, *others = PATCHES
        content = cls.table(PATCHES[1:]) | cls.pixels([unlisted, *others])
        content |= {name: blank.tiff(bands, times=0) for name, bands in cls.files(blank).items()}
        expected = {cls.kind.without_row: [unlisted.name], "all pixels are empty": [blank.name]}
        expected.setdefault(cls.kind.without_files, []).append(absent.name)
        for patch, (what, damage) in zip(others, DAMAGE.items(), strict=False):
            *_, (file, bands) = cls.files(patch).items()
            content[file] = damage(patch, bands) or b""
            if damage(patch, bands) is None:
                del content[file]
            said = cls.kind.wrong_type if what == "wrong type" else what
            expected.setdefault(f"{said}{cls.kind.of_band}", []).append(patch.name)
        folder = tmp_path_factory.mktemp("packed")
        source = cls.lay(content, folder / "archive")
        manifest = ingest(cls.settings(source, folder / "out", max_bad=0.3))
        return Packed(source, folder / "out", manifest, expected)

    def test_what_the_table_says_is_read(self, source: Path) -> None:
        catalogue = self.read(source, split="auto" if "split" in self.kind.tells else "balanced")
        check(catalogue)
        assert (catalogue.kind, catalogue.dropped, catalogue.unmapped) == (self.kind.name, {}, {})
        assert catalogue.label_names == LABEL_NAMES
        made = {patch.name: patch for patch in PATCHES}
        assert set(catalogue.rows["patch_id"]) == set(made)
        for row, labels in zip(catalogue.rows.itertuples(), catalogue.labels, strict=True):
            patch = made[row.patch_id]
            assert decode_labels(labels, catalogue.label_names) == patch.labels
            assert row.split == patch.split or "split" not in self.kind.tells
            assert row.country == (patch.country if "country" in self.kind.tells else "")

    def test_bands_are_chosen_by_name(self, source: Path) -> None:
        for chosen in (["B05", "B09"], ["B05"]):
            layout = self.read(source, bands=",".join(chosen)).layout
            assert [(band.name, band.size) for band in layout.bands] == [
                (band, self.kind.sizes[band]) for band in chosen
            ]
        with pytest.raises(BandError, match='unknown band "B10"'):
            self.read(source, bands="B05,B10")

    def test_the_split_is_the_archives_own_or_dealt(self, source: Path) -> None:
        def split_of(split: str) -> dict[str, str]:
            rows = self.read(source, split=split).rows
            return dict(zip(rows["patch_id"], rows["split"], strict=True))

        dealt = split_of("balanced")
        assert [list(dealt.values()).count(split) for split in SPLITS] == [34, 7, 7]
        if "split" in self.kind.tells:
            assert split_of("auto") == split_of("official") == {patch.name: patch.split for patch in PATCHES} != dealt
            return
        assert split_of("auto") == dealt
        with pytest.raises(SettingsError, match=r"no split of its own\. Use --split balanced"):
            split_of("official")

    @pytest.mark.parametrize(("subset", "size"), [("10%", 5), ("0.5%", 1), ("33", 33), ("100%", 48), ("48", 48)])
    def test_a_subset_has_the_size_that_was_asked_for(self, source: Path, subset: str, size: int) -> None:
        whole, part = self.read(source), self.read(source, subset=subset)
        assert len(part) == size
        splits = dict(zip(whole.rows["patch_id"], whole.rows["split"], strict=True))
        assert all(splits[row.patch_id] == row.split for row in part.rows.itertuples())
        for split in SPLITS:
            assert abs((part.rows["split"] == split).sum() - size / 48 * (whole.rows["split"] == split).sum()) < 1
        assert part.label_names == whole.label_names
        assert size < 24 or (part.labels.any(axis=0) == whole.labels.any(axis=0)).all()
        assert part.others == frozenset(whole.rows["patch_id"]) - frozenset(part.rows["patch_id"])
        assert part.dropped == whole.dropped == {}

    @pytest.mark.parametrize(
        "choice", [{}, {"subset": "20%"}, {"split": "balanced"}, {"split": "balanced", "subset": "30"}], ids=str
    )
    def test_one_seed_gives_one_order_whatever_that_of_the_table_and_of_the_folders(
        self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: dict[str, str]
    ) -> None:
        first = facts_of(self.read(source, **choice))
        again = self.lay(self.table(PATCHES[::-1]) | self.pixels(PATCHES[::-1]), tmp_path / "archive")
        scandir = os.scandir
        for turned in (False, True):

            def listed(path: Any = ".", turned: bool = turned) -> Listing:
                found = sorted(scandir(path), key=lambda entry: entry.name, reverse=turned)
                return Listing(entry for entry in found)

            monkeypatch.setattr(os, "scandir", listed)
            assert facts_of(self.read(source, **choice)) == facts_of(self.read(again, **choice)) == first
        other = facts_of(self.read(source, seed=1, **choice))
        assert other != first
        assert choice or "split" not in self.kind.tells or sorted(map(str, other)) == sorted(map(str, first))

    def test_the_checksum_is_of_what_the_table_says(self, source: Path, tmp_path: Path) -> None:
        checksum = self.read(source).checksum
        for number, (patches, same) in enumerate(
            ((PATCHES, True), ([replace(PATCHES[0], turn=1), *PATCHES[1:]], False))
        ):
            archive = self.lay(self.table(patches) | self.pixels(PATCHES), tmp_path / str(number))
            assert (self.read(archive).checksum == checksum) == same

    def test_half_of_an_archive_is_none(self, tmp_path: Path) -> None:
        tmp_path.joinpath("nothing").mkdir()
        halves = {"nothing": {}, "table": self.table(PATCHES), "files": self.pixels(PATCHES)}
        for name, said in ({"nothing": "no archive here"} | self.kind.alone).items():
            folder = self.lay(halves[name], tmp_path / name) if halves[name] else tmp_path / name
            with pytest.raises(ArchiveError, match=rf"{name}.*: {said}"):
                self.read(folder)

    def test_links_that_run_in_circles_are_not_followed(self, source: Path, tmp_path: Path) -> None:
        archive = self.lay(self.table(PATCHES) | self.pixels(PATCHES), tmp_path / "archive")
        above = (archive / next(iter(self.files(PATCHES[0])))).parents
        for folder in (each for each in above if each.is_relative_to(archive / self.kind.images)):
            (folder / "self").symlink_to(folder / "self")
            (folder / "up").symlink_to(archive)
        whole = facts_of(self.read(source))
        assert facts_of(self.read(archive)) == [*whole[:-1], self.kind.in_circles]

    def test_patches_that_cannot_be_used_are_left_out_for_their_reason(self, packed: Packed) -> None:
        assert packed.manifest.dropped == packed.expected

    def test_all_others_are_packed_to_the_pixel(self, packed: Packed) -> None:
        left_out = {name for names in packed.expected.values() for name in names}
        made = {patch.name: patch for patch in PATCHES if patch.name not in left_out}
        for split in SPLITS:
            rows = read_split(packed.out, split, list(self.kind.sizes))
            taken = rows.take(np.arange(len(rows)))
            parts = [pq.read_table(packed.out / part.file) for part in packed.manifest.splits[split]]
            table = pa.concat_tables(parts).select(["country", "crs", "x", "y"]).to_pylist()
            for row, name in enumerate(rows.patch_ids):
                patch = made.pop(name)
                assert split == patch.split or "split" not in self.kind.tells
                assert decode_labels(rows.labels[row], packed.manifest.label_names) == patch.labels
                for band, size in self.kind.sizes.items():
                    np.testing.assert_array_equal(taken[band][row], patch.pixels(band, size))
                country = patch.country if "country" in self.kind.tells else ""
                x = 300000 + 1200 * patch.number
                assert table[row] == {"country": country, "crs": "EPSG:32633", "x": x, "y": 5000000}
        assert not made, "neither packed nor counted"

    def test_the_dataset_is_proved(self, packed: Packed) -> None:
        assert check_dataset(packed.out) == packed.manifest
        assert sorted(path.name for path in packed.out.iterdir()) == [MANIFEST, *sorted(SPLITS)]

    def test_too_many_unreadable_patches_stop_the_job(self, packed: Packed, tmp_path: Path) -> None:
        said = r"\d of 4[5-8] (patches|files)( of the table)? are .* --max-bad 0\.01"
        with pytest.raises(ArchiveError, match=said) as stopped:
            ingest(self.settings(packed.source, tmp_path / "out"))
        going_on = [each for each in threading.enumerate() if each.name.startswith("StreamingExecutor")]
        assert not going_on, f"though it ended with {stopped}"
        assert not (tmp_path / "out" / MANIFEST).exists()
