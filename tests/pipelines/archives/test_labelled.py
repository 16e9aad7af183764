"""Your own data: any table that can be understood is, and no row and no file goes missing without a word."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from pipelines.archives.catalogue import Catalogue
from pipelines.archives.detect import read_archive
from pipelines.archives.patch_files import read_patch
from pipelines.bands import ALL_BANDS
from pipelines.errors import ArchiveError, BandError, SettingsError
from pipelines.labels import LABEL_NAMES, decode_labels
from pipelines.location import fetcher
from pipelines.settings import IngestSettings
from pipelines.tables.csv_cells import TABLE
from tests.fakes import geotiff
from tests.pipelines.archives.archive_suite import ArchiveSuite, Content, Kind, Made, Sizes, check

EUROSAT = "B01,B02,B03,B04,B05,B06,B07,B08,B09,B10,B11,B12,B8A"
BANDS = ("red", "green", "nir")
LONG = "Land principally occupied by agriculture, with significant areas of natural vegetation"


def read_catalogue(source: Path, **more: object) -> Catalogue:
    return read_archive(IngestSettings.parse({"source": source, "out": "unused", **more}))


def labels_of(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    vectors = zip(catalogue.rows["patch_id"], catalogue.labels, strict=True)
    return {patch_id: decode_labels(vector, catalogue.label_names) for patch_id, vector in vectors}


def write_tiff(path: Path, bands: Sequence[str] | int = BANDS, size: int | tuple[int, int] = 8) -> None:
    height, width = (size, size) if isinstance(size, int) else size
    count = bands if isinstance(bands, int) else len(bands)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(geotiff(np.ones((count, height, width), np.uint16), None if isinstance(bands, int) else bands))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four small files, two of them in a folder of their own, and no table."""
    for name in ("a.tif", "b.TIFF", "deep/er/c.tif", "deep/d.tif"):
        write_tiff(tmp_path / "data" / name)
    return tmp_path / "data"


def table(folder: Path, *lines: str, newline: str = "\n") -> Path:
    (folder / TABLE).write_bytes((newline.join(lines) + newline).encode())
    return folder


def test_one_class_a_patch(folder: Path) -> None:
    catalogue = read_catalogue(table(folder, "file,label", "a.tif,oak", "b.TIFF,ash", "deep/er/c.tif,oak"))
    assert catalogue.label_names == ("ash", "oak")
    assert labels_of(catalogue) == {"a": ("oak",), "b": ("ash",), "deep/er/c": ("oak",)}
    assert catalogue.dropped == {"no row in the table": ["deep/d"]}
    assert set(catalogue.rows["place"]) == {"a.tif", "b.TIFF", "deep/er/c.tif"}


def test_several_classes_with_commas_in_their_names(folder: Path) -> None:
    lines = (f'a,"{LONG}|Beaches, dunes, sands"', "b, Pastures | Pastures ", 'deep/d,"Pastures|Mixed forest"')
    catalogue = read_catalogue(table(folder, "patch_id,labels", *lines))
    assert catalogue.label_names == LABEL_NAMES
    assert labels_of(catalogue) == {
        "a": ("Beaches, dunes, sands", LONG),
        "b": ("Pastures",),
        "deep/d": ("Mixed forest", "Pastures"),
    }


def test_all_19_are_kept_when_the_labels_are_of_the_19(folder: Path) -> None:
    assert read_catalogue(table(folder, "file,label", "a,Pastures")).label_names == LABEL_NAMES


WRITTEN = {
    "BOM": ("\ufefffile,label", "a.tif,oak", "b.TIFF,ash"),
    "quotes": ('"file","label"', '"a.tif","oak"', '"b.TIFF","ash"'),
    "spaces": (" file , label ", " a.tif ,oak ", ' "b.TIFF", ash'),
    "blank lines": ("file,label", "", "a.tif,oak", "b.TIFF,ash", ""),
    "more columns": ("note,label,file", "x,oak,a.tif", "y,ash,b.TIFF"),
    "file and patch_id": ("patch_id,file,label", "1,a.tif,oak", "2,b.TIFF,ash"),
    "./ and backslashes": ("file,label", "./a.tif,oak", ".\\b.TIFF,ash"),
    "other endings": ("file,label", "a.TIF,oak", "b.tif,ash"),
    "text that other readers take for nothing": ("file,label", "a,NA", "b,null"),
    "numbers": ("file,label", "a,1", "b,01"),
    "semicolons": ("file;label", "a.tif;oak", "b.TIFF;ash"),
    "tabs": ("file\tlabel", "a.tif\toak", "b.TIFF\tash"),
    "capitals": ("File,LABEL", "a.tif,oak", "b.TIFF,ash"),
    "empty cells at the end": ("file,label,,", "a.tif,oak,,", "b.TIFF,ash", ",,,"),
    "full paths of elsewhere": ("file,label", "D:\\set\\a.tif,oak", "/data/b.TIFF,ash"),
    "other case": ("file,label", "A.TIF,oak", "B,ash"),
    "names from before they were converted": ("file,label", "a.jp2,oak", "b.png,ash"),
    "other words": ("filename,class", "a.tif,oak", "b.TIFF,ash"),
    "what Excel puts first": ("sep=;", "file;label", "a.tif;oak", "b.TIFF;ash"),
    "an index of pandas": (",file,label", "0,a.tif,oak", "1,b.TIFF,ash"),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("form", WRITTEN)
def test_tables_as_people_write_them(folder: Path, form: str, newline: str) -> None:
    found = labels_of(read_catalogue(table(folder, *WRITTEN[form], newline=newline)))
    expected = {"numbers": ("1", "01"), "text that other readers take for nothing": ("NA", "null")}
    first, second = expected.get(form, ("oak", "ash"))
    assert found == {"a": (first,), "b": (second,)}


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "columns are none"),
    "no header": (("a.tif,oak", "b,ash"), "columns are a.tif, oak. Give labels.csv the columns file and label"),
    "no label column": (("file,kind", "a,oak"), "columns are file, kind"),
    "no file column": (("name,label", "a,oak"), "columns are name, label"),
    "label and labels": (("file,label,labels", "a,oak,oak"), "columns are file, label, labels"),
    "column twice": (("file,label,label", "a,oak,ash"), "columns are file, label, label"),
    "no rows": (("file,label",), "no file of the table is there"),
    "no file of it": (("file,label", "x,oak", "y,ash"), "no file of the table is there"),
    "comma without quotes": (("file,label", "a,Beaches, dunes, sands"), "line 2 has 4 cells, the first has 2. Put quo"),
    "every line longer": (("file,label", "1,a,oak", "2,b,ash"), "line 2 has 3 cells, the first has 2"),
    "cell missing": (("file,label", "a,oak", "b"), "line 3 has 1 cells, the first has 2"),
    "quote without end": (("file,label", 'a,"oak', "b,ash"), "cannot be read"),
    "empty label": (("file,label", "a,oak", "b,"), "1 rows have empty cells"),
    "empty among several": (("file,labels", "a,oak|", "b,ash||oak", "c,oak"), "2 rows have empty cells"),
    "empty file": (("file,label", ",oak", "b,ash"), "1 rows have empty cells"),
    "row twice": (("file,label", "a,oak", "b,ash", "a,oak"), "a has two rows"),
    "row twice with another ending": (("file,label", "a.tif,oak", "b,ash", "./a.TIFF,ash"), "a has two rows"),
    "patch in two splits": (("file,label,split", "a,oak,train", "b,ash,train", "a,oak,test"), "a has two rows"),
    "unknown split": (("file,label,split", "a,oak,trian", "b,ash,test"), '"trian" in line 2. Did you mean "train"?'),
    "out of the folder": (("file,label", "a,oak", "../x.tif,ash"), "../x.tif is not in the folder"),
    "out of it again": (("file,label", "a,oak", "deep/../../x.tif,ash"), "deep/../../x.tif is not in the folder"),
    "out of it as Windows writes it": (("file,label", "a,oak", "..\\x.tif,ash"), "..\\x.tif is not in the folder"),
    "absolute": (("file,label", "a,oak", "/etc/x.tif,ash"), "/etc/x.tif is not in the folder"),
    "one class": (("file,label", "a,oak", "b,oak"), 'all patches are "oak"'),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_tables_that_make_no_sense_are_refused(folder: Path, fault: str) -> None:
    lines, said = WRONG[fault]
    with pytest.raises(ArchiveError) as caught:
        read_catalogue(table(folder, *lines))
    assert said in str(caught.value)
    assert TABLE in str(caught.value)


@pytest.mark.parametrize("data", [b"file,label\na,\xc4sche\n", "file,label\na,oak\n".encode("utf-16")])
def test_tables_in_another_encoding_are_refused(folder: Path, data: bytes) -> None:
    (folder / TABLE).write_bytes(data)
    with pytest.raises(ArchiveError, match="not a table in UTF-8"):
        read_catalogue(folder)


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    write_tiff(folder / "a.tiff")
    with pytest.raises(ArchiveError, match=r"a\.tif and a\.tiff are one patch"):
        read_catalogue(table(folder, "file,label", "a,oak", "b,ash"))


def test_links_are_followed_and_no_folder_is_seen_twice(folder: Path, tmp_path: Path) -> None:
    write_tiff(tmp_path / "elsewhere" / "e.tif")
    (folder / "e.tif").symlink_to(tmp_path / "elsewhere" / "e.tif")
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "again").symlink_to(folder / "deep")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    catalogue = read_catalogue(table(folder, "file,label", "a,oak", "b,ash", "e,oak", "more/e,oak"))
    assert sorted(catalogue.rows["patch_id"]) == ["a", "b", "e", "more/e"]
    assert catalogue.dropped == {"no row in the table": ["deep/d", "deep/er/c"]}


def test_files_that_describe_their_bands_need_no_names(folder: Path) -> None:
    source = table(folder, "file,label", "a,oak", "b,ash")
    layout = read_catalogue(source).layout
    assert [(band.name, band.size) for band in layout.bands] == [("B04", 8), ("B03", 8), ("B08", 8)]
    assert layout.names == []
    assert [band.name for band in read_catalogue(source, bands="nir,red").layout.bands] == ["B08", "B04"]
    assert read_catalogue(source, names="red,green,nir").layout == layout
    with pytest.raises(BandError, match='unknown band "blue"'):
        read_catalogue(source, bands="blue")
    with pytest.raises(BandError, match="the files call their bands red, green, nir, and B08 is another of them"):
        read_catalogue(source, names="nir,green,red")


@pytest.fixture
def unnamed(tmp_path: Path) -> Path:
    """Two files of three bands without names."""
    for name in ("a.tif", "b.tif"):
        write_tiff(tmp_path / "unnamed" / name, 3)
    return table(tmp_path / "unnamed", "file,label", "a,oak", "b,ash")


def test_bands_without_names_must_be_named(unnamed: Path) -> None:
    for bands in ("all", "rgb-nir", "B04,B03", "B04"):
        with pytest.raises(BandError, match=r"have 3 bands and do not name them\. Name all 3 in file order"):
            read_catalogue(unnamed, bands=bands)


def test_one_band_is_not_called_after_a_set(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", 1)
    table(tmp_path, "file,label", "a,Pastures")
    for bands in ("all", "rgb"):
        with pytest.raises(BandError, match="have 1 bands and do not name them"):
            read_catalogue(tmp_path, bands=bands)
    assert [band.name for band in read_catalogue(tmp_path, bands="B04").layout.bands] == ["B04"]


def test_bands_are_named_by_a_list_of_as_many_or_apart_from_the_choice(unnamed: Path) -> None:
    layout = read_catalogue(unnamed, bands="nir, red ,green").layout
    assert ([band.name for band in layout.bands], layout.names) == (["B08", "B04", "B03"],) * 2
    layout = read_catalogue(unnamed, names="nir,red,green", bands="green,nir").layout
    assert ([band.name for band in layout.bands], layout.names) == (["B03", "B08"], ["B08", "B04", "B03"])
    layout = read_catalogue(unnamed, names="B02,B03,B04", bands="rgb").layout
    assert [band.name for band in layout.bands] == ["B04", "B03", "B02"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"names": "red,green"}, "2 names for 3 bands"),
        ({"names": "red,green,red"}, 'two bands are called "red"'),
        ({"bands": "red,green,red"}, 'two bands are called "red"'),
        ({"bands": "red,,green"}, 'no band can be called ""'),
        ({"names": "red,labels,green"}, 'no band can be called "labels"'),
        ({"names": "x,y,z"}, 'no band can be called "x"'),
        ({"names": "red,all,green"}, 'no band can be called "all"'),
    ],
)
def test_names_that_cannot_be_told_apart_later_are_refused(unnamed: Path, settings: dict[str, str], said: str) -> None:
    with pytest.raises(BandError) as caught:
        read_catalogue(unnamed, **settings)
    assert said in str(caught.value)


def test_a_set_that_has_as_many_bands_names_them(unnamed: Path) -> None:
    catalogue = read_catalogue(unnamed, bands="rgb")
    assert [band.name for band in catalogue.layout.bands] == catalogue.layout.names == ["B04", "B03", "B02"]
    assert "bands have no names and were taken in the order of rgb: B04,B03,B02" in catalogue.notes


def test_files_that_lack_names_among_others_are_told_and_can_be_named(folder: Path) -> None:
    write_tiff(folder / "a.tif", 3)
    write_tiff(folder / "deep" / "d.tif", 3)
    source = table(folder, "file,label", "a,oak", "b,ash", "deep/d,oak", "deep/er/c,ash")
    said = r"2 of 4 files do not name their bands \(.*a\.tif.*\)\. .* --names B04,B03,B08\."
    with pytest.raises(BandError, match=said):
        read_catalogue(source)
    layout = read_catalogue(source, names="B04,B03,B08").layout
    assert ([band.name for band in layout.bands], layout.names) == (["B04", "B03", "B08"],) * 2


def test_names_rename_bands_that_have_others(tmp_path: Path) -> None:
    """By their names, so that files with another order of them are renamed alike."""
    for name, bands in (("a", ("vv", "vh", "red")), ("b", ("vv", "vh", "red")), ("c", ("red", "vh", "vv"))):
        pixels = np.stack([np.full((8, 8), {"vv": 1, "vh": 2, "red": 3}[band], np.uint16) for band in bands])
        (tmp_path / f"{name}.tif").write_bytes(geotiff(pixels, bands))
    source = table(tmp_path, "file,label", "a,oak", "b,ash", "c,oak")
    catalogue = read_catalogue(source, names="S1_VV,S1_VH,B04", bands="B04,S1_VV")
    assert "bands renamed: vv to S1_VV, vh to S1_VH" in catalogue.notes
    for place in catalogue.rows["place"]:
        read = read_patch(catalogue.layout, place, fetcher(tmp_path)).pixels
        assert {band: int(array[0, 0]) for band, array in read.items()} == {"B04": 3, "S1_VV": 1}
    with pytest.raises(BandError, match=r"2 names for 3 bands \(vv, vh, B04\)"):
        read_catalogue(source, names="a,b")


def test_landsats_bands_have_the_names_of_sentinel_2s(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        write_tiff(tmp_path / name, [f"SR_B{number}" for number in range(2, 8)])
    source = table(tmp_path, "file,label", "a,oak", "b,ash")
    layout = read_catalogue(source).layout
    assert [band.name for band in layout.bands] == ["B02", "B03", "B04", "B8A", "B11", "B12"]
    for chosen in ("SR_B4, SR_B5", "B04,nir08", "SR_B4,B8A"):
        layout = read_catalogue(source, bands=chosen).layout
        assert [band.name for band in layout.bands] == ["B04", "B8A"]
    with pytest.raises(BandError, match='unknown band "SR_B1"'):
        read_catalogue(source, bands="SR_B1")


def test_a_file_a_band_has_its_own_size(tmp_path: Path) -> None:
    for patch in ("a", "b"):
        for ending, size in (("B04_10m", 12), ("B11_20m", 6), ("B02_10m", 12)):
            place = from_origin(500000, 5400000, 120 / size, 120 / size)
            (tmp_path / patch).mkdir(exist_ok=True)
            data = geotiff(np.ones((1, size, size), np.uint16), transform=place)
            (tmp_path / patch / f"T33_{ending}.tif").write_bytes(data)
    catalogue = read_catalogue(table(tmp_path, "file,label", "a,oak", "b/T33,ash"))
    assert [(band.name, band.size) for band in catalogue.layout.bands] == [("B02", 12), ("B04", 12), ("B11", 6)]
    assert labels_of(catalogue) == {"a": ("oak",), "b": ("ash",)}
    read = read_patch(catalogue.layout, "b/T33_", fetcher(tmp_path)).pixels
    assert {band: len(array) for band, array in read.items()} == {"B02": 12, "B04": 12, "B11": 6}
    with pytest.raises(BandError, match="the files are called by their bands"):
        read_catalogue(tmp_path, names="x,y,z")


@pytest.mark.parametrize("names", [("red", "red", "nir"), ("red", "crs", "nir"), ("red, far", "green", "nir")])
def test_names_in_the_files_are_held_to_the_same(tmp_path: Path, names: Sequence[str]) -> None:
    write_tiff(tmp_path / "a.tif", names)
    with pytest.raises(BandError):
        read_catalogue(table(tmp_path, "file,label", "a,Pastures"))


def test_twelve_bands_without_names_are_bigearthnets(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", 12)
    table(tmp_path, "file,label", "a,Pastures")
    layout = read_catalogue(tmp_path, bands="rgb").layout
    assert ([band.name for band in layout.bands], tuple(layout.names)) == (["B04", "B03", "B02"], ALL_BANDS)


def test_what_most_files_are_is_what_the_others_will_be_left_out_for(folder: Path) -> None:
    for number in range(3):
        write_tiff(folder / f"odd{number}.tif", size=16)
    (folder / "broken.tif").write_bytes(b"II*\0")
    lines = ("a,oak", "b,ash", "deep/d,oak", "deep/er/c,ash", "odd0,oak", "odd1,ash", "odd2,ash", "broken,oak")
    with pytest.raises(ArchiveError, match=r"4 patches of 8 cannot be read .*odd0\.tif \(16×16 px\).* 8×8 px \(4\)"):
        read_catalogue(table(folder, "file,label", *lines), max_bad=0.49)
    catalogue = read_catalogue(folder, max_bad=0.5)
    assert {band.size for band in catalogue.layout.bands} == {8}
    assert len(catalogue) == 8
    assert any("4 patches of 8 cannot be read and will be left out" in note for note in catalogue.notes)


def test_folder_of_files_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    table(tmp_path, "file,label", "a,Pastures")
    with pytest.raises(ArchiveError, match="none of the files can be read"):
        read_catalogue(tmp_path)
    write_tiff(tmp_path / "a.tif", size=(8, 9))
    with pytest.raises(ArchiveError, match="images are 9×8 px"):
        read_catalogue(tmp_path)


def test_real_stacks(real_data: Path) -> None:
    catalogue = read_catalogue(real_data / "stacks")
    check(catalogue)
    assert (len(catalogue), catalogue.dropped, catalogue.label_names) == (5, {}, LABEL_NAMES)
    assert [(band.name, band.size) for band in catalogue.layout.bands] == [(name, 120) for name in ALL_BANDS]
    assert catalogue.labels.sum() > 10
    with_comma = labels_of(catalogue)["S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_33_62"]
    assert LONG in with_comma
    assert len(with_comma) == 6


def test_real_eurosat(real_data: Path) -> None:
    source = real_data / "eurosat-ms"
    with pytest.raises(BandError, match=r"have 13 bands and do not name them\. Name all 13 in file order") as told:
        read_catalogue(source)
    assert f"As EuroSAT has them: --names {EUROSAT};" in told.value.hint
    catalogue = read_catalogue(source, bands=EUROSAT)
    check(catalogue)
    assert (len(catalogue), catalogue.dropped, len(catalogue.label_names)) == (700, {}, 10)
    assert catalogue.labels.sum(axis=0).tolist() == [70] * 10
    assert (catalogue.labels.sum(axis=1) == 1).all()
    assert [(band.name, band.size) for band in catalogue.layout.bands] == [(name, 64) for name in EUROSAT.split(",")]
    chosen = read_catalogue(source, names=EUROSAT, bands="rgb").layout
    assert ([band.name for band in chosen.bands], chosen.names) == (["B04", "B03", "B02"], EUROSAT.split(","))


def test_real_eurosat_as_it_is_published(real_data: Path, tmp_path: Path) -> None:
    """A folder a class, in folders that hold nothing else, and no table."""
    inner = tmp_path / "EuroSAT_MS" / "tif"
    inner.mkdir(parents=True)
    for folder in (each for each in (real_data / "eurosat-ms").iterdir() if each.is_dir()):
        (inner / folder.name).symlink_to(folder)
    catalogue = read_catalogue(tmp_path, names=EUROSAT)
    tabled = read_catalogue(real_data / "eurosat-ms", names=EUROSAT)
    assert (catalogue.label_names, catalogue.layout) == (tabled.label_names, tabled.layout)
    assert labels_of(catalogue) == {f"EuroSAT_MS/tif/{name}": labels for name, labels in labels_of(tabled).items()}
    assert "no labels.csv: a folder a class" in catalogue.notes


def test_names_are_for_files_that_have_none(real_data: Path) -> None:
    with pytest.raises(SettingsError, match="BigEarthNet's bands have names"):
        read_catalogue(real_data / "bigearthnet-v2", names="B04")


class TestLabelled(ArchiveSuite):
    kind = Kind(
        "labelled folder",
        without_row="no row in the table",
        without_files="missing file",
        alone={"table": "no file of the table is there", "files": "no archive here"},
        sizes={"B09": 20, "B05": 20},
        of_band="",
        wrong_type="pixels are fractions, and those of the other files are not",
    )

    @classmethod
    def table(cls, patches: Sequence[Made]) -> Content:
        lines = [f"{each.name},{'|'.join(each.labels)},{each.split},{each.country}" for each in patches]
        return {TABLE: "\n".join(["file,labels,split,country", *lines]).encode()}

    @classmethod
    def files(cls, patch: Made) -> dict[str, Sizes]:
        return {f"{patch.name}.tif": cls.kind.sizes}
