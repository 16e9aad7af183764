"""BigEarthNet v1: 43 classes become 19, and every patch is packed or counted."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.archives.bigearthnet_v1 import IMAGES, read_names
from pipelines.archives.catalogue import Catalogue
from pipelines.archives.corine import TO_19
from pipelines.archives.detect import read_archive
from pipelines.errors import ArchiveError
from pipelines.labels import decode_labels
from pipelines.settings import IngestSettings
from tests.pipelines.archives.archive_suite import ArchiveSuite, Content, Kind, Made, Sizes, check


def read_catalogue(source: Path, **more: object) -> Catalogue:
    return read_archive(IngestSettings.parse({"source": source, "out": "unused", **more}))


def labels_of(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    vectors = zip(catalogue.rows["patch_id"], catalogue.labels, strict=True)
    return {patch_id: decode_labels(vector, catalogue.label_names) for patch_id, vector in vectors}


def add_patch(images: Path, name: str, labels: object = ("Pastures",), text: str | None = None) -> None:
    """A patch of labels alone: its pixels are read when it is packed."""
    (images / name).mkdir(parents=True)
    written = json.dumps({"labels": labels, "projection": "…"}) if text is None else text
    (images / name / f"{name}_labels_metadata.json").write_text(written)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The image folder of an archive that a test may add to; two patches are in it."""
    folder = tmp_path / "archive" / IMAGES
    add_patch(folder, "first", ["Rice fields", "Airports", "Sea and ocean"])
    add_patch(folder, "second", ["Pastures", "Airports"])
    return folder


def test_real_archive(real_data: Path) -> None:
    source = real_data / "bigearthnet-v1"
    catalogue = read_catalogue(source)
    check(catalogue)
    assert (len(catalogue), catalogue.dropped, catalogue.kind) == (62, {}, "BigEarthNet v1")
    found = labels_of(catalogue)
    without = dict.fromkeys(TO_19, 0)
    for file in source.rglob("*_labels_metadata.json"):
        names = json.loads(file.read_text())["labels"]
        assert set(found[file.parent.name]) == {TO_19[name] for name in names} - {None}
        for name in names:
            without[name] += TO_19[name] is None
    assert catalogue.unmapped == {name: count for name, count in without.items() if count}


def test_classes_without_one_of_the_19_are_counted(images: Path) -> None:
    catalogue = read_catalogue(images.parent)
    assert labels_of(catalogue) == {"first": ("Arable land", "Marine waters"), "second": ("Pastures",)}
    assert catalogue.unmapped == {"Airports": 2}


def test_the_image_folder_alone_is_an_archive(images: Path) -> None:
    assert labels_of(read_catalogue(images)) == labels_of(read_catalogue(images.parent))


UNREADABLE = {
    "labels as text": ("unreadable labels", "Pastures", None),
    "labels by name": ("unreadable labels", {"Pastures": 1}, None),
    "null": ("unreadable labels", None, None),
    "numbers": ('unknown class "231"', [231], None),
    "a list in the list": ("unknown class \"['Pastures']\"", [["Pastures"]], None),
    "a class of none": ('unknown class "Glaciers"', ["Pastures", "Glaciers"], None),
    "no JSON": ("unreadable labels", None, "labels: Pastures"),
    "cut off": ("unreadable labels", None, '{"labels": ["Past'),
    "empty": ("unreadable labels", None, ""),
    "a list": ("unreadable labels", None, '["Pastures"]'),
    "no labels in it": ("unreadable labels", None, '{"classes": ["Pastures"]}'),
    "nested without end": ("unreadable labels", None, "[" * 200_000),
    "none of the 19": ("no class of the 19", ["Airports", "Bare rock"], None),
    "none at all": ("no class of the 19", [], None),
}


@pytest.mark.parametrize("fault", UNREADABLE)
def test_patches_are_left_out_for_the_reason_in_their_labels(images: Path, fault: str) -> None:
    reason, labels, text = UNREADABLE[fault]
    add_patch(images, "third", labels, text)
    catalogue = read_catalogue(images.parent)
    assert catalogue.dropped == {reason: ["third"]}
    assert sorted(catalogue.rows["patch_id"]) == ["first", "second"]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EACCES, None), (errno.EBUSY, OSError), (errno.EMFILE, OSError), (None, OSError)]
)
def test_trouble_of_the_machine_is_no_fault_of_a_patch(number: int | None, kind: type[OSError] | None) -> None:
    def fetch(name: str) -> bytes:
        raise OSError(number, "no") if number else OSError("no")

    if kind is None:
        assert read_names(fetch, "first") == "unreadable labels"
        return
    with pytest.raises(kind):
        read_names(fetch, "first")


def test_labels_that_are_not_text_or_not_there(images: Path) -> None:
    add_patch(images, "latin")
    (images / "latin" / "latin_labels_metadata.json").write_bytes(b'{"labels": ["For\xeat"]}')
    (images / "bare").mkdir()
    (images / "folder" / "folder_labels_metadata.json").mkdir(parents=True)
    assert read_catalogue(images.parent).dropped == {"no labels": ["bare"], "unreadable labels": ["folder", "latin"]}


@pytest.mark.parametrize("inside", [False, True])
def test_the_archives_lists_of_snow_and_clouds_are_left_out(images: Path, inside: bool) -> None:
    for name in ("third", "fourth", "fifth"):
        add_patch(images, name)
    folder = images if inside else images.parent
    (folder / "patches_with_seasonal_snow.csv").write_text("third\r\nnot_here\r\n")
    (folder / "patches_with_cloud_and_shadow.csv").write_text("\ufefffourth\nthird\n", encoding="utf-8")
    for source in (images, images.parent):
        catalogue = read_catalogue(source)
        assert catalogue.dropped == {"seasonal snow": ["third"], "cloud or shadow": ["fourth"]}
        assert sorted(catalogue.rows["patch_id"]) == ["fifth", "first", "second"]


def test_a_list_that_is_no_text_is_refused(images: Path) -> None:
    (images.parent / "patches_with_seasonal_snow.csv").write_bytes(b"\xff\xfe\x00t")
    with pytest.raises(ArchiveError, match=r"seasonal_snow\.csv: not a list of names"):
        read_catalogue(images.parent)


def test_archive_without_a_patch_is_refused(tmp_path: Path) -> None:
    (tmp_path / IMAGES).mkdir()
    with pytest.raises(ArchiveError, match="no patch to pack"):
        read_catalogue(tmp_path)


class TestV1(ArchiveSuite):
    kind = Kind(
        "BigEarthNet v1",
        without_row="no labels",
        without_files="missing file: B05",
        alone={"files": "no patch to pack"},
        images=IMAGES,
        tells=(),
        in_circles={"no labels": ["up"]},
    )

    @classmethod
    def table(cls, patches: Sequence[Made]) -> Content:
        return {
            f"{IMAGES}/{p.name}/{p.name}_labels_metadata.json": json.dumps({"labels": p.labels}).encode()
            for p in patches
        }

    @classmethod
    def files(cls, patch: Made) -> dict[str, Sizes]:
        place = f"{IMAGES}/{patch.name}/{patch.name}"
        return {f"{place}_{band}.tif": {band: size} for band, size in cls.kind.sizes.items()}
