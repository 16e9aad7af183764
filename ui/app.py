"""The web page: its two pages, and the server that they run on.

Flows in: settings. Flows out: a Gradio app, or a running page. What a page looks like is in `ui.classify_page` and
`ui.trials_page`, what happens on it in `ui.classify` and `ui.trials`, and who may reach it in `ui.server`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from fastapi import FastAPI
from gradio.components.navbar import Navbar

from ui import server
from ui.classify_page import ClassifyPage
from ui.refusal import MAX_MEGABYTES
from ui.settings import UiSettings
from ui.theme import CSS, ICON, make_theme
from ui.trials_page import TrialsPage

Made = TypeVar("Made")

_PATHS = {"Classify": "/", "Trials": "/trials"}


def build_app(settings: UiSettings) -> gr.Blocks:
    """Lay out both pages; nothing is asked of the endpoint before a browser opens one."""
    return _in_loop(lambda: _lay_out(settings))


def _lay_out(settings: UiSettings) -> gr.Blocks:
    app = gr.Blocks(title="Landsweep", analytics_enabled=False, delete_cache=(600, 3600))
    with app:
        _head("Classify")
        ClassifyPage(settings).wire(app)
    with app.route("Trials", "trials"):
        _head("Trials")
        TrialsPage(settings).wire(app)
    app.queue(max_size=64, default_concurrency_limit=4, api_open=False)
    return app


def _head(current: str) -> None:
    """Our own links in place of Gradio's bar, which takes a row of its own."""
    Navbar(visible=False)
    links = "".join(
        f'<a href="{path}"{" aria-current=page" if name == current else ""}>{name}</a>' for name, path in _PATHS.items()
    )
    gr.HTML(
        '<header class="ls-head"><h1>Landsweep</h1><p>Land cover of Sentinel-2 patches</p>'
        f'<nav aria-label="Pages">{links}</nav></header>',
        elem_classes=["ls-html"],
    )


def launch(settings: UiSettings) -> server.Page:
    """Serve the page until it is closed.

    Raises:
        SettingsError: the host is not this machine's own, or the port may not be taken.
        BusyError: the port is taken, or the page does not come up.
    """
    taken = server.bind(settings.host, settings.port)
    folder = Path(tempfile.mkdtemp(prefix="landsweep-ui-"))
    # Gradio reads these from the environment only, the folder while components are made.
    os.environ |= {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False"}
    port = taken.getsockname()[1]
    app = _in_loop(lambda: _mount(_lay_out(settings), settings.host, port, folder))
    return server.run(app, taken, settings.host, folder)


def _mount(blocks: gr.Blocks, host: str, port: int, folder: Path) -> FastAPI:
    @asynccontextmanager
    async def until_stopped(_: FastAPI) -> AsyncIterator[None]:
        yield
        shutil.rmtree(folder, ignore_errors=True)

    bare: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}
    with warnings.catch_warnings():
        # Gradio says so of every app of several pages, also of one that asks for no server-side rendering.
        warnings.filterwarnings("ignore", "SSR mode is not supported")
        app: FastAPI = gr.mount_gradio_app(
            FastAPI(lifespan=until_stopped, **bare),
            blocks,
            path="/",
            server_name=host,
            server_port=port,
            show_error=False,
            max_file_size=f"{MAX_MEGABYTES}mb",
            enable_monitoring=False,
            run_history=False,
            footer_links=[],
            ssr_mode=False,
            mcp_server=False,
            app_kwargs=bare,
            theme=make_theme(),
            css=CSS,
            head=ICON,
        )
    return app


def _in_loop(make: Callable[[], Made]) -> Made:
    """Make something of Gradio's inside an event loop: outside, it opens one for each lock and never closes it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:

        async def made() -> Made:
            return make()

        return asyncio.run(made())
    return make()
