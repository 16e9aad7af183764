"""The data of a search: in the object store as it was read, or still in the shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.dataset.manifest import MANIFEST, open_dataset
from pipelines.feeding.rows import Rows, Split
from pipelines.feeding.shared import Shared, Streamed, feed
from pipelines.files import write_whole
from tests.fakes import write_dataset
from tests.pipelines.feeding.rows_suite import BANDS, RowsSuite


@pytest.mark.usefixtures("ray_session")
class TestShared(RowsSuite):
    @classmethod
    def open(cls, folder: Path) -> Rows:
        shared = feed(folder, ("test", "train"), ("A", "B"))
        assert isinstance(shared, Shared)
        assert shared.get("test", ("A",)).patch_ids.tolist() == [f"p{row}" for row in range(300, 330)]
        return shared.get("train", BANDS)

    def test_arrays_lie_in_the_store(self, rows: Split) -> None:
        assert not rows.chunks[0]["B"].flags.writeable, "copied out of the object store"


class TestStreamed(RowsSuite):
    """In one window, which has room for all."""

    @classmethod
    def open(cls, folder: Path) -> Rows:
        return feed(folder, ("test", "train"), ("A", "B"), "streamed").get("train", BANDS)


def test_data_larger_than_the_object_store_is_streamed(ray_session: None, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 20, sizes={"A": 4})
    assert isinstance(feed(folder, ("train",), ("A",)), Shared)
    assert isinstance(feed(folder, ("train",), ("A",), "streamed"), Streamed)
    manifest = open_dataset(folder)
    claims = [part.model_copy(update={"rows": 10**12}) for part in manifest.splits["train"]]
    huge = manifest.model_copy(update={"splits": {"train": claims}})
    write_whole(folder / MANIFEST, huge.model_dump_json())
    assert isinstance(feed(folder, ("train",), ("A",)), Streamed)
