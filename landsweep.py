"""The command line: one verb after another in the order of the flow. It parses and calls, nothing else.

Heavy packages are imported inside the verbs, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from demo import DemoSettings, run_demo
from models.settings import AssessSettings, ExplainSettings, ExportSettings, ReportSettings, RunSettings, ShowSettings
from pipelines import cluster
from pipelines.ending import wait_for_end
from pipelines.errors import LandsweepError
from pipelines.flags import flags_of
from pipelines.settings import DownloadSettings, IngestSettings, SampleSettings, StatsSettings
from pipelines.terminal import Verbs, complain, console, progress_bar, report
from serve.settings import ServeSettings
from tune.settings import SearchSettings
from ui.settings import UiSettings

# In Rich's tables of options, names are cut off at the width of a usual terminal.
_PLAIN: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None, "cls": Verbs}

app = typer.Typer(
    **_PLAIN,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Land use and land cover of Sentinel-2 patches: pack, search, serve, look.",
)
data = typer.Typer(**_PLAIN, help="Archives and shards.")
search = typer.Typer(**_PLAIN, help="Hyperparameter searches.")
registry = typer.Typer(**_PLAIN, help="Which bundle is served under which name.")
models = typer.Typer(**_PLAIN, help="The model zoo.")
for name, group in {"data": data, "search": search, "registry": registry, "models": models}.items():
    app.add_typer(group, name=name)

AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output")]
Registry = Annotated[Path, typer.Option(help="folder that holds the registered bundles")]
Register = Annotated[bool, typer.Option(help="put the best bundle into the registry, under the study's name")]
Experiments = Annotated[Path, typer.Option(help="folder that holds a folder a study")]


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

    patience = Patience(tries=settings.tries, tell=_tell)
    with progress_bar("bytes", "fetching") as progress:
        fetched = download(settings, progress, patience=patience)
    found: dict[str, Any] = {"folder": str(settings.out)}
    if settings.unpack:
        with progress_bar("bytes", "unpacking") as progress:
            found["unpacked"] = unpack_archives(settings, progress)
    found |= {"next": following} if (following := next_command(settings)) else {}
    report(found | {"files": [each.as_dict() for each in fetched]}, as_json, table="files")


def _ingest(settings: IngestSettings, as_json: AsJson = False) -> None:
    """Pack an archive into shards, in parallel."""
    from pipelines.packing.ingest import ingest

    with progress_bar("patches") as progress:
        manifest = ingest(settings, progress)
    report(_dataset(settings.out, manifest), as_json)


data.command("sample")(flags_of(SampleSettings, _sample, arguments=("out",)))
data.command("download")(flags_of(DownloadSettings, _download, arguments=("out",)))
data.command("ingest")(flags_of(IngestSettings, _ingest, arguments=("source", "out")))


@data.command("check")
def check(shards: Annotated[str, typer.Argument(help="dataset folder or its URL")], as_json: AsJson = False) -> None:
    """Prove a dataset folder whole: every part there, every checksum right."""
    from pipelines.dataset.manifest import check_dataset

    report(_dataset(shards, check_dataset(shards)), as_json)


def _stats(settings: StatsSettings, as_json: AsJson = False) -> None:
    """What a dataset holds, by split and country: patches, labels and their pairs, digital numbers of each band."""
    from pipelines.statistics.measure import measure
    from pipelines.statistics.summary import band_rows, check_out, class_rows, overview, write_summary

    if settings.out:
        check_out(settings.out)
    with progress_bar("patches") as progress:
        found = measure(settings.shards, progress, pixels=settings.pixels, threads=settings.threads)
    written: dict[str, Any] = {}
    if settings.out:
        from pipelines.drawing.fonts import unwritable  # matplotlib's: not where nothing is drawn

        written = {"out": settings.out, "files": write_summary(settings.out, found)}
        if lacking := unwritable(found.label_names):
            _tell(lacking)
    if as_json:
        report(found.model_dump(mode="json"), as_json)
        return
    report({"dataset": settings.shards} | overview(found) | written, as_json)
    for title, rows in {"classes": class_rows(found), "bands": band_rows(found)}.items():
        if rows:
            report({title: rows}, as_json, table=title)


data.command("stats")(flags_of(StatsSettings, _stats, arguments=("shards",)))


@search.command("init")
def init(file: Path, data: Annotated[str, typer.Option(help="dataset folder, or its URL")] = "shards") -> None:
    """Write a search file with every setting and its meaning, to be edited."""
    from pipelines.errors import SettingsError
    from pipelines.files import write_whole

    if file.exists():
        raise SettingsError("file exists already", where=str(file), hint="Choose another name.")
    write_whole(file, SearchSettings.parse({"name": file.stem, "data": data}, where=str(file)).dump_yaml())
    _tell(f"Wrote {file}. Run it with: landsweep search run {file}")


@search.command("run")
def run(
    file: Path,
    register: Annotated[
        bool, typer.Option(help="put the best bundle into the registry, under the study's name")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Search, keep the best trial's bundle, and put it into the registry beside the experiments folder."""
    _search(SearchSettings.load(file), register, as_json, resume=False)


@search.command("resume")
def resume(
    name: str, experiments: Experiments = Path("experiments"), register: Register = True, as_json: AsJson = False
) -> None:
    """Run the trials that an interrupted search still owes."""
    from tune.study import open_study

    _search(open_study(experiments, name).settings, register, as_json, resume=True)


def _search(settings: SearchSettings, register: bool, as_json: bool, *, resume: bool) -> None:
    from serve.registry import add_bundle
    from tune.search import run_search
    from tune.study import BEST

    study = run_search(settings, console, resume=resume)
    found = study.as_dict() | {"bundle": str(settings.folder / BEST)}
    if register:
        entry = add_bundle(settings.folder.parent.parent / "registry", settings.name, settings.folder / BEST)
        found |= {"registered": f"{entry.name} version {entry.version}", "registry": str(entry.path.parent.parent)}
    report(found, as_json, table="trials")


@search.command("show")
def show(name: str, experiments: Experiments = Path("experiments"), as_json: AsJson = False) -> None:
    """A study's trials as they stand, running or done."""
    from tune.study import open_study

    report(open_study(experiments, name).as_dict(), as_json, table="trials")


@search.command("list")
def list_searches(experiments: Experiments = Path("experiments"), as_json: AsJson = False) -> None:
    """The studies there are, newest first."""
    from tune.study import list_studies

    report({"studies": [{"name": name} for name in list_studies(experiments)]}, as_json, table="studies")


@registry.command("list")
def list_registry(folder: Registry = Path("registry"), as_json: AsJson = False) -> None:
    """Every version of every model."""
    from serve.registry import list_entries

    rows = [
        {"name": each.name, "version": each.version, "production": each.production} for each in list_entries(folder)
    ]
    report({"models": rows}, as_json, table="models")


@registry.command("add")
def add(name: str, bundle: Path, folder: Registry = Path("registry"), as_json: AsJson = False) -> None:
    """Register a bundle as the next version of a model, to be served from the next start of `serve` on."""
    from serve.registry import add_bundle

    report(_entry(add_bundle(folder, name, bundle)), as_json)


@registry.command("promote")
def promote(name: str, version: int, folder: Registry = Path("registry"), as_json: AsJson = False) -> None:
    """Serve this version, from the next start of `serve` on."""
    from serve.registry import promote

    report(_entry(promote(folder, name, version)), as_json)


@registry.command("rollback")
def rollback(name: str, folder: Registry = Path("registry"), as_json: AsJson = False) -> None:
    """Serve the version before, from the next start of `serve` on."""
    from serve.registry import rollback

    report(_entry(rollback(folder, name)), as_json)


def _serve(settings: ServeSettings) -> None:
    """Serve the registered models over HTTP until Ctrl-C."""
    from serve.app import endpoint

    with endpoint(settings) as url:
        _tell(f"Serving at {url} (documentation at {url}/docs). Ctrl-C ends it.")
        wait_for_end()


app.command("serve")(flags_of(ServeSettings, _serve))


@app.command("predict")
def predict(
    files: list[Path],
    url: Annotated[str, typer.Option(help="the endpoint")] = "http://127.0.0.1:8000",
    model: Annotated[str | None, typer.Option(help="model name; the endpoint's default if not given")] = None,
    bands: Annotated[str | None, typer.Option(help="what the files' bands are, where they do not say")] = None,
    as_json: AsJson = False,
) -> None:
    """Classify GeoTIFFs through a running endpoint, each on its own: a wrong one leaves the others' answers."""
    from serve.client import Client, read_upload

    found: dict[str, Any] = {}
    wrong: dict[str, LandsweepError] = {}
    hints = {"patch": "Export the bands that the model needs, in its order, or name the file's bands with --bands."}
    with Client(url, hints=hints) as client:
        for path in map(str, files):
            try:
                answer = client.predict(read_upload(Path(path)), model=model, bands=bands, name=path)
            except LandsweepError as error:
                wrong[path] = error
                complain(str(error))
                continue
            found[path] = answer.model_dump(mode="json")
            if not as_json:
                _print_prediction(path, answer)
    if as_json:
        report({"predictions": found, "errors": {path: str(error) for path, error in wrong.items()}}, as_json)
    if wrong:
        raise typer.Exit(max(error.exit_code for error in wrong.values()))


def _print_prediction(path: str, answer: Any) -> None:
    rows = [
        {"label": each.label, "probability": round(each.probability, 3), "threshold": each.threshold}
        for each in answer.predictions
        if each.positive
    ]
    for warning in answer.warnings:
        _tell(f"{path}: {warning}")
    report({"file": path, "model": f"{answer.model.name} version {answer.model.version}"}, False)
    report({"labels": rows}, False, table="labels")


def _train(
    settings: RunSettings,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with the run in --out; its settings are on record there")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train one net, keep its best epochs as bundles, and score the best one."""
    from models.training.run_folder import settings_of
    from models.training.train import train

    fit: Any = None
    if settings_of(settings, resume=resume).workers > 1:
        from tune.distributed import fit_together

        fit = fit_together

    with progress_bar("steps", "training") as progress:
        found = train(settings, resume=resume, progress=progress, tell=_tell, fit=fit)
    if as_json:
        report(found, as_json)
        return
    metrics = found.pop("metrics")
    rows = [{"metric": key} | {split: metrics[split].get(key) for split in metrics} for key in metrics["validation"]]
    report(found, as_json)
    report({"metrics": rows}, as_json, table="metrics")


def _test(settings: AssessSettings, as_json: AsJson = False) -> None:
    """Score a bundle, or the best one of a run, on one split of a dataset."""
    from models.report.report import class_rows
    from models.results.score import headline, score_bundle

    found = score_bundle(settings, _tell)
    if as_json:
        report(found, as_json)
        return
    metrics, effect = found.pop("metrics"), found.pop("calibration")
    report(found | headline(metrics), as_json)
    rows = [{"calibration": key} | {name: values[key] for name, values in effect.items()} for key in effect["with"]]
    report({"effect": rows}, as_json, table="effect")
    report({"classes": class_rows(metrics)}, as_json, table="classes")


app.command("train")(flags_of(RunSettings, _train, config=True))
app.command("test")(flags_of(AssessSettings, _test, arguments=("source",)))


def _report(settings: ReportSettings, as_json: AsJson = False) -> None:
    """Every metric and figure of saved predictions, computed again from the file alone."""
    from models.report.report import class_rows, overview, report_on

    found = report_on(settings)
    if as_json:
        report(found, as_json)
        return
    metrics = found.pop("metrics")
    report(found | overview(metrics), as_json)
    report({"classes": class_rows(metrics)}, as_json, table="classes")


app.command("report")(flags_of(ReportSettings, _report, arguments=("predictions",)))


def _explain(settings: ExplainSettings, as_json: AsJson = False) -> None:
    """Where a model looks and which bands it decides by: pages of heat maps, feature maps, importance of bands."""
    from models.results.explain_split import band_rows, explain_on

    with progress_bar("patches", "bands") as progress:
        found = explain_on(settings, progress)
    if as_json:
        report(found, as_json)
        return
    bands, pages = found.pop("importance"), found.pop("pages")
    report(found, as_json)
    report({"pages": pages}, as_json, table="pages")
    report({"bands": band_rows(bands)}, as_json, table="bands")


app.command("explain")(flags_of(ExplainSettings, _explain, arguments=("source",)))


def _export(settings: ExportSettings, as_json: AsJson = False) -> None:
    """Write a bundle's net as one ONNX file, proved against torch, for programs that have neither it nor Landsweep."""
    from models.bundle.onnx_export import export_onnx

    report(export_onnx(settings), as_json)


app.command("export")(flags_of(ExportSettings, _export, arguments=("source",)))


@models.command("list")
def list_models(as_json: AsJson = False) -> None:
    """The models that have a short name; any other classification model of timm goes by timm's name."""
    from models.nets.catalog import MODELS

    rows: list[dict[str, Any]] = [
        {"name": name, "what": each.what, "timm": each.timm or None} for name, each in MODELS.items()
    ]
    numbers = [each.parameters for each in MODELS.values()]
    if as_json:
        rows = [row | {"parameters": number} for row, number in zip(rows, numbers, strict=True)]
    else:
        rows = [row | {"parameters (M)": number / 1e6} for row, number in zip(rows, numbers, strict=True)]
    report({"models": rows}, as_json, table="models")


def _show_model(settings: ShowSettings, as_json: AsJson = False) -> None:
    """A model's layers with output shapes, parameters and multiply-adds; with --out, a picture of it."""
    from models.nets.layers import layer_rows, overview, summarise
    from pipelines.bands import parse_bands
    from pipelines.statistics.summary import check_out

    if settings.out:
        check_out(str(settings.out))
    found = summarise(settings.name, parse_bands(settings.bands), settings.size, settings.classes)
    written: dict[str, Any] = {}
    if settings.out:
        from models.nets.diagram import write_diagram

        written = {"out": str(settings.out), "files": write_diagram(found, settings.out)}
    if as_json:
        report(found.as_dict(settings.depth) | written, as_json)
        return
    report(overview(found) | written, as_json)
    report({"layers": layer_rows(found, settings.depth)}, as_json, table="layers")


models.command("show")(flags_of(ShowSettings, _show_model, arguments=("name",)))


def _ui(settings: UiSettings) -> None:
    """The web page, until Ctrl-C."""
    from ui.app import launch

    page = launch(settings)
    _tell(f"Page at {page.url.rstrip('/')} (asks the endpoint at {settings.url}). Ctrl-C ends it.")
    wait_for_end()
    page.close()


app.command("ui")(flags_of(UiSettings, _ui))


def _demo(settings: DemoSettings) -> None:
    """The whole path on a synthetic archive: sample, ingest, search, register, serve, predict, page."""
    run_demo(settings, console)


app.command("demo")(flags_of(DemoSettings, _demo))


def _dataset(folder: str, manifest: Any) -> dict[str, Any]:
    return {
        "dataset": folder,
        "hash": manifest.hash,
        "patches": {split: manifest.rows(split) for split in manifest.splits},
        "dropped": {reason: len(ids) for reason, ids in manifest.dropped.items()},
        "unmapped classes": manifest.unmapped,
        "bands": list(manifest.band_names),
    }


def _entry(entry: Any) -> dict[str, Any]:
    return {"name": entry.name, "version": entry.version, "production": entry.production, "bundle": str(entry.path)}


def _tell(line: str) -> None:
    """What goes on, beside the result."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Entry point: exit 0 done, 2 wrong use or bad input, 1 otherwise; never a traceback for what a user can mend."""
    try:
        cluster.prepare()
        app(prog_name="landsweep")
    except LandsweepError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        complain(f"{error.filename or 'the system'}: {(error.strerror or str(error)).lower()}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
