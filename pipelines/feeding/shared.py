"""One read for all trials of a search, or none: where the data of a search is kept while its trials run.

Flows in: a dataset folder, splits, and the union of all bands the search may ask for. Flows out: a `Feed` that trials
carry, of which there are two. `Shared`: shards are read into Ray's object store, once, in parallel, by Ray Data, and
trials use them there without copies. `Streamed`: data that is too large for that stays in the shards, and every trial
reads it with threads of its own. (Trials that each stream with Ray Data compete with it for CPUs, and hang when they
hold all.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from pipelines.cluster import own_errors
from pipelines.dataset.manifest import Manifest, Part, open_dataset
from pipelines.feeding.rows import Chunk, Rows, Split, native_bytes, read_chunks
from pipelines.feeding.streamed import open_stream
from pipelines.location import Location, locate

if TYPE_CHECKING:
    import ray

Mode = Literal["auto", "shared", "streamed"]

STORE_SHARE = 0.5
"""How much of a node's object store the data may take: reading it takes room for a while, and so do reports,
checkpoints and a second search."""


class Feed(Protocol):
    """The data of a search: what it is, and each split with the bands that a trial wants."""

    @property
    def manifest(self) -> Manifest:
        """Of the dataset: its bands, classes and statistics."""

    def get(self, split: str, bands: Sequence[str]) -> Rows:
        """One split with the given bands, in their order.

        Args:
            split: one of those that the feed was made for.
            bands: some of those that the feed was made for.

        Raises:
            ShardError: a band was not read, or the split is empty.
            BandError: the dataset lacks a band.
        """


@dataclass(frozen=True)
class Shared:
    """References to the chunks of each split in the object store, and the manifest they came with."""

    manifest: Manifest
    bands: tuple[str, ...]
    refs: dict[str, list[ray.ObjectRef[Chunk]]]

    def get(self, split: str, bands: Sequence[str]) -> Split:
        """One split with the given bands, in place in the object store (read-only arrays)."""
        import ray

        return Split(self.bands, tuple(ray.get(self.refs[split]))).select(bands)


@dataclass(frozen=True)
class Streamed:
    """A dataset folder that every trial can reach."""

    manifest: Manifest
    folder: Location

    def get(self, split: str, bands: Sequence[str]) -> Rows:
        """One split with the given bands, read as it is used."""
        return open_stream(self.folder, split, bands, self.manifest)


def feed(folder: Location | str, splits: Sequence[str], bands: Sequence[str], mode: Mode = "auto") -> Feed:
    """Make a dataset ready for the trials of the connected Ray.

    Args:
        folder: the dataset.
        splits: those that will be asked for.
        bands: the union of those that will be asked for.
        mode: where the data is kept; auto measures, and shares what fits into every node's object store.

    Raises:
        ShardError: no such dataset, a split is empty, or a part is damaged.
        BandError: the dataset lacks a band.
        SettingsError, ServiceError: see `open_dataset`.
    """
    folder = locate(folder)
    manifest = open_dataset(folder)
    for split in splits:
        manifest.parts(split)
    wanted = native_bytes(manifest, splits, bands)
    if mode == "streamed" or (mode == "auto" and wanted > STORE_SHARE * _smallest_store()):
        return Streamed(manifest, folder)
    return Shared(manifest, tuple(bands), {split: _read(folder, manifest, split, bands) for split in splits})


def _read(folder: Location, manifest: Manifest, split: str, bands: Sequence[str]) -> list[Any]:
    import ray.data

    columns = {band: manifest.column(band) for band in bands}

    def decode(row: dict[str, Any]) -> dict[str, Any]:
        part = Part.model_validate_json(row["part"][0])
        chunks = tuple(read_chunks(folder, part, columns))
        whole = Split(tuple(columns), chunks)
        return whole.take(np.arange(len(whole))) | {"patch_id": whole.patch_ids}

    rows = [{"part": part.model_dump_json()} for part in manifest.parts(split)]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(decode, batch_size=1, num_cpus=1)
    # In the order of the parts, not of their completion: the same seed then sees the same batches.
    dataset.context.execution_options.preserve_order = True
    with own_errors():
        refs: list[Any] = dataset.to_numpy_refs()
    return refs


def _smallest_store() -> int:
    """Bytes of the smallest object store of the cluster: the data is copied into that of every node that uses it."""
    import ray

    return min(int(node["Resources"].get("object_store_memory", 0)) for node in ray.nodes() if node["Alive"])
