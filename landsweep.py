"""The command line: each room's verbs, mounted in the order of the flow, and one way out for every error."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import typer

import demo
import models.commands
import pipelines.commands
import serve.commands
import tune.commands
import ui.commands
from pipelines import cluster
from pipelines.errors import LandsweepError
from pipelines.home import spare_home
from pipelines.terminal import Verbs, complain, group

FLOW = [
    *("data", "models", "probe", "train", "test", "report", "explain", "export"),
    *("search", "registry", "serve", "predict", "ui", "demo"),
]


class _Flow(Verbs):
    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the flow, where Typer would have all groups after all verbs."""
        return sorted(super().list_commands(ctx), key=FLOW.index)


def _together() -> Any:
    from tune.distributed import fit_together

    return fit_together


def _enter(registry: Path, name: str, bundle: Path) -> dict[str, Any]:
    from serve.registry import add_bundle

    entry = add_bundle(registry, name, bundle)
    return {"registered": f"{entry.name} version {entry.version}", "registry": str(entry.path.parent.parent)}


def command_line() -> typer.Typer:
    """All verbs. What one room does for another's verb is handed in here: rooms beside each other do not know it."""
    app = group("Land use and land cover of Sentinel-2 patches: pack, search, serve, look.", _Flow)
    pipelines.commands.mount(app)
    models.commands.mount(app, _together)
    tune.commands.mount(app, _enter)
    serve.commands.mount(app)
    ui.commands.mount(app)
    demo.mount(app)
    return app


def main() -> None:
    """Entry point: exit 0 done, 2 wrong use or bad input, 1 otherwise; never a traceback for what a user can mend."""
    try:
        cluster.prepare()
        spare_home(os.environ)
        command_line()(prog_name="landsweep")
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
