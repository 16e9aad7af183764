"""The verbs that probe, train, score, report, explain and export a model, and `landsweep models`: they parse and call.

Flows in: what a user typed. Flows out: calls into this room, and what they found, printed. Heavy packages are imported
inside the verbs, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from models.settings import (
    AssessSettings,
    ExplainSettings,
    ExportSettings,
    ProbeSettings,
    ReportSettings,
    RunSettings,
    ShowSettings,
    WeightsSettings,
)
from pipelines.flags import flags_of
from pipelines.terminal import AsJson, group, progress_bar, report, tell


def mount(app: typer.Typer, together: Callable[[], Any]) -> None:
    """Add this room's verbs to the command line.

    Args:
        together: gives the `FitRun` that trains with several workers; that takes Ray, which this room does not know.
    """
    zoo = group("The model zoo.")
    zoo.command("list")(_list)
    zoo.command("show")(flags_of(ShowSettings, _show, arguments=("name",)))
    zoo.command("weights")(flags_of(WeightsSettings, _weights, arguments=("file",)))
    app.add_typer(zoo, name="models")
    app.command("probe")(flags_of(ProbeSettings, _probe, config=True))
    app.command("train")(flags_of(RunSettings, _trainer(together), config=True))
    app.command("test")(flags_of(AssessSettings, _test, arguments=("source",)))
    app.command("report")(flags_of(ReportSettings, _report, arguments=("predictions",)))
    app.command("explain")(flags_of(ExplainSettings, _explain, arguments=("source",)))
    app.command("export")(flags_of(ExportSettings, _export, arguments=("source",)))


def _list(as_json: AsJson = False) -> None:
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


def _show(settings: ShowSettings, as_json: AsJson = False) -> None:
    """A model's layers with output shapes, parameters and multiply-adds; with --out, a picture of it."""
    from models.nets.layers import layer_rows, overview, summarise
    from pipelines.bands import parse_bands
    from pipelines.files import check_out

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


def _weights(settings: WeightsSettings, as_json: AsJson = False) -> None:
    """What a file of weights is: its form, its bands, how it was normalised; and what of it a model would take."""
    from models.pretrained.describe import describe_weights, lines_of

    found = describe_weights(settings)
    report(found if as_json else lines_of(found), as_json)


def _probe(settings: ProbeSettings, as_json: AsJson = False) -> None:
    """A logistic regression on frozen features, as a bundle, beside nearest neighbours: the floor for any net."""
    from models.probe.probe import probe

    found = probe(settings, tell)
    if as_json:
        report(found, as_json)
        return
    metrics, floor = found.pop("metrics"), found.pop("floor")
    report(found, as_json)
    split = list(metrics)[-1]
    rows = [{"metric": key} | {name: each[split].get(key) for name, each in floor.items()} for key in metrics[split]]
    report({split: rows}, as_json, table=split)


def _trainer(together: Callable[[], Any]) -> Callable[..., None]:
    def train(
        settings: RunSettings,
        resume: Annotated[
            bool, typer.Option("--resume", help="go on with the run in --out; its settings are on record there")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Train one net, keep its best epochs as bundles, and score the best one."""
        from models.training.run_folder import settings_of
        from models.training.train import train

        fit = together() if settings_of(settings, resume=resume).workers > 1 else None
        with progress_bar("steps", "training") as progress:
            found = train(settings, resume=resume, progress=progress, tell=tell, fit=fit)
        if as_json:
            report(found, as_json)
            return
        metrics = found.pop("metrics")
        keys = metrics["validation"]
        rows = [{"metric": key} | {split: metrics[split].get(key) for split in metrics} for key in keys]
        report(found, as_json)
        report({"metrics": rows}, as_json, table="metrics")

    return train


def _test(settings: AssessSettings, as_json: AsJson = False) -> None:
    """Score a bundle, or the best one of a run, on one split of a dataset."""
    from models.report.report import class_rows
    from models.results.score_split import headline, score_bundle

    found = score_bundle(settings, tell)
    if as_json:
        report(found, as_json)
        return
    for note in found.pop("notes", ()):
        tell(note)
    metrics, effect = found.pop("metrics"), found.pop("calibration")
    report(found | headline(metrics), as_json)
    rows = [{"calibration": key} | {name: values[key] for name, values in effect.items()} for key in effect["with"]]
    report({"effect": rows}, as_json, table="effect")
    report({"classes": class_rows(metrics)}, as_json, table="classes")


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


def _export(settings: ExportSettings, as_json: AsJson = False) -> None:
    """Write a bundle's net as one ONNX file, proved against torch, for programs that have neither it nor Landsweep."""
    from models.bundle.onnx_export import export_onnx

    report(export_onnx(settings), as_json)
