"""The ingest job: an archive to a dataset folder, in parallel, through Ray Data.

Flows in: an archive and `IngestSettings`. Flows out: shards and their manifest.

Each row of the Ray dataset is one part to make; a task reads its patches, commits the part and hands back a
record of a few hundred bytes, so memory stays bounded by the parts in flight however large the archive is.
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipelines.bands import SENTINEL2, parse_bands
from pipelines.cluster import own_errors, ray_cluster
from pipelines.errors import ArchiveError, ShardError
from pipelines.files import exclusive, write_whole
from pipelines.metadata import SPLITS, Catalogue, read_catalogue
from pipelines.pack import RECORDS, BandSums, PartRecord, PartTask, pack_part
from pipelines.settings import IngestSettings
from pipelines.shards import MANIFEST, BandColumn, Manifest, Statistics, open_dataset

Progress = Callable[[int, int], None]
"""Called with patches done and patches in all."""

_PLAN = "plan.json"


def ingest(settings: IngestSettings, progress: Progress | None = None) -> Manifest:
    """Pack an archive into shards, and return the manifest.

    Raises:
        ArchiveError: the archive is missing, contradictory, or too much of it is unreadable.
        ShardError: the output folder is in use by something else.
    """
    bands = parse_bands(settings.bands)
    catalogue = read_catalogue(settings.source)
    plan = _plan(settings, catalogue, bands)
    out = settings.out
    if (out / MANIFEST).is_file():
        return _finished(out, plan, settings)
    leftovers = out.is_dir() and any(out.iterdir())
    if leftovers and not settings.resume:
        raise ShardError("folder is not empty", where=str(out), hint="Choose another, or go on with --resume.")
    with exclusive(out / RECORDS / "lock", f"an ingest into {out}"):
        _agree(out, plan)
        tasks = list(_tasks(out, catalogue, bands, settings.rows_per_part))
        records = _collect(tasks, len(catalogue.rows), settings.max_bad, progress)
        manifest = _manifest(plan, catalogue, bands, records)
        write_whole(out / MANIFEST, manifest.model_dump_json(indent=1))
    shutil.rmtree(out / RECORDS)
    return manifest


def _plan(settings: IngestSettings, catalogue: Catalogue, bands: tuple[str, ...]) -> Manifest:
    """A manifest without rows: what must be the same for a resumed ingest to be the same ingest."""
    packages = ("numpy", "pyarrow", "rasterio", "ray")
    return Manifest(
        source={"name": settings.source.resolve().name, "sha256": catalogue.checksum},
        bands=[BandColumn(name=band, size=SENTINEL2[band].size) for band in bands],
        label_names=list(catalogue.label_names),
        splits={},
        statistics={},
        label_counts={},
        dropped=catalogue.dropped,
        settings={"bands": settings.bands, "rows_per_part": settings.rows_per_part, "patches": len(catalogue.rows)},
        versions={"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages},
    )


def _finished(out: Path, plan: Manifest, settings: IngestSettings) -> Manifest:
    manifest = open_dataset(out)
    if not settings.resume:
        raise ShardError("folder already holds a dataset", where=str(out), hint="Choose another folder.")
    if (manifest.source, manifest.settings) != (plan.source, plan.settings):
        raise ShardError("folder holds another dataset", where=str(out), hint="Choose another folder.")
    return manifest


def _agree(out: Path, plan: Manifest) -> None:
    """Write down what is being packed, or check that a resumed ingest packs the same."""
    path = out / RECORDS / _PLAN
    if not path.is_file():
        write_whole(path, plan.model_dump_json())
    elif path.read_text() != plan.model_dump_json():
        raise ShardError(
            "the unfinished ingest here had another source, settings or versions",
            where=str(out),
            hint="Give the same again, or choose another folder.",
        )


def _tasks(out: Path, catalogue: Catalogue, bands: tuple[str, ...], rows_per_part: int) -> Iterator[PartTask]:
    for split in SPLITS:
        rows = catalogue.rows[catalogue.rows["split"] == split]
        for number, start in enumerate(range(0, len(rows), rows_per_part)):
            block = rows.iloc[start : start + rows_per_part]
            yield PartTask(
                images=catalogue.images.resolve(),
                out=out.resolve(),
                split=split,
                number=number,
                bands=list(bands),
                label_names=list(catalogue.label_names),
                patch_ids=block["patch_id"].tolist(),
                folders=block["folder"].tolist(),
                labels=[list(names) for names in block["labels"]],
                countries=block["country"].tolist(),
            )


def _collect(tasks: list[PartTask], patches: int, max_bad: float, progress: Progress | None) -> list[PartRecord]:
    """Records of all parts in order: those of an earlier run as they are, the others from Ray Data."""
    records = {task.name: PartRecord.model_validate_json(task.record.read_text()) for task in _done(tasks)}
    todo = [task for task in tasks if task.name not in records]
    seen = sum(len(task.patch_ids) for task in tasks) - sum(len(task.patch_ids) for task in todo)
    for name, record, size in _run(todo):
        records[name] = record
        seen += size
        _check_bad(records, patches, max_bad)
        if progress:
            progress(seen, patches)
    return [records[task.name] for task in tasks]


def _check_bad(records: dict[str, PartRecord], patches: int, max_bad: float) -> None:
    bad = sum(len(ids) for each in records.values() for ids in each.dropped.values())
    if bad > max_bad * patches:
        reasons = ", ".join(sorted({why for each in records.values() for why in each.dropped}))
        raise ArchiveError(
            f"{bad} of {patches} patches are unreadable ({reasons})",
            hint=f"More than --max-bad {max_bad:g} allows. Mend the archive, or allow more.",
        )


def _done(tasks: list[PartTask]) -> Iterator[PartTask]:
    """Tasks whose part is committed whole. One that left patches out is done again: they may have been mended."""
    for task in tasks:
        if task.record.is_file():
            record = PartRecord.model_validate_json(task.record.read_text())
            if record.part and not record.dropped and _has_size(task.out / record.part.file, record.part.bytes):
                yield task


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _run(tasks: list[PartTask]) -> Iterator[tuple[str, PartRecord, int]]:
    """Make the parts through Ray Data; yields name, record and number of patches as each is committed."""
    if not tasks:
        return
    with ray_cluster(), own_errors():
        import ray.data

        rows = [{"name": task.name, "size": len(task.patch_ids), "task": task.model_dump_json()} for task in tasks]
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(_pack_row, num_cpus=1)
        for row in dataset.iter_rows():
            yield row["name"], PartRecord.model_validate_json(row["record"]), row["size"]


def _pack_row(row: dict[str, Any]) -> dict[str, Any]:
    record = pack_part(PartTask.model_validate_json(row["task"]))
    return {"name": row["name"], "size": row["size"], "record": record.model_dump_json()}


def _manifest(plan: Manifest, catalogue: Catalogue, bands: tuple[str, ...], records: list[PartRecord]) -> Manifest:
    dropped = {reason: list(ids) for reason, ids in catalogue.dropped.items()}
    counts = {split: dict.fromkeys(catalogue.label_names, 0) for split in SPLITS}
    for record in records:
        for reason, ids in record.dropped.items():
            dropped.setdefault(reason, []).extend(ids)
        for name, count in zip(catalogue.label_names, record.label_counts, strict=True):
            counts[record.split][name] += count
    splits = {split: [each.part for each in records if each.part and each.split == split] for split in SPLITS}
    train = [record for record in records if record.split == "train" and record.part] or records
    return plan.model_copy(
        update={
            "splits": splits,
            "statistics": {band: _statistics([each.sums[band] for each in train if each.part]) for band in bands},
            "label_counts": counts,
            "dropped": dropped,
        }
    )


def _statistics(sums: list[BandSums]) -> Statistics:
    """Mean and (population) standard deviation from exact sums."""
    pixels, total, squares = (sum(getattr(each, name) for each in sums) for name in ("pixels", "total", "squares"))
    if not pixels:
        raise ArchiveError("no patch could be read", hint="Check the archive's files.")
    return Statistics(mean=total / pixels, std=math.sqrt(max(pixels * squares - total * total, 0)) / pixels)
