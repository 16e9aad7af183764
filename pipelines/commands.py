"""The verbs of `landsweep data`: they parse and call, nothing else.

Flows in: what a user typed. Flows out: calls into this room, and what they found, printed. Heavy packages are imported
inside the verbs, so that `--help` answers at once.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pipelines.flags import flags_of
from pipelines.settings import DownloadSettings, IngestSettings, SampleSettings, StatsSettings
from pipelines.terminal import AsJson, group, progress_bar, report, tell

DryRun = Annotated[bool, typer.Option("--dry-run", help="say what was understood, and pack nothing")]


def mount(app: typer.Typer) -> None:
    """Add this room's verbs to the command line."""
    data = group("Archives and shards.")
    data.command("sample")(flags_of(SampleSettings, _sample, arguments=("out",)))
    data.command("download")(flags_of(DownloadSettings, _download, arguments=("out",)))
    data.command("ingest")(flags_of(IngestSettings, _ingest, arguments=("source", "out")))
    data.command("check")(_check)
    data.command("stats")(flags_of(StatsSettings, _stats, arguments=("shards",)))
    app.add_typer(data, name="data")


def _sample(settings: SampleSettings, as_json: AsJson = False) -> None:
    """Write a synthetic archive in BigEarthNet v2's layout, to try everything on."""
    from pipelines.synthetic.sample import write_sample

    with progress_bar("patches") as progress:
        out = write_sample(settings, progress)
    report({"archive": str(out), "patches": settings.patches}, as_json)


def _download(settings: DownloadSettings, as_json: AsJson = False) -> None:
    """Fetch BigEarthNet, or any other file by its URL, and verify it; an interrupted download goes on."""
    from pipelines.download.download import download, next_command, unpack_archives
    from pipelines.download.transfer import Patience

    patience = Patience(tries=settings.tries, tell=tell)
    with progress_bar("bytes", "fetching") as progress:
        fetched = download(settings, progress, patience=patience)
    found: dict[str, Any] = {"folder": str(settings.out)}
    if settings.unpack:
        with progress_bar("bytes", "unpacking") as progress:
            found["unpacked"] = unpack_archives(settings, progress)
    found |= {"next": following} if (following := next_command(settings)) else {}
    report(found | {"files": [each.as_dict() for each in fetched]}, as_json, table="files")


def _ingest(settings: IngestSettings, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Pack an archive into shards, in parallel; say first what was understood of it."""
    from pipelines.archives.detect import read_archive
    from pipelines.archives.understood import lines, understood
    from pipelines.packing.ingest import ingest
    from pipelines.packing.left_out import check_missing

    if dry_run:
        catalogue = read_archive(settings)
        check_missing(catalogue, settings.max_bad)
        found = understood(catalogue)
        if not as_json:
            typer.echo("\n".join(lines(found)))
        report(found if as_json else {"classes": found["classes"]}, as_json, table="classes")
        return
    with progress_bar("patches") as progress:
        manifest = ingest(settings, progress, lambda catalogue: tell("\n".join(lines(understood(catalogue)))))
    report(_dataset(settings.out, manifest), as_json)


def _check(shards: Annotated[str, typer.Argument(help="dataset folder or its URL")], as_json: AsJson = False) -> None:
    """Prove a dataset folder whole: every part there, every checksum right."""
    from pipelines.dataset.manifest import check_dataset

    report(_dataset(shards, check_dataset(shards)), as_json)


def _stats(settings: StatsSettings, as_json: AsJson = False) -> None:
    """What a dataset holds, by split and country: patches, labels and their pairs, digital numbers of each band."""
    from pipelines.files import check_out
    from pipelines.statistics.measure import measure
    from pipelines.statistics.summary import band_rows, class_rows, overview, write_summary

    if settings.out:
        check_out(settings.out)
    with progress_bar("patches") as progress:
        found = measure(settings.shards, progress, pixels=settings.pixels, threads=settings.threads)
    written: dict[str, Any] = {}
    if settings.out:
        from pipelines.drawing.fonts import unwritable  # matplotlib's: not where nothing is drawn

        written = {"out": settings.out, "files": write_summary(settings.out, found)}
        if lacking := unwritable(found.label_names):
            tell(lacking)
    if as_json:
        report(found.model_dump(mode="json"), as_json)
        return
    report({"dataset": settings.shards} | overview(found) | written, as_json)
    for title, rows in {"classes": class_rows(found), "bands": band_rows(found)}.items():
        if rows:
            report({title: rows}, as_json, table=title)


def _dataset(folder: str, manifest: Any) -> dict[str, Any]:
    return {
        "dataset": folder,
        "hash": manifest.hash,
        "patches": {split: manifest.rows(split) for split in manifest.splits},
        "dropped": {reason: len(ids) for reason, ids in manifest.dropped.items()},
        "unmapped classes": manifest.unmapped,
        "bands": list(manifest.band_names),
    }
