"""What is no archive is called what it is, with the way to one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.archives.detect import read_archive
from pipelines.errors import ArchiveError
from pipelines.settings import IngestSettings

SAFE = "S2B_MSIL2A_20230701T100559_N0509_R022_T33UUP_20230701T132201.SAFE"


def refusal(source: Path, **more: object) -> str:
    with pytest.raises(ArchiveError) as caught:
        read_archive(IngestSettings.parse({"source": source, "out": "unused", **more}))
    return str(caught.value)


@pytest.mark.parametrize("inner", ["", SAFE, f"{SAFE}/GRANULE"])
def test_scenes_are_not_patches(tmp_path: Path, inner: str) -> None:
    (tmp_path / SAFE / "GRANULE" / "L2A_T33UUP" / "IMG_DATA").mkdir(parents=True)
    (tmp_path / SAFE / "MTD_MSIL2A.xml").touch()
    (tmp_path / SAFE / "GRANULE" / "L2A_T33UUP" / "IMG_DATA" / "T33UUP_B02.jp2").touch()
    said = refusal(tmp_path / inner)
    assert "is of a scene, and scenes are not patches. Cut patches from it first" in said


@pytest.mark.parametrize("beside", [True, False])
def test_the_folder_above_is_named(archive: Path, tmp_path: Path, beside: bool) -> None:
    (tmp_path / "BigEarthNet-S2" / "tile").mkdir(parents=True)
    source = archive / "BigEarthNet-S2" if beside else tmp_path / "BigEarthNet-S2"
    said = refusal(source)
    assert "these are the images within a BigEarthNet v2 archive. Name the folder above them" in said
    assert said.endswith(f"where metadata.parquet lies: {source.parent}.")


def test_a_tile_of_an_archive_is_told_too(archive: Path) -> None:
    tile = next((archive / "BigEarthNet-S2").iterdir())
    assert refusal(tile).endswith(f"where metadata.parquet lies: {archive}.")


HINTS: dict[str, tuple[str, str]] = {
    "one folder too high": ("eurosat/labels.csv", "There is one in eurosat: name that folder"),
    "packed already": ("manifest.json", "It is a dataset that is packed already"),
    "not unpacked": ("EuroSAT.zip", "Unpack EuroSAT.zip first"),
    "JPEG": ("oak/a.jpg", 'rio convert "$f" "${f%.jpg}.tif"'),
    "a workbook": ("classes.xlsx", "Save classes.xlsx as labels.csv in UTF-8"),
    "a table by another name": ("train.csv", "Is train.csv the table? Call it labels.csv"),
    "nothing": ("note", "a folder of GeoTIFFs for each class, or GeoTIFFs and labels.csv"),
}


@pytest.mark.parametrize("what", HINTS)
def test_what_lies_there_decides_the_hint(tmp_path: Path, what: str) -> None:
    file, said = HINTS[what]
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    assert f"{tmp_path}: no archive here. " in (told := refusal(tmp_path))
    assert said in told


def test_a_table_is_found_among_many_files(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.tif").touch()
    (tmp_path / "classes_of_2020.csv").touch()
    assert "Is classes_of_2020.csv the table? Call it labels.csv." in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("EuroSAT_MS.zip", "not a folder. Unpack it, and give the folder that comes of it."),
        ("labels.csv", "not a folder. Give the folder that it lies in: {}."),
        ("patch.TIF", "not a folder. Give the folder that it lies in: {}."),
        ("notes", "not a folder. Give the archive's folder."),
    ],
)
def test_a_file_in_place_of_a_folder(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).touch()
    assert refusal(tmp_path / name) == f"{tmp_path / name}: {said.format(tmp_path)}"


def test_images_of_another_kind_are_told_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "labels.csv").write_text("file,label\na.jpg,oak\nb.jpg,ash\n")
    said = "the images are JPEG (1 .jpg), and GeoTIFFs, JPEG 2000 and PNG are taken. Convert them: "
    assert said in refusal(tmp_path)
