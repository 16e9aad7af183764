"""The other ways from an archive to batches: what a competent user of each would write, at its best.

Flows in: patches of an archive. Flows out: float32 batches of 64 at 120 px in all of them, 20 m and 60 m bands
repeated, and labels: the product that a trial takes from `pipelines.feeding.batches`, in random order too.

torchgeo's own dataset differs in two points that cannot be set: it resamples bilinearly, and always reads twelve
bands. Its reference map, a thirteenth file, is spared it.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipelines.bands import ALL_BANDS, PATCH_SIZE

BATCH = 64
GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}

Batch = tuple[Tensor, Tensor]


def read_bands(folder: Path, bands: Sequence[str]) -> Iterator[NDArray[np.uint16]]:
    """A patch as everybody reads it: open each band's file, read it."""
    with rasterio.Env(**GDAL):
        for band in bands:
            with rasterio.open(folder / f"{folder.name}_{band}.tif") as source:
                yield source.read(1)


def repeat_into(target: NDArray[np.float32], arrays: Iterator[NDArray[np.uint16]]) -> None:
    """Write bands of any size into (bands, 120, 120), pixels repeated: columns first, then whole rows, which is the
    fastest of six ways that were tried."""
    for channel, array in zip(target, arrays, strict=True):
        side = len(array)
        rows = array if side == PATCH_SIZE else array.repeat(PATCH_SIZE // side, axis=1)
        channel.reshape(side, PATCH_SIZE // side, PATCH_SIZE)[:] = rows[:, None]


class Patches(Dataset[Batch]):
    """One patch at a time; `labels` is (patches, classes) float32."""

    def __init__(self, bands: Sequence[str], labels: Tensor) -> None:
        self.bands, self.labels = bands, labels

    def __len__(self) -> int:
        return len(self.labels)

    def arrays(self, row: int) -> Iterator[NDArray[np.uint16]]:
        raise NotImplementedError

    def __getitem__(self, row: int) -> Batch:
        image = np.empty((len(self.bands), PATCH_SIZE, PATCH_SIZE), np.float32)
        repeat_into(image, self.arrays(row))
        return torch.from_numpy(image), self.labels[row]

    def close(self) -> None:
        """Let go of files."""


class Tiffs(Patches):
    """The archive's files, opened by rasterio."""

    def __init__(self, folders: Sequence[Path], bands: Sequence[str], labels: Tensor) -> None:
        super().__init__(bands, labels)
        self.folders = folders

    def arrays(self, row: int) -> Iterator[NDArray[np.uint16]]:
        return read_bands(self.folders[row], self.bands)


class Records(Patches):
    """reBEN's LMDB: a record a patch, in it a safetensors tensor a band at native resolution.

    Records are viewed where the map has them, and of those only the tensors that are asked for: safetensors' own
    `load` copies each record twice and all of its tensors.
    """

    def __init__(self, path: Path, names: Sequence[str], bands: Sequence[str], labels: Tensor) -> None:
        super().__init__(bands, labels)
        self.path, self.keys = path, [name.encode() for name in names]
        self._open: lmdb.Environment | None = None

    def arrays(self, row: int) -> Iterator[NDArray[np.uint16]]:
        if self._open is None:  # in the process that reads: an environment must not be open across a fork
            self._open = lmdb.open(str(self.path), readonly=True, lock=False, meminit=False)
        with self._open.begin(buffers=True) as transaction:
            record = memoryview(transaction.get(self.keys[row], b""))
            start = 8 + int.from_bytes(record[:8], "little")
            header = json.loads(bytes(record[8:start]))
            for band in self.bands:
                first, last = header[band]["data_offsets"]
                yield np.frombuffer(record, np.uint16, (last - first) // 2, start + first).reshape(
                    header[band]["shape"]
                )

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


def write_records(path: Path, folders: Sequence[Path], bands: Sequence[str]) -> Path:
    """reBEN's LMDB of some patches, as its converter makes it."""
    with lmdb.open(str(path), map_size=2**30 + len(folders) * 2**18) as environment:
        for folder in folders:
            with environment.begin(write=True) as transaction:
                transaction.put(folder.name.encode(), save(dict(zip(bands, read_bands(folder, bands), strict=True))))
    return path


def torchgeo_dataset(root: Path, archive: Path, bands: Sequence[str]) -> Dataset[Any] | None:
    """torchgeo's BigEarthNetV2 over an archive's training split, or None where torchgeo is not installed.

    Args:
        root: a folder for links to what the class wants to see.
        archive: its patches and metadata.
        bands: which of the twelve to keep, in order.
    """
    try:
        from torchgeo.datasets import BigEarthNetV2  # type: ignore[import-not-found]  # goes with no pin of ours
    except ImportError:
        return None
    for name in ("BigEarthNet-S2", "metadata.parquet"):
        (root / name).symlink_to((archive / name).resolve())
    for name in ("BigEarthNet-S1", "Reference_Maps"):
        (root / name).mkdir()

    class WithoutMap(BigEarthNetV2):  # type: ignore[misc]  # has no types where it is not installed
        def _load_map(self, index: int) -> Tensor:
            return torch.zeros(1)

    keep = torch.tensor([ALL_BANDS.index(band) for band in bands])
    return WithoutMap(str(root), "train", "s2", transforms=lambda sample: sample | {"image": sample["image"][keep]})


@contextmanager
def looping(dataset: Patches) -> Iterator[Callable[[], Iterator[Batch]]]:
    """One loop in this process, in which bands go straight to their place in the batch: no patch is copied twice."""

    def batches() -> Iterator[Batch]:
        order = np.random.default_rng().permutation(len(dataset))
        for rows in (order[start : start + BATCH] for start in range(0, len(order), BATCH)):
            images = np.empty((len(rows), len(dataset.bands), PATCH_SIZE, PATCH_SIZE), np.float32)
            for image, row in zip(images, rows.tolist(), strict=True):
                repeat_into(image, dataset.arrays(row))
            yield torch.from_numpy(images), dataset.labels[torch.from_numpy(rows)]

    yield batches
    dataset.close()


@contextmanager
def loading(dataset: Dataset[Any], workers: int) -> Iterator[Callable[[], Iterator[Batch]]]:
    """A DataLoader whose workers are up, and wait until its batches are asked for; they end with the block."""
    begin, up = multiprocessing.Event(), multiprocessing.Semaphore(0)

    def wait(_: int) -> None:
        up.release()
        begin.wait()

    loader = DataLoader(dataset, BATCH, True, num_workers=workers, worker_init_fn=wait)
    running = [iter(loader)]
    for _ in range(workers):
        up.acquire()

    def batches() -> Iterator[Batch]:
        begin.set()
        for batch in islice(running[0], len(loader)):  # not to the end, where it waits for its workers to end
            yield (batch["image"], batch["label"]) if isinstance(batch, dict) else batch

    yield batches
    running.clear()
    if isinstance(dataset, Patches):
        dataset.close()
