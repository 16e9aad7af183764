"""The web page: how its two pages are laid out, and what is wired to what. It decides nothing itself.

Flows in: settings. Flows out: a Gradio app, or a running server. What happens on an event is in `ui.classify`
and `ui.trials`; who may reach the server is in `ui.server`.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.components.navbar import Navbar

from serve.client import Client
from ui import classify, server, trials
from ui.examples import ON_CLICK
from ui.settings import UiSettings
from ui.theme import CSS, ICON, make_theme

MAX_UPLOAD = "16mb"
_REFRESH_SECONDS = 4
_STATE_SECONDS = 3600
_PAGES = {"Classify": "/", "Trials": "/trials"}
_REMEMBER = "(study) => { if (study) history.replaceState(null, '', '?study=' + encodeURIComponent(study)); }"

# No callback is offered as an API: the endpoint is that. A second click while one runs is dropped.
_EVENT: dict[str, Any] = {"api_visibility": "private", "trigger_mode": "once"}


def build_app(settings: UiSettings) -> gr.Blocks:
    """Lay out both pages; nothing is asked of the endpoint before a browser opens one."""
    app = gr.Blocks(title="Landsweep", analytics_enabled=False, delete_cache=(600, 3600))
    with app:
        _head("Classify")
        _classify_page(app, settings)
    with app.route("Trials", "trials"):
        _head("Trials")
        _trials_page(app, settings)
    app.queue(max_size=64, default_concurrency_limit=4, api_open=False)
    return app


def _head(current: str) -> None:
    """Our own links in place of Gradio's bar, which takes a row of its own."""
    Navbar(visible=False)
    links = "".join(
        f'<a href="{path}"{" aria-current=page" if name == current else ""}>{name}</a>' for name, path in _PAGES.items()
    )
    _html(
        '<header class="ls-head"><h1>Landsweep</h1><p>Land cover of Sentinel-2 patches</p>'
        f'<nav aria-label="Pages">{links}</nav></header>'
    )


def launch(settings: UiSettings, *, block: bool = True) -> server.Page:
    """Serve the page until Ctrl-C, or until the returned page is closed where `block` is false.

    Raises:
        SettingsError: the host is not this machine's own.
        BusyError: the port is taken.
    """
    taken = server.bind(settings.host, settings.port)
    folder = Path(tempfile.mkdtemp(prefix="landsweep-ui-"))
    # Gradio reads these from the environment only, the folder while components are made.
    os.environ |= {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False"}
    api = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        build_app(settings),
        path="/",
        server_name=settings.host,
        server_port=taken.getsockname()[1],
        show_error=False,
        max_file_size=MAX_UPLOAD,
        enable_monitoring=False,
        run_history=False,
        footer_links=[],
        ssr_mode=False,
        mcp_server=False,
        theme=make_theme(),
        css=CSS,
        head=ICON,
    )
    return server.run(api, taken, settings.host, folder, block=block)


def _html(value: str = "", **more: Any) -> gr.HTML:
    return gr.HTML(value, elem_classes=["ls-html"], **more)


def _classify_page(app: gr.Blocks, settings: UiSettings) -> None:
    connect = partial(Client, settings.url)
    shot = gr.State(None, time_to_live=_STATE_SECONDS)
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            file = gr.File(label="GeoTIFF", file_types=[".tif", ".tiff"], type="binary", height=150)
            model = gr.Dropdown([], label="Model", visible=False)
            examples = _html(js_on_load=ON_CLICK)
            again = gr.Button("Try again", visible=False, size="sm")
        with gr.Column(scale=8, min_width=320):
            messages, blank = _html(), _html()
            with gr.Row():
                with gr.Column(min_width=260):
                    picture = _html()
                with gr.Column(min_width=260):
                    evidence = _html()
                    label = gr.Dropdown([], label="Explain class", visible=False)
            labels, facts = _html(), _html()

    opening = [model, examples, messages, blank, again]
    result = [shot, messages, blank, picture, labels, facts, label]

    def show(found: classify.Result) -> list[Any]:
        choices = found.shot.choices if found.shot else []
        chooser = gr.Dropdown(choices=choices, value=choices[0][1] if choices else None, visible=bool(choices))
        return [found.shot, found.messages, "", found.picture, found.labels, found.facts, chooser]

    def on_open(request: gr.Request) -> list[Any]:
        opened = classify.welcome(connect, settings.examples)
        names = [each.name for each in opened.models]
        wanted = request.query_params.get("model", "") if request else ""
        chooser = gr.Dropdown(
            choices=[
                (f"{each.name}, version {each.version} ({each.architecture})", each.name) for each in opened.models
            ],
            value=wanted if wanted in names else next(iter(names), None),
            visible=len(names) > 1,
        )
        return [chooser, opened.gallery, opened.messages, opened.blank, gr.Button(visible=not names)]

    def on_file(tiff: bytes | None, name: str | None) -> list[Any]:
        return show(classify.classify(connect, tiff or b"", name))

    def on_example(name: str | None, event: gr.EventData) -> list[Any]:
        found, chosen = classify.classify_example(connect, settings.examples, str(getattr(event, "key", "")), name)
        return [*show(found), chosen, None]

    def on_model(current: classify.Shot | None, name: str | None) -> list[Any]:
        if current is None:
            return [gr.skip() for _ in result]
        return show(classify.classify(connect, current.tiff, name))

    def on_label(current: classify.Shot | None, name: str | None) -> str:
        return classify.explain(connect, current, name)

    look = {"fn": on_label, "inputs": [shot, label], "outputs": evidence, **_EVENT}
    gr.on([again.click], on_open, outputs=opening, **_EVENT)
    app.load(on_open, outputs=opening, **_EVENT)
    file.upload(on_file, [file, model], result, **_EVENT).then(**look)
    examples.click(on_example, model, [*result, model, file], **_EVENT).then(**look)
    model.input(on_model, [shot, model], result, **_EVENT).then(**look)
    label.input(**look)


def _trials_page(app: gr.Blocks, settings: UiSettings) -> None:
    with gr.Row(equal_height=True):
        study = gr.Dropdown([], label="Study", min_width=180)
        metric = gr.Dropdown([], label="Curves of", min_width=180)
        order = gr.Dropdown([(text, key) for key, text in trials.ORDERS.items()], value="best", label="Table order")
        refresh = gr.Button("Refresh", size="sm", min_width=100, scale=0)
    summary, curves, table = _html(), _html(), _html()
    timer = gr.Timer(_REFRESH_SECONDS, active=False)
    shown = [study, metric, summary, curves, table, timer]

    def show(name: str | None, wanted: str | None, by: str) -> list[Any]:
        names = trials.studies(settings.experiments)
        chosen = name or next(iter(names), None)
        seen = trials.view(settings.experiments, chosen, wanted, by)
        return [
            gr.Dropdown(choices=names, value=chosen if chosen in names else None, visible=bool(names)),
            gr.Dropdown(choices=list(seen.metrics), value=seen.metric, visible=bool(seen.metrics)),
            seen.summary,
            seen.chart,
            seen.table,
            gr.Timer(active=seen.running),
        ]

    def on_open(by: str, request: gr.Request) -> list[Any]:
        query = request.query_params if request else {}
        return show(query.get("study"), query.get("metric"), by)

    inputs = [study, metric, order]
    app.load(on_open, order, shown, **_EVENT)
    gr.on([metric.input, order.input, refresh.click], show, inputs, shown, **_EVENT)
    study.input(show, inputs, shown, **_EVENT).then(fn=None, inputs=study, js=_REMEMBER)
    timer.tick(show, inputs, shown, show_progress="hidden", **_EVENT)
