"""BigEarthNet v1: a folder a patch, with its labels in a JSON file, to a catalogue of the 19 classes.

    ARCHIVE/BigEarthNet-v1.0/<patch>/<patch>_B02.tif …, <patch>_labels_metadata.json
    ARCHIVE/patches_with_seasonal_snow.csv, patches_with_cloud_and_shadow.csv      where they were put beside it

Flows in: the archive's folder. Flows out: a `Catalogue` without splits: v1 came with none of its own.
Source: Sumbul et al., "BigEarthNet: A Large-Scale Benchmark Archive for Remote Sensing Image Understanding", 2019.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pandas as pd

from pipelines.archives.catalogue import Catalogue, Dropped, drop
from pipelines.archives.corine import TO_19, map_labels
from pipelines.archives.patch_files import ONE_FILE, Fetch, Layout
from pipelines.errors import ArchiveError, TooLargeError
from pipelines.labels import LABEL_NAMES, encode_labels
from pipelines.location import Location, fetcher, subfolders

IMAGES = "BigEarthNet-v1.0"
_LABELS = "_labels_metadata.json"
_READERS = 16
_LOOKED_AT = 100  # folders, before a folder is held to be none of v1's
_UNCLEAR = {
    "patches_with_seasonal_snow.csv": "seasonal snow",
    "patches_with_cloud_and_shadow.csv": "cloud or shadow",
}


def is_v1(source: Location) -> bool:
    """Whether a folder holds v1's, or is it."""
    return _images(source) is not None


def _images(source: Location) -> Location | None:
    if (source / IMAGES).is_dir():
        return source / IMAGES
    names = islice(subfolders(source), _LOOKED_AT)
    return source if any((source / name / f"{name}{_LABELS}").is_file() for name in names) else None


def read_v1(source: Location, layout: Layout) -> Catalogue:
    """Read the labels of all patches, and map them to the 19 classes.

    Raises:
        ArchiveError: there is no patch, or one of the archive's lists cannot be read.
        ServiceError: the object store does not answer.
    """
    images = _images(source)
    assert images is not None, "is_v1 said so"
    dropped: Dropped = {}
    patches = sorted(subfolders(images))
    for file, reason in _UNCLEAR.items():
        listed = _listed(images.parent / file) | _listed(images / file)
        drop(dropped, reason, (patch for patch in patches if patch in listed))
        patches = [patch for patch in patches if patch not in listed]
    unmapped: Counter[str] = Counter()
    digest = hashlib.sha256()
    kept, labels = [], []
    for patch, names in zip(patches, _labels_of_all(images, patches), strict=True):
        if isinstance(names, str):
            drop(dropped, names, [patch])
            continue
        digest.update(f"{patch}:{'|'.join(names)}\n".encode())
        mapped, without = map_labels(names)
        unmapped.update(without)
        if not mapped:
            drop(dropped, "no class of the 19", [patch])
            continue
        kept.append(patch)
        labels.append(encode_labels(mapped))
    if not kept:
        raise ArchiveError("no patch to pack", where=str(images), hint=f"A v1 archive holds {IMAGES}/<patch>/.")
    rows = pd.DataFrame({"patch_id": kept, "place": kept, "split": "", "country": ""}, dtype=str)
    return Catalogue(
        kind="BigEarthNet v1",
        root=images,
        layout=layout,
        rows=rows,
        labels=np.stack(labels),
        label_names=LABEL_NAMES,
        checksum=digest.hexdigest(),
        dropped=dropped,
        unmapped=dict(sorted(unmapped.items())),
    )


def _listed(path: Location) -> set[str]:
    """The names in one of the archive's lists, one a line; none where it was not put there."""
    try:
        return set(path.read_text(encoding="utf-8-sig").split()) if path.is_file() else set()
    except UnicodeDecodeError:
        raise ArchiveError("not a list of names", where=str(path), hint="Fetch it again.") from None


def _labels_of_all(images: Location, patches: list[str]) -> Iterator[list[str] | str]:
    """What `read_names` says of each patch, in order; many are asked for at once, for a store takes its time."""
    fetch = fetcher(images)
    with ThreadPoolExecutor(_READERS) as readers:
        yield from readers.map(lambda patch: read_names(fetch, patch), patches)


def read_names(fetch: Fetch, patch: str) -> list[str] | str:
    """The patch's 43-class names, or the reason for which it is left out.

    Raises:
        OSError, ServiceError: from `fetch`, where it is not this one file that is wrong.
    """
    try:
        names = json.loads(fetch(f"{patch}/{patch}{_LABELS}"))["labels"]
        if not isinstance(names, list):
            raise TypeError(names)
    except FileNotFoundError:
        return "no labels"
    except OSError as error:
        if error.errno not in ONE_FILE:
            raise
        return "unreadable labels"
    except (TooLargeError, ValueError, KeyError, TypeError, RecursionError):
        return "unreadable labels"
    unknown = [name for name in names if not isinstance(name, str) or name not in TO_19]
    return f'unknown class "{unknown[0]}"' if unknown else names
