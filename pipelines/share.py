"""One read for all trials of a search: shards into Ray's object store, once, in parallel, by Ray Data.

Flows in: a dataset folder, splits, and the union of all bands the search may ask for.
Flows out: a `SharedData` that trials carry as a few references; what they get from it lies in shared memory and
is not copied. (Trials that each stream with Ray Data compete with it for CPUs, and hang when they hold all.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.cluster import own_errors
from pipelines.errors import SettingsError
from pipelines.feed import Chunk, Split, parts_of
from pipelines.shards import Manifest, decode_columns, open_dataset, read_table

if TYPE_CHECKING:
    import ray


STORE_SHARE = 0.6
"""How much of the object store the data may take: reports, checkpoints and a second search need room as well."""


@dataclass(frozen=True)
class SharedData:
    """References to the chunks of each split, and the manifest they came with."""

    manifest: Manifest
    bands: tuple[str, ...]
    refs: dict[str, list[ray.ObjectRef[Chunk]]]

    def get(self, split: str, bands: Sequence[str]) -> Split:
        """One split with the given bands, in place in the object store (read-only arrays)."""
        import ray

        return Split(self.bands, tuple(ray.get(self.refs[split]))).select(bands)


def share(folder: Path, splits: Sequence[str], bands: Sequence[str]) -> SharedData:
    """Read splits into the object store of the connected Ray.

    Raises:
        ShardError: no such dataset, or a split is empty.
        BandError: the dataset lacks a band.
        SettingsError: the object store is too small for it.
    """
    manifest = open_dataset(folder)
    sizes = {band: manifest.size_of(band) for band in bands}
    _check_room(sum(manifest.rows(split) for split in splits) * sum(2 * size**2 for size in sizes.values()))
    refs = {split: _read(parts_of(manifest, folder, split), sizes) for split in splits}
    return SharedData(manifest, tuple(bands), refs)


def _read(parts: list[Path], sizes: dict[str, int]) -> list[Any]:
    import ray.data

    def decode(row: dict[str, Any]) -> dict[str, Any]:
        return decode_columns(read_table(Path(row["path"][0]), [*sizes, "labels", "patch_id"]), sizes)

    rows = [{"path": str(part.resolve())} for part in parts]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(decode, batch_size=1, num_cpus=1)
    # In the order of the parts, not of their completion: the same seed then sees the same batches.
    dataset.context.execution_options.preserve_order = True
    with own_errors():
        refs: list[Any] = dataset.to_numpy_refs()
    return refs


def _check_room(wanted: int) -> None:
    import ray

    there = int(ray.cluster_resources().get("object_store_memory", 0))
    if wanted > STORE_SHARE * there:
        raise SettingsError(
            f"the search's data needs {wanted / 2**30:.1f} GiB, "
            f"{STORE_SHARE:.0%} of the object store are {STORE_SHARE * there / 2**30:.1f} GiB",
            where="data",
            hint="Search over fewer bands or a subset, or on machines with more memory.",
        )
