"""Versions, production, and going back; whatever is found in the folder, and whoever writes to it at once."""

from __future__ import annotations

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bundle.config import CONFIG, WEIGHTS, check_bundle, config_text, read_config
from pipelines.errors import BundleError, BusyError, InputError, NotFoundError
from pipelines.files import exclusive
from serve.registry import PRODUCTION, Entry, add_bundle, find, list_entries, promote, rollback
from tests.fakes import write_fresh_bundle, write_fresh_ensemble


@pytest.fixture(scope="module")
def other(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fresh_bundle(tmp_path_factory.mktemp("other") / "b", shards, bands="rgb", seed=5)


def variant(bundle: Path, folder: Path, **changed: Any) -> Path:
    """The same bundle with another value in its config."""
    copy = Path(shutil.copytree(bundle, folder))
    (copy / CONFIG).write_text(config_text(read_config(bundle).model_copy(update=changed)))
    return copy


@pytest.fixture
def three(bundle: Path, tmp_path: Path) -> Path:
    """A registry of three versions of `land`, the last of them in production."""
    registry = tmp_path / "registry"
    for temperature in (1.0, 2.0, 3.0):
        add_bundle(registry, "land", variant(bundle, tmp_path / f"{temperature}", temperature=temperature))
    return registry


def versions(registry: Path) -> list[tuple[int, bool]]:
    return [(entry.version, entry.production) for entry in list_entries(registry)]


def history(registry: Path) -> list[int]:
    found: list[int] = json.loads((registry / "land" / PRODUCTION).read_text())["history"]
    return found


def test_an_ensemble_of_the_same_nets_in_other_shares_is_another_version(shards: Path, tmp_path: Path) -> None:
    ensemble = write_fresh_ensemble(tmp_path / "ensemble", shards)
    first, *rest = read_config(ensemble).members
    shares = [
        each.model_copy(update={"share": share}) for each, share in zip([first, *rest], (0.5, 0.25, 0.25), strict=True)
    ]
    other = variant(ensemble, tmp_path / "other", members=shares)
    found = [add_bundle(tmp_path / "registry", "land", each).version for each in (ensemble, other, ensemble)]
    assert found == [1, 2, 1]


def test_versions_count_up_and_the_newest_is_served(bundle: Path, other: Path, tmp_path: Path) -> None:
    assert add_bundle(tmp_path, "land", bundle).version == 1
    assert add_bundle(tmp_path, "land", other).version == 2
    assert versions(tmp_path) == [(1, False), (2, True)]
    assert rollback(tmp_path, "land").version == 1
    assert find(tmp_path, "land").version == 1
    assert promote(tmp_path, "land", 2).production


def test_a_version_may_be_added_and_not_served_but_the_first(bundle: Path, other: Path, tmp_path: Path) -> None:
    assert add_bundle(tmp_path, "land", bundle, promote=False).production
    assert not add_bundle(tmp_path, "land", other, promote=False).production
    assert versions(tmp_path) == [(1, True), (2, False)]


def test_an_entry_is_a_whole_bundle_of_its_own(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    entry = add_bundle(tmp_path / "registry", "land", copy)
    shutil.rmtree(copy)
    assert check_bundle(entry.path) == read_config(bundle)
    assert entry == Entry("land", 1, tmp_path / "registry" / "land" / "1", True)


def test_the_best_bundle_of_a_run_or_a_search_is_taken(bundle: Path, other: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "run" / "checkpoints" / "best_acc")
    shutil.copytree(other, tmp_path / "run" / "checkpoints" / "final")
    shutil.copytree(other, tmp_path / "search" / "checkpoints" / "best")
    for name, source in (("run", bundle), ("search", other)):
        assert read_config(add_bundle(tmp_path / "registry", name, tmp_path / name).path) == read_config(source)


def test_the_same_bundle_twice_gets_the_first_ones_version(bundle: Path, other: Path, tmp_path: Path) -> None:
    for path in (bundle, other, bundle):
        entry = add_bundle(tmp_path, "land", path)
    assert (entry.version, entry.production) == (1, True)
    assert versions(tmp_path) == [(1, True), (2, False)]


@pytest.mark.parametrize("changed", [{"temperature": 1.5}, {"thresholds": 0.25}])
def test_what_would_answer_otherwise_is_another_version(bundle: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    """A bundle calibrated anew has the same weights."""
    if "thresholds" in changed:
        changed = {"thresholds": dict.fromkeys(read_config(bundle).label_names, changed["thresholds"])}
    add_bundle(tmp_path / "registry", "land", bundle)
    assert add_bundle(tmp_path / "registry", "land", variant(bundle, tmp_path / "new", **changed)).version == 2


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


def test_going_back_goes_through_all_that_was_served(three: Path) -> None:
    assert history(three) == [1, 2]
    assert promote(three, "land", 1).production
    assert history(three) == [1, 2, 3]
    assert [rollback(three, "land").version for _ in range(3)] == [3, 2, 1]
    with pytest.raises(InputError, match=r'"land" has had no other version in production\. Use `registry promote`'):
        rollback(three, "land")
    assert versions(three) == [(1, True), (2, False), (3, False)]


def test_promoting_what_is_served_changes_nothing(three: Path) -> None:
    before = (three / "land" / PRODUCTION).read_bytes()
    for _ in range(2):
        assert promote(three, "land", 3).production
    assert (three / "land" / PRODUCTION).read_bytes() == before


@pytest.mark.parametrize("harm", ["flipped", "removed"])
def test_wrong_weights_are_never_put_into_production(three: Path, harm: str) -> None:
    """Neither by name nor by going back; what was served is served still."""
    if harm == "removed":
        shutil.rmtree(three / "land" / "2")
    else:
        (three / "land" / "2" / WEIGHTS).write_bytes(b"0")
    with pytest.raises(BundleError, match=r"damaged|no such bundle"):
        rollback(three, "land")
    with pytest.raises((BundleError, NotFoundError)):
        promote(three, "land", 2)
    assert find(three, "land").version == 3
    assert history(three) == [1, 2]


def test_a_version_that_was_served_and_is_gone_leaves_none_in_production(three: Path) -> None:
    shutil.rmtree(three / "land" / "3")
    with pytest.raises(NotFoundError, match=r"no version.*VERSION`\. Versions: 1, 2\."):
        find(three, "land")
    assert promote(three, "land", 1).production


RECORDS = ["", "{", "[" * 100_000, "[]", "null", "{}", '{"version": 1}', '{"version": null, "history": []}', "\0\xff"]
RECORDS += [
    '{"version": 1e999, "history": []}',
    '{"version": "one", "history": []}',
    '{"version": 1, "history": ["x"]}',
]


@pytest.mark.parametrize("record", RECORDS)
def test_damaged_record_of_production_stops_nothing_but_its_model(bundle: Path, tmp_path: Path, record: str) -> None:
    for name in ("land", "sea"):
        add_bundle(tmp_path, name, bundle)
    (tmp_path / "land" / PRODUCTION).write_bytes(record.encode("latin-1"))
    assert find(tmp_path, "sea").production
    with pytest.raises(NotFoundError, match='no version of model "land" is in production'):
        find(tmp_path, "land")
    assert promote(tmp_path, "land", 1).production


def test_what_else_lies_in_the_folder_is_no_entry(three: Path) -> None:
    (three / "notes.txt").write_text("a file")
    (three / ".hidden").mkdir()
    (three / "with space").mkdir()
    (three / "empty").mkdir()
    for name in ("04", "0", "-1", "+5", "1.0", "v6", "٧", ".9", "tmp"):
        (three / "land" / name).mkdir()
    (three / "land" / "8").write_text("a file")
    assert versions(three) == [(1, False), (2, False), (3, True)]
    with pytest.raises(NotFoundError, match='no model "empty"'):
        find(three, "empty")
    assert list_entries(three / "absent") == list_entries(three / "notes.txt") == []


def test_an_addition_that_was_killed_leaves_nothing_in_the_way(bundle: Path, other: Path, tmp_path: Path) -> None:
    add_bundle(tmp_path, "land", bundle)
    aside = tmp_path / "land" / ".2"
    aside.mkdir()
    (aside / WEIGHTS).write_bytes(b"half")
    assert versions(tmp_path) == [(1, True)]
    assert check_bundle(add_bundle(tmp_path, "land", other).path) == read_config(other)
    assert not aside.exists()


def test_versions_are_in_order_of_number(three: Path) -> None:
    for number in range(9, 13):
        shutil.copytree(three / "land" / "1", three / "land" / str(number))
    assert [entry.version for entry in list_entries(three)] == [1, 2, 3, 9, 10, 11, 12]
    assert find(three, "land", 10).path.name == "10"


def test_who_comes_second_is_told_that_somebody_writes(bundle: Path, other: Path, three: Path) -> None:
    """Each name has a lock of its own."""
    with exclusive(three / "land" / ".lock", "a test"):
        with pytest.raises(BusyError, match='a registration of "land" is already running'):
            add_bundle(three, "land", other)
        with pytest.raises(BusyError, match='a change to "land" is already running'):
            promote(three, "land", 1)
        with pytest.raises(BusyError, match='a change to "land" is already running'):
            rollback(three, "land")
        assert find(three, "land").version == 3
        assert add_bundle(three, "sea", bundle).version == 1
    assert add_bundle(three, "land", other).version == 4


def test_many_at_once_give_each_bundle_one_version(bundle: Path, tmp_path: Path) -> None:
    """Whoever is refused comes again; none is lost, none is there twice, all are whole."""
    bundles = [variant(bundle, tmp_path / f"{number}", temperature=1.0 + number) for number in range(4)]
    start = threading.Barrier(8)

    def add(path: Path) -> int:
        start.wait(timeout=30)
        while True:
            with suppress(BusyError):
                return add_bundle(tmp_path / "registry", "land", path).version
            time.sleep(0.01)

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(add, bundles * 2))
    assert numbers[:4] == numbers[4:]
    assert sorted(numbers[:4]) == [1, 2, 3, 4]
    entries = list_entries(tmp_path / "registry")
    assert sorted(check_bundle(entry.path).temperature for entry in entries) == [1, 2, 3, 4]
    assert sum(entry.production for entry in entries) == 1


@pytest.mark.parametrize("name", ["a", "land-2.0_b", "7", "A" * 64, "x..y"])
def test_names_that_are_names(bundle: Path, tmp_path: Path, name: str) -> None:
    assert add_bundle(tmp_path, name, bundle).name == find(tmp_path, name).name == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "-x", "x" * 65, "a b", "a\n", "ä", "\0", "a\\b"])
def test_names_that_are_no_names(bundle: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot name a model"):
        add_bundle(tmp_path, name, bundle)
    assert list(tmp_path.iterdir()) == []


@given(st.text())
def test_no_name_leads_out_of_the_registry(name: str) -> None:
    """What is looked up is compared with what is there, and never made into a path."""
    with pytest.raises(NotFoundError, match="Register one with"):
        find(Path("/nowhere/at/all"), name)
    with pytest.raises(NotFoundError, match="Register one with"):
        promote(Path("/nowhere/at/all"), name, 1)


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
