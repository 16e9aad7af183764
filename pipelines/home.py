"""A home that cannot be written, as in many containers and batch systems: what would lie there gets another place.

Flows in: the environment. Flows out: the same, with such places named in it; they go with the process.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import MutableMapping
from functools import cache
from pathlib import Path


@cache
def private_folder() -> Path:
    """A folder that nobody else may look into, for as long as this process lives."""
    folder = Path(tempfile.mkdtemp(prefix="landsweep-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def spare_home(environment: MutableMapping[str, str]) -> None:
    """Give Matplotlib a place for its list of fonts where its own cannot be written: it would tell of that at length,
    before whatever is to be told."""
    if "MPLCONFIGDIR" not in environment and not all(map(_may_write, _places(environment))):
        environment["MPLCONFIGDIR"] = str(private_folder())


def _places(environment: MutableMapping[str, str]) -> list[Path]:
    given = {"XDG_CONFIG_HOME": ".config", "XDG_CACHE_HOME": ".cache"}
    return [Path(environment.get(name) or Path("~", usual)) / "matplotlib" for name, usual in given.items()]


def _may_write(path: Path) -> bool:
    """Whether something can be made there, by trying in the nearest folder that there is: root may write anywhere, but
    cannot in /proc or on a disk that is read only."""
    try:
        path = path.expanduser()
        while not path.exists() and path != path.parent:
            path = path.parent
        Path(tempfile.mkdtemp(prefix=".landsweep-", dir=path)).rmdir()
    except (OSError, RuntimeError):  # the latter: nobody knows where home is
        return False
    return True
