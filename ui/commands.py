"""The verb of the web page: it parses and calls, nothing else.

Flows in: what a user typed. Flows out: the page, until it is ended. Gradio is imported inside the verb, so that
`--help` answers at once.
"""

from __future__ import annotations

import typer

from pipelines.flags import flags_of
from pipelines.terminal import tell, wait_for_end
from ui.settings import UiSettings


def mount(app: typer.Typer) -> None:
    """Add this room's verb to the command line."""
    app.command("ui")(flags_of(UiSettings, _ui))


def _ui(settings: UiSettings) -> None:
    """The web page, until Ctrl-C."""
    from ui.app import launch

    page = launch(settings)
    tell(f"Page at {page.url.rstrip('/')} (asks the endpoint at {settings.url}). Ctrl-C ends it.")
    wait_for_end()
    page.close()
