"""Where a process keeps its data: in memory if it fits, else where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.dataset.manifest import open_dataset
from pipelines.errors import ShardError
from pipelines.feeding.open_rows import choose, machine_memory, native_bytes, open_rows
from pipelines.feeding.rows import Split
from pipelines.feeding.streamed import Stream
from tests.fakes import write_dataset


def test_what_fits_is_read_and_what_is_asked_for_is_done(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 50, sizes={"A": 4, "B": 2})
    manifest = open_dataset(folder)
    kinds = {mode: open_rows(folder, manifest, ["train"], ["B", "A"], mode)[0] for mode in ("auto", "memory")}
    assert all(isinstance(rows, Split) for rows in kinds.values())
    streamed = open_rows(folder, manifest, ["train"], ["B", "A"], "streamed")[0]
    assert isinstance(streamed, Stream)
    np.testing.assert_array_equal(streamed.labels, kinds["auto"].labels)


@pytest.mark.parametrize("memory", [4 * 2**30 + 1, 23 * 2**30, 512 * 2**30 - 4097])
def test_what_is_larger_than_a_third_of_memory_is_streamed(tmp_path: Path, memory: int) -> None:
    manifest = open_dataset(write_dataset(tmp_path / "data", 50, sizes={"A": 4}))
    assert native_bytes(manifest, ["train"], ["A"]) == 50 * 4 * 4 * 2
    a_third = memory // 3 // (2 * 4 * 4)

    def chosen(rows: int, processes: int = 1) -> str:
        part = manifest.splits["train"][0].model_copy(update={"rows": rows})
        large = manifest.model_copy(update={"splits": {"train": [part]}})
        return choose(large, ["train"], ["A"], processes=processes, memory=memory)

    assert [chosen(rows) for rows in (50, a_third, a_third + 1)] == ["memory", "memory", "streamed"]
    assert [chosen(a_third // 2, processes) for processes in (1, 2, 3)] == ["memory", "memory", "streamed"]


def test_what_this_machine_cannot_hold_is_streamed_unless_memory_is_asked_for(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 50, sizes={"A": 4})
    manifest = open_dataset(folder)
    many = manifest.splits["train"][0].model_copy(update={"rows": machine_memory()})
    large = manifest.model_copy(update={"splits": {"train": [many]}})
    assert isinstance(open_rows(folder, large, ["train"], ["A"])[0], Stream)
    assert choose(large, ["train"], ["A"], "memory") == "memory"


@pytest.mark.parametrize("limit", [2**20, 2**30 + 1, 2**60])
def test_a_containers_limit_counts_where_it_is_below_the_machines_memory(tmp_path: Path, limit: int) -> None:
    whole = machine_memory(tmp_path / "no container")
    file = tmp_path / "memory.max"
    file.write_text("max\n")
    assert machine_memory(file) == whole
    file.write_text(f"{limit}\n")
    assert machine_memory(file) == min(limit, whole)


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 50, sizes={"A": 4})
    with pytest.raises(ShardError, match='no patches in split "validation"'):
        open_rows(folder, open_dataset(folder), ["train", "validation"], ["A"])
