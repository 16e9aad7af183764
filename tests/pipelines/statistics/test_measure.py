"""Statistics: what plain numpy finds in the same pixels, and sums that add up."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.dataset.manifest import MANIFEST, Manifest, Part, open_dataset
from pipelines.dataset.part_file import write_part
from pipelines.errors import ShardError
from pipelines.feeding.rows import read_split
from pipelines.packing.ingest import ingest
from pipelines.settings import IngestSettings
from pipelines.statistics.measure import DatasetStatistics, GroupStatistics, measure
from tests.fakes import write_dataset

SIZES = {"B02": 6, "B05": 3}
NAMES = ["Forest", "Water", "Town"]


@dataclass(frozen=True)
class Made:
    """A dataset and all that was put into it: split to country, labels and bands of its rows."""

    folder: Path
    countries: dict[str, NDArray[np.str_]]
    labels: dict[str, NDArray[np.uint8]]
    pixels: dict[str, dict[str, NDArray[np.uint16]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two splits in parts of 90 rows, so of row groups of 64 and 26; some countries are in one split only."""
    folder, rng = tmp_path_factory.mktemp("statistics") / "data", np.random.default_rng(0)
    made = Made(folder, {}, {}, {})
    parts = {}
    for split, rows, there in (("train", 200, ["Austria", "Finland", ""]), ("test", 70, ["Finland", "Kosovo"])):
        made.countries[split] = rng.choice(there, rows)
        made.labels[split] = (rng.random((rows, len(NAMES))) < [0.7, 0.3, 0.0]).astype(np.uint8)
        made.pixels[split] = {
            band: rng.gamma(2, 4000, (rows, size, size)).clip(0, 65535).astype(np.uint16)
            for band, size in SIZES.items()
        }
        parts[split] = [_write(made, split, start) for start in range(0, rows, 90)]
    plain = open_dataset(write_dataset(folder.parent / "plain", 1, sizes=SIZES))
    changes = {"label_names": NAMES, "splits": {"train": parts["train"], "validation": [], "test": parts["test"]}}
    (folder / MANIFEST).write_text(plain.model_copy(update=changes).model_dump_json())
    return made


def _write(made: Made, split: str, start: int) -> Part:
    rows = slice(start, start + 90)
    countries = made.countries[split][rows]
    columns = {
        "patch_id": [f"p{start + row}" for row in range(len(countries))],
        "country": countries.tolist(),
        "crs": [""] * len(countries),
        "x": np.zeros(len(countries)),
        "y": np.zeros(len(countries)),
        "nodata": np.zeros(len(countries)),
        "labels": made.labels[split][rows],
    }
    pixels = {band: array[rows] for band, array in made.pixels[split].items()}
    return write_part(made.folder, f"{split}/part-{start:05d}.parquet", columns, pixels)


@pytest.fixture(scope="module")
def found(made: Made) -> DatasetStatistics:
    return measure(made.folder)


def check_group(found: GroupStatistics, labels: NDArray[np.uint8], pixels: dict[str, NDArray[np.uint16]]) -> None:
    """Against plain numpy over all rows at once."""
    assert found.patches == len(labels)
    assert list(found.label_counts.values()) == labels.sum(axis=0).tolist()
    for one, name in enumerate(found.label_counts):
        both = [int((labels[:, one] & labels[:, other]).sum()) for other in range(labels.shape[1])]
        assert list(found.co_occurrence[name].values()) == both
    numbers, patches = np.unique(labels.sum(axis=1), return_counts=True)
    assert {number: count for number, count in found.labels_per_patch.items() if count} == dict(
        zip(numbers.tolist(), patches.tolist(), strict=True)
    )
    assert set(found.bands) == set(pixels)
    for band, array in pixels.items():
        each, wide = found.bands[band], array.astype(np.float64)
        edges = each.edges
        assert (each.pixels, each.min, each.max) == (array.size, array.min(), array.max())
        assert each.mean == pytest.approx(wide.mean(), rel=1e-12)
        assert each.std == pytest.approx(wide.std(), rel=1e-12)
        assert each.histogram == np.histogram(wide[wide < edges[-1]], edges)[0].tolist()
        assert each.above == (wide >= edges[-1]).sum()


def test_every_group_has_what_plain_numpy_finds(made: Made, found: DatasetStatistics) -> None:
    assert found.dataset == open_dataset(made.folder).hash
    assert list(found.splits) == ["train", "test"]
    for split, countries in made.countries.items():
        labels, pixels = made.labels[split], made.pixels[split]
        check_group(found.splits[split], labels, pixels)
        assert list(found.countries[split]) == sorted(set(countries))
        for country, group in found.countries[split].items():
            here = countries == country
            check_group(group, labels[here], {band: array[here] for band, array in pixels.items()})
    labels = np.concatenate(list(made.labels.values()))
    pixels = {band: np.concatenate([each[band] for each in made.pixels.values()]) for band in SIZES}
    check_group(found.whole, labels, pixels)
    assert found.whole.bands["B02"].above > 0, "nothing was above the bins: the test shows nothing about them"


def test_bins_are_64_wide_from_zero_on(found: DatasetStatistics) -> None:
    assert all(band.edges == list(range(0, 16385, 64)) for band in found.whole.bands.values())


def test_countries_add_up_to_splits_and_splits_to_the_whole(found: DatasetStatistics) -> None:
    levels = [(found.whole, list(found.splits.values()))]
    levels += [(group, list(found.countries[split].values())) for split, group in found.splits.items()]
    for above, below in levels:
        assert above.patches == sum(each.patches for each in below)
        for one in NAMES:
            for other in NAMES:
                assert above.co_occurrence[one][other] == sum(each.co_occurrence[one][other] for each in below)
        for band, each in above.bands.items():
            histograms = [group.bands[band].histogram for group in below]
            assert each.histogram == np.sum(histograms, axis=0).tolist()


def test_numbers_do_not_depend_on_the_threads(made: Made, found: DatasetStatistics) -> None:
    assert measure(made.folder, threads=1) == measure(made.folder, threads=5) == found


def test_json_round_trip(found: DatasetStatistics) -> None:
    assert DatasetStatistics.model_validate_json(found.model_dump_json()) == found


def test_labels_alone_are_the_same_without_pixels(made: Made, found: DatasetStatistics) -> None:
    labels = measure(made.folder, pixels=False)
    assert labels.band_names == ()
    assert labels.whole == found.whole.model_copy(update={"bands": {}})


def test_progress_ends_with_every_patch(made: Made) -> None:
    told: list[tuple[int, int]] = []
    measure(made.folder, lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (270, 270)


def test_damaged_part_is_named(made: Made, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made.folder, tmp_path / "copy"))
    part = copy / "test" / "part-00000.parquet"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(ShardError, match=r"test/part-00000\.parquet"):
        measure(copy)


def test_dataset_without_patches_is_refused(made: Made, tmp_path: Path) -> None:
    manifest: Manifest = open_dataset(made.folder).model_copy(update={"splits": {"train": []}})
    (tmp_path / MANIFEST).write_text(manifest.model_dump_json())
    with pytest.raises(ShardError, match="no patches"):
        measure(tmp_path)


def test_training_split_has_the_manifests_numbers_to_the_last_digit(shards: Path) -> None:
    manifest, found = open_dataset(shards), measure(shards, threads=2)
    for band, each in manifest.statistics.items():
        assert (found.splits["train"].bands[band].mean, found.splits["train"].bands[band].std) == (each.mean, each.std)
    assert {split: group.label_counts for split, group in found.splits.items()} == manifest.label_counts
    assert {
        split: {country: group.patches for country, group in groups.items()}
        for split, groups in found.countries.items()
    } == manifest.country_counts
    rows = read_split(shards, "train", manifest.band_names)
    train = rows.take(np.arange(len(rows)))
    check_group(found.splits["train"], rows.labels, {band: train[band] for band in rows.bands})


def test_other_bands_and_classes(real_data: Path, tmp_path: Path) -> None:
    """EuroSAT: 13 bands of one size, ten classes of which a patch has one, and no countries."""
    bands = "B01,B02,B03,B04,B05,B06,B07,B08,B09,B10,B11,B12,B8A"
    settings = IngestSettings(source=real_data / "eurosat-ms", out=tmp_path / "shards", bands=bands, subset="60")
    manifest = ingest(settings)
    found = measure(tmp_path / "shards", threads=2)
    assert found.band_names == manifest.band_names
    assert found.whole.labels_per_patch == {0: 0, 1: 60}
    assert list(found.countries["train"]) == [""]
    assert found.splits["train"].bands["B10"].mean == manifest.statistics["B10"].mean
