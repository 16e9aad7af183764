"""The verbs of `landsweep search`: they parse and call, nothing else.

Flows in: what a user typed. Flows out: calls into this room, and what they found, printed. Heavy packages are imported
inside the verbs, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.terminal import AsJson, console, group, report, tell
from tune.settings import SearchSettings

Enter = Callable[[Path, str, Path], dict[str, Any]]
"""Puts a bundle into a registry under a name, and says what is to be reported of that."""

Register = Annotated[bool, typer.Option(help="put the best bundle into the registry, under the study's name")]
Experiments = Annotated[Path, typer.Option(help="folder that holds a folder a study")]


def mount(app: typer.Typer, enter: Enter) -> None:
    """Add this room's verbs to the command line.

    Args:
        enter: takes a bundle into the registry, which is serving's: a search hands over the bundle's folder alone.
    """
    search = group("Hyperparameter searches.")
    search.command("init")(_init)
    search.command("run")(_runner(enter))
    search.command("resume")(_resumer(enter))
    search.command("show")(_show)
    search.command("list")(_list)
    app.add_typer(search, name="search")


def _init(file: Path, data: Annotated[str, typer.Option(help="dataset folder, or its URL")] = "shards") -> None:
    """Write a search file with every setting and its meaning, to be edited; sized to the dataset, if it is there."""
    from pipelines.dataset.manifest import MANIFEST, open_dataset
    from pipelines.errors import ServiceError, SettingsError
    from pipelines.files import write_whole
    from pipelines.location import locate, reach
    from tune.template import sized, template

    if file.exists():
        raise SettingsError("file exists already", where=str(file), hint="Choose another name.")
    folder, manifest = locate(data), None
    try:
        reach(folder)
        if (folder / MANIFEST).is_file():
            manifest = open_dataset(data)
            tell(f"Sized to {manifest.rows('train'):,} training patches of {len(manifest.band_names)} bands.")
    except ServiceError as error:
        tell(f"Not sized to the dataset: {error}")
    write_whole(file, template(sized(file.stem, data, manifest, where=str(file))))
    tell(f"Wrote {file}. Run it with: landsweep search run {file}")


def _runner(enter: Enter) -> Callable[..., None]:
    def run(file: Path, register: Register = True, as_json: AsJson = False) -> None:
        """Search, keep the best trial's bundle, and put it into the registry beside the experiments folder."""
        _search(SearchSettings.load(file), enter if register else None, as_json, resume=False)

    return run


def _resumer(enter: Enter) -> Callable[..., None]:
    def resume(
        name: str,
        experiments: Experiments = Path("experiments"),
        trials: Annotated[
            str, typer.Option(help="trials in all, the finished ones among them, or +N more; as before if not given")
        ] = "",
        register: Register = True,
        as_json: AsJson = False,
    ) -> None:
        """Run the trials that an interrupted search still owes, or more than it was to have, with all it has learnt."""
        from tune.study import open_study

        settings = open_study(experiments, name).settings
        if trials:
            counted = {"trials": _count(trials, settings.trials)}
            settings = SearchSettings.parse(settings.model_dump(by_alias=True) | counted, where="--trials")
        _search(settings, enter if register else None, as_json, resume=True)

    return resume


def _count(asked: str, before: int) -> str:
    """Trials in all; `+N` is so many more. What is no number is for the settings to refuse."""
    more = asked.removeprefix("+")
    return str(before + int(more)) if asked != more and more.isdecimal() else asked


def _search(settings: SearchSettings, enter: Enter | None, as_json: bool, *, resume: bool) -> None:
    from tune.search import run_search
    from tune.study import BEST

    study = run_search(settings, console, resume=resume)
    found = study.as_dict() | {"bundle": str(settings.folder / BEST)}
    if enter and study.best and study.broken(study.best):
        tell(f"It is not registered, as it breaks the constraints. Register it all the same with: {_by_hand(settings)}")
    elif enter:
        found |= enter(settings.folder.parent.parent / "registry", settings.name, settings.folder / BEST)
    report(found, as_json, table="trials")


def _by_hand(settings: SearchSettings) -> str:
    from tune.study import BEST

    return f"landsweep registry add {settings.name} {settings.experiments / settings.name / BEST}"


def _show(name: str, experiments: Experiments = Path("experiments"), as_json: AsJson = False) -> None:
    """A study as it stands, running or done: what it has to beat, its trials, what decided, what it cost."""
    from tune.outcome.show import TABLES, described

    report(described(experiments, name), as_json, "trials", *TABLES)


def _list(experiments: Experiments = Path("experiments"), as_json: AsJson = False) -> None:
    """The studies there are, newest first."""
    from tune.study import list_studies

    report({"studies": [{"name": name} for name in list_studies(experiments)]}, as_json, table="studies")
