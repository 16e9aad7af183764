"""The ingest: an archive to a dataset folder, restartable, each part committed once, the manifest last.

Flows in: an archive and `IngestSettings`. Flows out: shards and their manifest. The work itself is `ray_job`'s.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing

from pydantic import ValidationError

from pipelines.archives.catalogue import SPLITS, Catalogue, Dropped, drop
from pipelines.archives.detect import read_archive
from pipelines.cluster import check_ways
from pipelines.dataset.manifest import MANIFEST, Manifest, open_dataset
from pipelines.errors import ShardError
from pipelines.files import asides, exclusive, write_whole
from pipelines.location import Location, locate, reach, remove_tree
from pipelines.packing.from_tar import MakeTask, Passed
from pipelines.packing.left_out import check_bad, check_classes, check_missing
from pipelines.packing.pack_part import RECORDS, PartRecord, PartTask
from pipelines.packing.ray_job import pack_files, pack_tar
from pipelines.packing.tally import tally
from pipelines.settings import IngestSettings
from pipelines.statistics.quantiles import sample_quantiles

Progress = Callable[[int, int], None]
"""Called with patches done and patches in all."""

Show = Callable[[Catalogue], object]
"""Called with what is about to be packed."""

_PLAN = "plan.json"
_NOTES = "notes"

_DECIDE = {
    "bands", "names", "subset", "split", "seed", "rows_per_part",
    "scale", "offset", "nodata", "unit", "max_nodata",
}  # fmt: skip
"""Settings on which the dataset hangs: an unfinished ingest is gone on with under the same ones alone."""


def ingest(settings: IngestSettings, progress: Progress | None = None, show: Show | None = None) -> Manifest:
    """Pack an archive into shards, and return the manifest.

    Raises:
        ArchiveError: the archive is missing, contradictory, or too much of it is missing or unreadable.
        BandError: a band is not in the archive.
        LabelError: its classes cannot be meant so, or one would have no patch left.
        SettingsError: there is no such subset or split.
        ShardError: the output folder is in use by something else.
        BusyError: another process packs into it, or Ray does not come up.
        StorageError: no room for the parts.
        ServiceError: an object store does not answer.
    """
    check_ways()  # to Ray, before anything is read or written
    catalogue = read_archive(settings)
    check_missing(catalogue, settings.max_bad)
    if show:
        show(catalogue)
    plan = plan_of(settings, catalogue)
    out = locate(settings.out)
    reach(out)
    if (out / MANIFEST).is_file():
        return _finished(out, plan, settings)
    _check_free(out, settings.resume)
    with _lock(out):
        if (out / MANIFEST).is_file():  # another has finished since
            return _finished(out, plan, settings)
        agree(out, plan, catalogue)
        manifest = _with_quantiles(out, tally(plan, *_pack(out, catalogue, settings, progress)))
        _sweep(out, manifest)
        write_whole(out / MANIFEST, manifest.model_dump_json(indent=1))
        remove_tree(out / RECORDS)
    return manifest


def _with_quantiles(out: Location, manifest: Manifest) -> Manifest:
    """Of what nets are trained on, from the parts that are there by now."""
    parts = manifest.splits.get("train") or next(filter(None, manifest.splits.values()))
    found = sample_quantiles(out, parts, manifest.bands)
    statistics = {
        band: each.model_copy(update={"quantiles": found.get(band, {})}) for band, each in manifest.statistics.items()
    }
    return manifest.model_copy(update={"statistics": statistics})


def _lock(out: Location) -> AbstractContextManager[None]:
    return exclusive(out / RECORDS / "lock", f"an ingest into {out}")


def _check_free(out: Location, resume: bool) -> None:
    """Nothing may be there but what an ingest that was interrupted left, and nobody may be at it."""
    if out.is_file():
        raise ShardError("not a folder", where=str(out), hint="Choose another name.")
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if not there or (resume and RECORDS in there):
        return
    if RECORDS not in there:
        raise ShardError("folder is not empty", where=str(out), hint="Choose another.")
    with _lock(out):
        if there != {RECORDS}:
            raise ShardError("folder is not empty", where=str(out), hint="Choose another, or go on with --resume.")
        (out / RECORDS / _PLAN).unlink(missing_ok=True)  # of one that ended before it had packed anything


def plan_of(settings: IngestSettings, catalogue: Catalogue) -> Manifest:
    """A manifest without rows: what must be the same for a resumed ingest to be the same ingest."""
    packages = ("numpy", "pyarrow", "rasterio", "ray")
    kept = settings.model_dump(include=_DECIDE)
    kept |= {name: value for name in ("classes", "validation") if (value := getattr(settings, name))}
    kept |= {"block": settings.block} if settings.split == "places" else {}
    kept |= {"fold": settings.fold} if settings.fold else {}
    kept |= {_NOTES: list(catalogue.notes)} if catalogue.notes else {}
    return Manifest(
        source={"name": locate(settings.source).name, "kind": catalogue.kind, "sha256": catalogue.checksum},
        bands=catalogue.layout.bands,
        label_names=list(catalogue.label_names),
        splits={},
        statistics={},
        label_counts={},
        country_counts={},
        dropped=catalogue.dropped,
        unmapped=catalogue.unmapped,
        settings=kept | {"patches": len(catalogue)},
        versions={"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages},
    )


def _finished(out: Location, plan: Manifest, settings: IngestSettings) -> Manifest:
    manifest = open_dataset(out)
    if not settings.resume:
        raise ShardError("folder already holds a dataset", where=str(out), hint="Choose another folder.")
    there, asked = ({key: value for key, value in each.settings.items() if key != _NOTES} for each in (manifest, plan))
    if (manifest.source, there) != (plan.source, asked):  # notes are of no consequence, and were not always kept
        raise ShardError("folder holds another dataset", where=str(out), hint="Choose another folder.")
    if (out / RECORDS).is_dir():
        remove_tree(out / RECORDS)
    return manifest


def _sweep(out: Location, manifest: Manifest) -> None:
    """Remove what killed runs left behind: files written aside, and parts that nothing is left of."""
    parts = {out / part.file for found in manifest.splits.values() for part in found}
    there: list[Location] = list(asides(out / MANIFEST))
    for split in SPLITS:
        there += (out / split).iterdir() if (out / split).is_dir() else ()
    for path in there:
        if path not in parts:
            path.unlink(missing_ok=True)


def agree(out: Location, plan: Manifest, catalogue: Catalogue) -> None:
    """Write down what is being packed, or check that a resumed ingest packs the same: from that tar, which may have
    been cut off before, or from files, as each has an order of its own.

    Raises:
        ShardError: the unfinished ingest there had another source, settings or versions.
        StorageError: the disk is full.
        ServiceError: the object store does not take it.
    """
    path = out / RECORDS / _PLAN
    tar = catalogue.root.name if catalogue.in_tar else ""
    text = json.dumps({"manifest": plan.model_dump(mode="json"), "tar": tar})
    if not path.is_file():
        write_whole(path, text)
    elif path.read_text() != text:
        raise ShardError(
            "the unfinished ingest here had another source, settings or versions",
            where=str(out),
            hint="Give the same again, or choose another folder.",
        )


def _pack(
    out: Location, catalogue: Catalogue, settings: IngestSettings, progress: Progress | None
) -> tuple[list[PartRecord], Dropped]:
    """Records of all parts in order, those of an earlier run as they are; and what a tar turned out not to hold."""
    records = _committed(out)
    passed = Passed()

    def make_task(split: str, number: int, rows: list[int]) -> PartTask:
        return _task(out, catalogue, split, number, rows, settings.max_nodata)

    if catalogue.in_tar:
        packed = pack_tar(catalogue, make_task, settings.rows_per_part, frozenset(records), passed)
    else:
        tasks = list(_tasks(catalogue, make_task, settings.rows_per_part))
        packed = pack_files([task for task in tasks if task.name not in records], catalogue.root)
    with closing(packed):  # one that is given up packs no further
        for name, record in packed:
            records[name] = record
            check_bad(records, catalogue, settings.max_bad)
            if progress:
                progress(sum(each.patches for each in records.values()), len(catalogue))
    left_out: Dropped = {}
    if catalogue.in_tar:
        missing = sorted(set(range(len(catalogue))) - passed.rows)
        drop(left_out, "missing folder", catalogue.rows["patch_id"].iloc[missing])
        drop(left_out, "no metadata row", passed.strays)
    check_classes(catalogue, records)
    return [records[name] for name in sorted(records)], left_out


def _tasks(catalogue: Catalogue, make_task: MakeTask, rows_per_part: int) -> Iterator[PartTask]:
    splits = catalogue.rows["split"].to_numpy(dtype=object)
    for split in SPLITS:
        rows = (splits == split).nonzero()[0].tolist()
        for number, start in enumerate(range(0, len(rows), rows_per_part)):
            yield make_task(split, number, rows[start : start + rows_per_part])


def _task(out: Location, catalogue: Catalogue, split: str, number: int, rows: list[int], max_nodata: float) -> PartTask:
    block = catalogue.rows.iloc[rows]
    return PartTask(
        out=str(out),
        split=split,
        number=number,
        layout=catalogue.layout,
        label_names=list(catalogue.label_names),
        patch_ids=block["patch_id"].tolist(),
        places=block["place"].tolist(),
        labels=[vector.nonzero()[0].tolist() for vector in catalogue.labels[rows]],
        countries=block["country"].tolist(),
        max_nodata=max_nodata,
    )


def _committed(out: Location) -> dict[str, PartRecord]:
    """Parts that are there whole, by name; others are made anew, as are those that left patches out: these may have
    been mended."""
    folder = out / RECORDS
    found: dict[str, PartRecord] = {}
    for split in SPLITS:
        for path in (folder / split).glob("part-*.json") if (folder / split).is_dir() else ():
            try:
                record = PartRecord.model_validate_json(path.read_bytes())
            except ValidationError:  # damaged, or another version's
                continue
            if record.part and not record.dropped and _has_size(out / record.part.file, record.part.bytes):
                found[f"{split}/{path.stem}"] = record
    return found


def _has_size(path: Location, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
