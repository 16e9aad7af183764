"""The Ray Data job that packs parts in parallel, from files or from a tar as it streams by.

Flows in: tasks, or a `Catalogue` whose root is a tar. Flows out: the record of each part as it is committed.

A row of the dataset is a part. What a task hands back is a record of a few hundred bytes, and what waits between the
tar and the packers is a few parts, so memory is bounded by the parts in flight however large the archive is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator, Iterator
from typing import Any, NamedTuple

from pipelines.archives.catalogue import Catalogue
from pipelines.cluster import own_errors, ray_cluster
from pipelines.location import Location, fetcher
from pipelines.packing.from_tar import MakeTask, Passed, tar_parts
from pipelines.packing.pack_part import PartRecord, PartTask, pack_part

_TAR_CPUS = 0.5
"""Unlike a packer's 1, or Ray Data would fuse the two into one task, and nothing would be parallel."""

_TAR_BLOCK = 1 << 20
"""Less than a part: each is handed to a packer when it is cut, not when 128 MiB of them have come together."""

AT_HOME = 3
"""Parts that are packed here, one after the other, before a Ray would have started: a small set's three splits."""


class Packed(NamedTuple):
    """A part that is committed: its name, see `PartTask.name`, and its record."""

    name: str
    record: PartRecord


def pack_files(tasks: list[PartTask], root: Location) -> Generator[Packed]:
    """Make parts from files below `root`, as many at once as there are CPUs; a few of them without Ray.

    Raises:
        BusyError: see `ray_cluster`.
        StorageError, ServiceError: see `pack_part`.
    """
    if len(tasks) <= AT_HOME:
        for task in tasks:
            yield Packed(task.name, pack_part(task, fetcher(root)))
        return
    with ray_cluster(), own_errors():
        import ray.data

        rows = [{"task": task.model_dump_json()} for task in tasks]

        def pack(row: dict[str, Any]) -> dict[str, Any]:
            return _pack(row["task"], fetcher(root))

        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(pack, num_cpus=1)
        for row in _rows(dataset):
            yield _packed(row)


def pack_tar(
    catalogue: Catalogue, make_task: MakeTask, rows_per_part: int, done: Collection[str], passed: Passed
) -> Generator[Packed]:
    """Make parts from a tar that one task reads while the others pack; `passed` is filled when all is read.

    Args:
        catalogue, make_task, rows_per_part, done, passed: as `tar_parts` takes them.

    Raises:
        ArchiveError: see `tar_parts`.
        BusyError: see `ray_cluster`.
        StorageError, ServiceError: see `pack_part`.
    """
    with ray_cluster(), own_errors():
        import ray.data

        def cut(_: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
            here = Passed()
            for part in tar_parts(catalogue, make_task, rows_per_part, done, here):
                names, blobs = list(part.files), list(part.files.values())
                yield {"task": [part.task.model_dump_json()], "names": [names], "blobs": [blobs], "passed": [""]}
            seen = json.dumps({"rows": sorted(here.rows), "strays": here.strays})
            yield {"task": [""], "names": [[]], "blobs": [[]], "passed": [seen]}

        def pack(row: dict[str, Any]) -> dict[str, Any]:
            if row["passed"]:
                return {"name": "", "record": row["passed"]}
            return _pack(row["task"], _from_memory(dict(zip(row["names"], row["blobs"], strict=True))))

        dataset = ray.data.from_items([{"tar": 0}]).map_batches(cut, batch_size=1, num_cpus=_TAR_CPUS)
        dataset.context.target_max_block_size = _TAR_BLOCK
        for row in _rows(dataset.map(pack, num_cpus=1)):
            if row["name"]:
                yield _packed(row)
            else:
                seen = json.loads(row["record"])
                passed.rows.update(seen["rows"])
                passed.strays.extend(seen["strays"])


def _rows(dataset: Any) -> Iterator[dict[str, str]]:
    """A dataset's rows as they come. Nothing is fetched ahead: the thread that does so is never told to end."""
    for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0):
        for name, record in zip(batch["name"], batch["record"], strict=True):
            yield {"name": str(name), "record": str(record)}


def _pack(task: str, fetch: Callable[[str], bytes]) -> dict[str, Any]:
    parsed = PartTask.model_validate_json(task)
    return {"name": parsed.name, "record": pack_part(parsed, fetch).model_dump_json()}


def _packed(row: dict[str, Any]) -> Packed:
    return Packed(row["name"], PartRecord.model_validate_json(row["record"]))


def _from_memory(files: dict[str, bytes]) -> Callable[[str], bytes]:
    def fetch(name: str) -> bytes:
        if name not in files:
            raise FileNotFoundError(name)
        return files[name]

    return fetch
