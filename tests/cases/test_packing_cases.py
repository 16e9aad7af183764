"""Folders and tables that people brought: each script of ../shared/cases makes one and says what is right, and that is
what is asked here of what is read before anything is packed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pipelines.archives.catalogue import Catalogue
from pipelines.archives.detect import read_archive
from pipelines.archives.patch_files import read_patch
from pipelines.bands import ALL_BANDS, BAND_SETS
from pipelines.errors import InputError
from pipelines.location import fetcher
from pipelines.settings import IngestSettings
from tests.cases.conftest import Make


def read(source: Path, **more: object) -> Catalogue:
    return read_archive(IngestSettings.parse({"source": source, "out": "unused", **more}))


def refusal(source: Path, **more: object) -> str:
    with pytest.raises(InputError) as caught:
        read(source, **more)
    assert caught.value.exit_code == 2
    return str(caught.value)


def counts(catalogue: Catalogue) -> dict[str, int]:
    return dict(zip(catalogue.label_names, catalogue.labels.sum(axis=0).tolist(), strict=True))


def bands(catalogue: Catalogue) -> list[str]:
    return [band.name for band in catalogue.layout.bands]


def noted(catalogue: Catalogue, said: str) -> bool:
    return any(re.search(said, note) for note in catalogue.notes)


TEN_EACH = {"Forest": 10, "Water": 10}

AS_THEY_ARE: dict[str, tuple[dict[str, int], str]] = {
    "p01": (TEN_EACH, "no labels.csv: a folder a class"),
    "p02": (TEN_EACH, "20 files were found by the last parts of their names"),
    "p03": (TEN_EACH, "20 files were found without regard to case"),
    "p04": ({"Beaches, dunes, sands": 10, "Wälder & Au": 10}, ""),
    "p06": (TEN_EACH, ""),
    "p07": (TEN_EACH, r"20 files called \._… were passed over"),
    "p08": (TEN_EACH, ""),
    "p09": (TEN_EACH | {"Urban": 10}, ""),
    "p10": (TEN_EACH, ""),
    "p13": ({"Forest": 10, "Water": 10, "Urban": 7}, "a column a class: Forest, Water, Urban"),
    "p14": (TEN_EACH, "5 patches have none of the classes"),
    "p36": (TEN_EACH, "a file a band, such as Forest_0/T33UUP_20230701_B02_10m.tif"),
    "p53": ({"Forest": 20, "Glacier": 1, "Water": 19}, ""),
    "p54": ({"Forest": 12, "Water": 8}, ""),
}
"""Classes with their patches, and what must be told."""


@pytest.mark.parametrize("case", AS_THEY_ARE)
def test_read_as_they_are(make: Make, case: str) -> None:
    expected, said = AS_THEY_ARE[case]
    catalogue = read(make(case))
    assert counts(catalogue) == expected
    assert catalogue.dropped == {}
    assert noted(catalogue, said)
    fetch = fetcher(catalogue.root)
    assert all(read_patch(catalogue.layout, place, fetch).pixels for place in catalogue.rows["place"])


REFUSED: dict[str, str] = {
    "p11": r'"Arable land, Pastures" looks like several classes.* Put \| in place of "," between',
    "p18": r'several spellings: "FOREST" \(5\), "Forest" \(5\), "forest" \(5\).*--classes "Forest\|Water"',
    "p19": r"labels\.csv: not a table in UTF-8: .*as in Windows-1252\. Save it again",
    "p20": r"3 has two rows \(lines 5, 22\)\..*several classes of one file are written in the column labels: a\|b",
    "p47": r"4 patches of 20 cannot be read \(wrong size: 4, such as Forest_0\.tif \(33×32 px\)\); sizes are 32×32",
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_what_is_wrong_with_the_way_out(make: Make, case: str) -> None:
    assert re.search(REFUSED[case], refusal(make(case)), re.IGNORECASE)


def test_p51_jpeg_2000_is_read_as_it_is(make: Make) -> None:
    catalogue = read(make("p51"), bands="B04,B03,B02")
    assert counts(catalogue) == TEN_EACH
    patch = read_patch(catalogue.layout, catalogue.rows["place"].iloc[0], fetcher(catalogue.root))
    assert {array.dtype for array in patch.pixels.values()} == {np.dtype(np.uint16)}


def test_p09_a_class_whose_files_are_missing_stops_the_job(make: Make) -> None:
    source = make("p09")
    (source / "Urban").unlink()
    said = refusal(source, max_bad=0.5)
    assert "10 of 30 files of the table are not there, such as Urban/0.tif, and nearest to it lies" in said
    assert "Urban would have no patch left" in said


def test_p03_a_name_that_leads_nowhere_is_shown_beside_the_nearest(make: Make) -> None:
    source = make("p03")
    for file in (source / "Forest").iterdir():
        file.rename(file.with_name(f"old_{file.name}"))
    assert r"such as forest\forest_0.tif, and nearest to it lies Forest/old_Forest_0.tif" in refusal(source)


def test_p15_splits_by_other_words(make: Make) -> None:
    splits = read(make("p15")).rows["split"].value_counts().to_dict()
    assert splits == {"train": 16, "validation": 8, "test": 6}


def test_p16_a_lacking_validation_split_is_told_and_can_be_dealt(make: Make) -> None:
    source = make("p16")
    catalogue = read(source)
    assert catalogue.rows["split"].value_counts().to_dict() == {"train": 20, "test": 10}
    assert noted(catalogue, "no validation split, by which training chooses: --validation 15%")
    dealt = read(source, validation="15%")
    assert dealt.rows["split"].value_counts().to_dict() == {"train": 17, "validation": 3, "test": 10}
    kept = [set(each.rows["patch_id"][each.rows["split"] == "test"]) for each in (catalogue, dealt)]
    assert kept[0] == kept[1]


def test_p18_a_given_list_makes_one_class_of_its_spellings(make: Make) -> None:
    catalogue = read(make("p18"), classes="Forest|Water")
    assert counts(catalogue) == {"Forest": 15, "Water": 15}
    assert noted(catalogue, 'spellings taken: "forest" for "Forest", "FOREST" for "Forest"')


@pytest.mark.parametrize(("case", "names"), [("p30", ""), ("p31", ",".join(ALL_BANDS))])
def test_exports_of_earth_engine_have_everybodys_names(make: Make, case: str, names: str) -> None:
    source = make(case)
    catalogue = read(source, names=names)
    assert bands(catalogue) == list(ALL_BANDS)
    assert names or noted(catalogue, "names of bands taken: B1 for B01")
    assert bands(read(source, names=names, bands="rgb")) == ["B04", "B03", "B02"]


def test_p32_ten_bands_are_named_by_the_set(make: Make) -> None:
    source = make("p32")
    catalogue = read(source, bands="all-imp")
    assert bands(catalogue) == catalogue.layout.names == list(BAND_SETS["all-imp"])
    assert noted(catalogue, "taken in the order of all-imp: B02,B03")
    assert f"--names {','.join(BAND_SETS['all-imp'])}, or by --bands all-imp" in refusal(source)


def test_p33_bands_are_read_by_name_whatever_their_order(make: Make) -> None:
    catalogue = read(make("p33"))
    assert bands(catalogue) == list(ALL_BANDS)
    assert noted(catalogue, "several orders")
    patches = [read_patch(catalogue.layout, place, fetcher(catalogue.root)) for place in catalogue.rows["place"]]
    for band, mean in (("B01", 900), ("B12", 3900)):
        pixels = np.stack([patch.pixels[band] for patch in patches]).astype(float)
        assert pixels.mean() == pytest.approx(mean, rel=0.02)
        assert pixels.std() == pytest.approx(pixels.mean() / 3, rel=0.05)


def test_p35_twelve_of_thirteen_are_packed(make: Make) -> None:
    assert bands(read(make("p35"), bands=",".join(ALL_BANDS))) == list(ALL_BANDS)


def test_p36_bands_of_a_patch_come_from_their_files(make: Make) -> None:
    catalogue = read(make("p36"))
    assert bands(catalogue) == ["B02", "B03", "B04"]
    assert set(catalogue.rows["patch_id"]) == {f"{kind}_{number}" for kind in TEN_EACH for number in range(10)}


def test_p37_assumed_names_are_told(make: Make) -> None:
    catalogue = read(make("p37"))
    assert bands(catalogue) == list(ALL_BANDS)
    assert noted(catalogue, "bands have no names and were taken in BigEarthNet's order: B01,.*B8A last")


def test_p55_small_patches_are_told(make: Make) -> None:
    assert noted(read(make("p55")), "patches have 8 px a side; some nets take 16 at least")


def test_p56_the_folder_above_is_named(archive: Path) -> None:
    said = refusal(archive / "BigEarthNet-S2")
    assert f"Name the folder above them, where metadata.parquet lies: {archive}" in said


def test_p58_a_region_that_lacks_a_class_is_packed_with_the_list_of_another(make: Make) -> None:
    home = make("p58")
    catalogue = read(home.parent / "abroad", classes="Forest|Glacier|Water")
    assert counts(catalogue) == {"Forest": 18, "Glacier": 0, "Water": 18}
    assert catalogue.label_names == read(home).label_names
    assert noted(catalogue, 'classes of the list without a patch: "Glacier"')
