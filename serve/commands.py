"""The verbs that register, serve and ask: `landsweep registry`, `serve`, `predict`. They parse and call, nothing else.

Flows in: what a user typed. Flows out: calls into this room, and what they found, printed. Heavy packages are imported
inside the verbs, so that `--help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.errors import LandsweepError
from pipelines.flags import flags_of
from pipelines.terminal import AsJson, complain, group, report, tell, wait_for_end
from serve.settings import ServeSettings

Registry = Annotated[Path, typer.Option(help="folder that holds the registered bundles")]


def mount(app: typer.Typer) -> None:
    """Add this room's verbs to the command line."""
    registry = group("Which bundle is served under which name.")
    registry.command("list")(_list)
    registry.command("add")(_add)
    registry.command("promote")(_promote)
    registry.command("rollback")(_rollback)
    app.add_typer(registry, name="registry")
    app.command("serve")(flags_of(ServeSettings, _serve))
    app.command("predict")(_predict)


def _list(folder: Registry = Path("registry"), as_json: AsJson = False) -> None:
    """Every version of every model."""
    from serve.registry import list_entries

    rows = [
        {"name": each.name, "version": each.version, "production": each.production} for each in list_entries(folder)
    ]
    report({"models": rows}, as_json, table="models")


def _add(name: str, bundle: Path, folder: Registry = Path("registry"), as_json: AsJson = False) -> None:
    """Register a bundle as the next version of a model, to be served from the next start of `serve` on."""
    from serve.registry import add_bundle

    report(_entry(add_bundle(folder, name, bundle)), as_json)


def _promote(name: str, version: int, folder: Registry = Path("registry"), as_json: AsJson = False) -> None:
    """Serve this version, from the next start of `serve` on."""
    from serve.registry import promote

    report(_entry(promote(folder, name, version)), as_json)


def _rollback(name: str, folder: Registry = Path("registry"), as_json: AsJson = False) -> None:
    """Serve the version before, from the next start of `serve` on."""
    from serve.registry import rollback

    report(_entry(rollback(folder, name)), as_json)


def _serve(settings: ServeSettings) -> None:
    """Serve the registered models over HTTP until Ctrl-C."""
    from serve.app import endpoint

    with endpoint(settings) as url:
        tell(f"Serving at {url} (documentation at {url}/docs). Ctrl-C ends it.")
        wait_for_end()


def _predict(
    files: list[Path],
    url: Annotated[str, typer.Option(help="the endpoint")] = "http://127.0.0.1:8000",
    model: Annotated[str | None, typer.Option(help="model name; the endpoint's default if not given")] = None,
    bands: Annotated[
        str | None, typer.Option(help="what the files' bands are, in file order: where they have no names, or others")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Classify GeoTIFFs through a running endpoint, each on its own: a wrong one leaves the others' answers."""
    from serve.client import Client, read_upload

    found: dict[str, Any] = {}
    wrong: dict[str, LandsweepError] = {}
    with Client(url, bands_are="--bands") as client:
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
        tell(f"{path}: {warning}")
    report({"file": path, "model": f"{answer.model.name} version {answer.model.version}"}, False)
    report({"labels": rows}, False, table="labels")


def _entry(entry: Any) -> dict[str, Any]:
    return {"name": entry.name, "version": entry.version, "production": entry.production, "bundle": str(entry.path)}
