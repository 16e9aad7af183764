"""Images of a folder: a file a patch or a file a band, told by names and by what is in them; nothing is passed over in
silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import ArchiveError
from pipelines.tables.class_folders import table_of_folders
from pipelines.tables.image_files import Images, images_in


def images(folder: Path, *files: str, bands: int = 1) -> Images:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return images_in(folder, lambda _: bands)


def test_a_file_a_patch(tmp_path: Path) -> None:
    found = images(tmp_path, "a.tif", "in/b.TIFF", "in/note.txt", "in/old.jp2", "._a.tif", "in/._b.TIFF")
    assert found.places == {"a": "a.tif", "in/b": "in/b.TIFF"}
    assert (found.endings, found.others) == ({}, {".jp2": 1})
    assert len(found.notes) == 2
    assert found.notes[0].startswith("2 files called ._… were passed over")
    with pytest.raises(ArchiveError, match=r"a\.tif and a\.tiff are one patch"):
        images(tmp_path, "a.tiff")


def test_a_file_a_band_in_a_folder_a_patch(tmp_path: Path) -> None:
    names = ("T33_B02_10m.tif", "T33_B8A_20m.tif", "T33_SCL_20m.tif", "T33_B02_20m.tif")
    found = images(tmp_path, *(f"{patch}/{name}" for patch in ("p1", "p2") for name in names))
    assert found.places == {"p1": "p1/T33_", "p2": "p2/T33_"}
    assert found.names == {"p1/T33": "p1", "p2/T33": "p2"}
    assert found.endings == {"B02": "B02_10m.tif", "B8A": "B8A_20m.tif"}
    assert "4 files were passed over that are of no band, or of one that has others" in found.notes


def test_a_file_a_band_beside_each_other(tmp_path: Path) -> None:
    found = images(tmp_path, *(f"Forest/{n}_{band}.tif" for n in (1, 2) for band in ("red", "nir", "SR_B2")))
    assert found.places == {"Forest/1": "Forest/1_", "Forest/2": "Forest/2_"}
    assert found.endings == {"B04": "red.tif", "B08": "nir.tif", "SR_B2": "SR_B2.tif"}
    assert images(tmp_path / "bare", *(f"{n}/B{band}.tif" for n in (1, 2) for band in (2, 3))).places == {
        "1": "1/",
        "2": "2/",
    }


@pytest.mark.parametrize(
    ("files", "bands"),
    [(("x_B1.tif", "x_B2.tif"), 12), (("forest_b1.tif", "water_b1.tif"), 1), (("x_1.tif", "x_2.tif"), 1)],
)
def test_files_that_hold_all_bands_or_have_no_others_are_patches(
    tmp_path: Path, files: tuple[str, ...], bands: int
) -> None:
    assert set(images(tmp_path, *files, bands=bands).places.values()) == set(files)


def folders(*places: str) -> dict[str, tuple[str, str]] | None:
    table = table_of_folders({place: place for place in places})
    if table is None:
        return None
    rows = zip(table.rows["stem"], table.rows["labels"], table.rows["split"], strict=True)
    return {stem: (labels[0], split) for stem, labels, split in rows}


def test_folders_are_classes() -> None:
    expected = {"oak/1": ("oak", ""), "oak/deep/2": ("oak", ""), "ash/1": ("ash", ""), "ash/2": ("ash", "")}
    assert folders(*expected, "beside") == expected
    assert folders(*(f"ds/tif/{place}" for place in expected)) == {
        f"ds/tif/{place}": labels for place, labels in expected.items()
    }


def test_folders_called_after_splits_hold_those_of_classes() -> None:
    expected = {f"{split}/{name}/{n}": (name, split) for split in ("train", "test") for name in "ab" for n in (1, 2)}
    assert folders(*expected) == expected
    assert folders("Val/a/1", "Val/a/2", "train/b/1", "train/b/2") == {
        "Val/a/1": ("a", "validation"), "Val/a/2": ("a", "validation"), "train/b/1": ("b", "train"),
        "train/b/2": ("b", "train"),
    }  # fmt: skip


@pytest.mark.parametrize("places", [(), ("1", "2"), ("a/1", "a/2"), ("p1/1", "p2/1", "p3/1"), ("a/1", "a/2", "3")])
def test_other_folders_are_no_classes(places: tuple[str, ...]) -> None:
    assert folders(*places) is None
