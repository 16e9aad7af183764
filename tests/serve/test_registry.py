"""Versions, production, and going back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.bundle.config import check_bundle
from pipelines.errors import BundleError, InputError, NotFoundError
from serve.registry import add_bundle, find, list_entries, promote, rollback
from tests.fakes import write_fresh_bundle


@pytest.fixture(scope="module")
def other(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fresh_bundle(tmp_path_factory.mktemp("other") / "b", shards, bands="rgb", seed=5)


def test_versions_count_up_and_the_newest_is_served(bundle: Path, other: Path, tmp_path: Path) -> None:
    assert add_bundle(tmp_path, "land", bundle).version == 1
    assert add_bundle(tmp_path, "land", other).version == 2
    assert [(entry.version, entry.production) for entry in list_entries(tmp_path)] == [(1, False), (2, True)]
    assert rollback(tmp_path, "land").version == 1
    assert find(tmp_path, "land").version == 1
    assert promote(tmp_path, "land", 2).production


def test_the_same_bundle_twice_gets_the_first_ones_version(bundle: Path, other: Path, tmp_path: Path) -> None:
    for path in (bundle, other, bundle):
        entry = add_bundle(tmp_path, "land", path)
    assert entry.version == 1
    assert len(list_entries(tmp_path)) == 2


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_damaged_version_is_never_taken_for_the_bundle_that_it_was(bundle: Path, tmp_path: Path, file: str) -> None:
    (add_bundle(tmp_path, "land", bundle).path / file).write_bytes(b"0")
    entry = add_bundle(tmp_path, "land", bundle)
    assert (entry.version, entry.production) == (2, True)
    check_bundle(entry.path)


def test_damaged_bundle_is_refused_and_nothing_is_left(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    (copy / "model.safetensors").write_bytes(b"0")
    with pytest.raises(BundleError, match="damaged"):
        add_bundle(tmp_path / "registry", "land", copy)
    assert list_entries(tmp_path / "registry") == []


@pytest.mark.parametrize("record", ["{", "[" * 100_000, '{"version": 1e999, "history": []}'])
def test_damaged_record_of_production_stops_nothing_but_its_model(bundle: Path, tmp_path: Path, record: str) -> None:
    for name in ("land", "sea"):
        add_bundle(tmp_path, name, bundle)
    (tmp_path / "land" / "production.json").write_text(record)
    assert find(tmp_path, "sea").production
    with pytest.raises(NotFoundError, match='no version of model "land" is in production'):
        find(tmp_path, "land")
    assert promote(tmp_path, "land", 1).production


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 65])
def test_names_that_are_no_names(bundle: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot name a model"):
        add_bundle(tmp_path, name, bundle)


def test_unknown_names_and_versions(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="landsweep registry add"):
        find(tmp_path, "land")
    add_bundle(tmp_path, "land", bundle)
    with pytest.raises(NotFoundError, match='Did you mean "land"'):
        find(tmp_path, "lamd")
    with pytest.raises(NotFoundError, match=r"no version 7\. Versions: 1"):
        promote(tmp_path, "land", 7)
    with pytest.raises(InputError, match="no other version"):
        rollback(tmp_path, "land")
