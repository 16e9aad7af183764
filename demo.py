"""The whole path in one short script, from nothing to a web page. Read it top to bottom to see how the parts meet.

Flows in: an empty folder. Flows out: a synthetic archive, its shards, a study, a registry, and an endpoint and a
page that use them. What an earlier demo finished in the same folder is used again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import Field

from pipelines.flags import flags_of
from pipelines.settings import IngestSettings, SampleSettings, Settings
from pipelines.terminal import console, wait_for_end
from serve.settings import ServeSettings
from tune.settings import Finals, Range, Scheduler, SearchSettings, Space
from ui.settings import UiSettings

if TYPE_CHECKING:
    from rich.console import Console

STUDY = "demo"


class DemoSettings(Settings):
    """How large a demo is. The defaults fit 4 minutes on 2 cores."""

    out: Path = Field(default=Path("demo"), description="folder for all that the demo makes")
    once: bool = Field(default=False, description="stop after the prediction")
    patches: int = Field(default=600, ge=100, description="patches in the synthetic archive")
    trials: int = Field(default=12, ge=1, description="trials of the search")
    epochs: int = Field(default=10, ge=1, description="epochs of a trial")
    time_budget: float = Field(default=150, ge=10, description="seconds after which the search ends")
    port: int = Field(default=8000, ge=1, le=65535, description="port of the endpoint")
    page_port: int = Field(default=7860, ge=1, le=65535, description="port of the page")


def mount(app: typer.Typer) -> None:
    """Add `landsweep demo` to the command line."""
    app.command("demo")(flags_of(DemoSettings, _demo))


def _demo(settings: DemoSettings) -> None:
    """The whole path on a synthetic archive: sample, ingest, search, register, serve, predict, page."""
    run_demo(settings, console)


def run_demo(settings: DemoSettings, console: Console) -> None:
    """Run every step, telling what it does and how long it took."""
    from pipelines.cluster import ray_cluster
    from serve.app import check_port

    check_port("127.0.0.1", settings.port)
    if not settings.once:
        check_port("127.0.0.1", settings.page_port)
    started = time.monotonic()
    say = _teller(console, started)
    archive, shards = settings.out / "archive", settings.out / "shards"
    _sample(settings, archive, say)
    say("Ray", "starting on this machine alone")
    with ray_cluster():
        _ingest(archive, shards, say)
        _search(settings, shards, say, console)
        _compare(settings, shards, say)
        _serve(settings, say)


def _sample(settings: DemoSettings, archive: Path, say: Callable[[str, str], None]) -> None:
    if archive.is_dir():
        say("sample", f"{archive} is there already")
        return
    from pipelines.synthetic.sample import write_sample

    say("sample", f"drawing {settings.patches} patches into {archive}")
    write_sample(SampleSettings(out=archive, patches=settings.patches))


def _ingest(archive: Path, shards: Path, say: Callable[[str, str], None]) -> None:
    from pipelines.dataset.manifest import MANIFEST
    from pipelines.packing.ingest import ingest

    if not (shards / MANIFEST).is_file():
        say("ingest", f"packing {archive} into {shards} with Ray Data")
    manifest = ingest(IngestSettings(source=str(archive), out=str(shards), rows_per_part=128, resume=True))
    rows = ", ".join(f"{manifest.rows(split)} {split}" for split in manifest.splits)
    dropped = ", ".join(f"{len(ids)} {reason}" for reason, ids in manifest.dropped.items())
    say("ingest", f"{rows} patches; left out: {dropped or 'none'}")


def _search(settings: DemoSettings, shards: Path, say: Callable[[str, str], None], console: Console) -> None:
    from serve.registry import add_bundle
    from tune.search import run_search
    from tune.study import BEST, SETTINGS, open_study

    search = SearchSettings(
        name=STUDY,
        data=str(shards),
        experiments=settings.out / "experiments",
        trials=settings.trials,
        epochs=settings.epochs,
        explain=1,
        time_budget=settings.time_budget,
        scheduler=Scheduler(reduction=3, finalists=3),
        # One seed, for the minutes of it; small nets, and batches small enough to give some steps of few patches.
        finals=Finals(seeds=1, ensemble=0),
        space=Space(
            model=["landnet-s", "test_efficientnet"],
            bands=["all", "rgb-nir-swir"],
            batch_size=[8, 16],
            learning_rate=Range(low=1e-3, high=8e-3, log=True),
        ),
    )
    unfinished = (search.folder / SETTINGS).is_file()
    if (search.folder / BEST).is_dir():
        say("search", f"study {STUDY} is there already")
        study = open_study(search.experiments, STUDY)
    else:
        models = " and ".join(search.space.model)
        say("search", f"{settings.trials} trials over {models}, Ray Tune with Optuna, pausing and promoting")
        study = run_search(search, console, resume=unfinished)
    best = study.best
    assert best is not None, "run_search raises where no trial came to a result"
    say(
        "search",
        f"best is trial {best.number}, {best.parameters['model']}: validation {search.metric} {best.value:.3f}",
    )
    entry = add_bundle(settings.out / "registry", STUDY, search.folder / BEST)
    say("register", f"{entry.name} version {entry.version}")


def _compare(settings: DemoSettings, shards: Path, say: Callable[[str, str], None]) -> None:
    from models.bundle.config import read_metrics
    from models.results.assess import compare
    from tune.study import BEST

    ours = read_metrics(settings.out / "experiments" / STUDY / BEST)["test"]["ap_macro"]
    others = {name: values["ap_macro"] for name, values in compare(shards).items()}
    say(
        "test",
        f"ap_macro: constant {others['constant']:.3f}, regression on band statistics {others['regression']:.3f}, "
        f"trained model {ours:.3f}",
    )


def _serve(settings: DemoSettings, say: Callable[[str, str], None]) -> None:
    from serve.app import endpoint
    from serve.client import Client

    say("serve", "starting Ray Serve")
    with endpoint(ServeSettings(registry=settings.out / "registry", port=settings.port)) as url:
        with Client(url) as client:
            answer = client.predict(client.example(STUDY))
        found = ", ".join(f"{each.label} {each.probability:.2f}" for each in answer.predictions if each.positive)
        say("predict", f"{url}/v1/predict on an example: {found or 'no class above its threshold'}")
        if settings.once:
            say("done", "")
            return
        from ui.app import launch

        page = launch(UiSettings(port=settings.page_port, url=url, experiments=settings.out / "experiments"))
        say("page", f"http://127.0.0.1:{settings.page_port} is up; Ctrl-C ends it")
        wait_for_end()
        page.close()


def _teller(console: Console, started: float) -> Callable[[str, str], None]:
    def say(step: str, text: str) -> None:
        elapsed = time.monotonic() - started
        console.print(f"{elapsed:5.0f} s  {step:<9} {text}".rstrip(), highlight=False, soft_wrap=True)

    return say
