"""Which bundle is served under which name: numbered versions, one of them in production, all on disk.

    registry/<name>/<version>/          a bundle
    registry/<name>/production.json     {"version": 3, "history": [1, 2]}

Flows in: bundles. Flows out: the bundle to serve. Needs neither torch nor ray.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from models.bundle.config import WEIGHTS, BundleConfig, check_bundle, read_config
from models.bundle.locate import find_bundle
from pipelines.errors import BundleError, InputError, NotFoundError, nearest
from pipelines.files import commit, exclusive, sync, write_whole

PRODUCTION = "production.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]*")


@dataclass(frozen=True)
class Entry:
    """One version of one model. `production` marks the one that is served."""

    name: str
    version: int
    path: Path
    production: bool


def list_entries(registry: Path) -> list[Entry]:
    """All versions of all models, by name and version."""
    entries = []
    for folder in sorted(registry.iterdir()) if registry.is_dir() else ():
        if folder.is_dir() and _NAME.fullmatch(folder.name):
            current = _current(folder)
            found = [path.name for path in folder.iterdir() if _VERSION.fullmatch(path.name) and path.is_dir()]
            versions = sorted(map(int, found))
            entries += [Entry(folder.name, version, folder / str(version), version == current) for version in versions]
    return entries


def add_bundle(registry: Path, name: str, bundle: Path, *, promote: bool = True) -> Entry:
    """Copy a bundle into the registry as the next version, or find the version that holds it already.

    Args:
        bundle: its folder, or that of a run or a search, of which the best one is taken.

    Raises:
        BundleError: there is none, or it is damaged.
        InputError: the name cannot be used.
        BusyError: another process changes what is under this name.
        StorageError, OSError: the disk is full.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f'"{name}" cannot name a model', hint="Use letters, digits, dots, dashes and underscores.")
    bundle = find_bundle(bundle)
    config = check_bundle(bundle)
    folder = registry / name
    with exclusive(folder / ".lock", f'a registration of "{name}"'):
        known = [entry for entry in list_entries(registry) if entry.name == name]
        same = [entry for entry in known if _holds(entry, config)]
        if same:
            version = same[-1].version
        else:
            version = max((entry.version for entry in known), default=0) + 1
            _copy(bundle, folder / str(version))
        if promote or _current(folder) is None:
            _set_current(folder, version)
    return find(registry, name, version)


def promote(registry: Path, name: str, version: int) -> Entry:
    """Make a version the one that is served.

    Raises:
        NotFoundError: there is no such model or version.
        BundleError: the version is damaged.
        BusyError: another process changes what is under this name.
        StorageError: the disk is full.
    """
    entry = find(registry, name, version)
    with exclusive(entry.path.parent / ".lock", f'a change to "{name}"'):
        check_bundle(entry.path)
        _set_current(entry.path.parent, version)
    return find(registry, name, version)


def rollback(registry: Path, name: str) -> Entry:
    """Go back to the version that was served before.

    Raises:
        NotFoundError: there is no such model.
        InputError: nothing was served before.
        BundleError: the version is damaged.
        BusyError: another process changes what is under this name.
        StorageError: the disk is full.
    """
    folder = _versions(registry, name)[0].path.parent
    with exclusive(folder / ".lock", f'a change to "{name}"'):
        _, history = _state(folder)
        if not history:
            raise InputError(f'"{name}" has had no other version in production', hint="Use `registry promote`.")
        version = history.pop()
        check_bundle(folder / str(version))
        write_whole(folder / PRODUCTION, json.dumps({"version": version, "history": history}))
    return find(registry, name, version)


def find(registry: Path, name: str, version: int | None = None) -> Entry:
    """A version of a model, or the one in production.

    Raises:
        NotFoundError: there is no such model or version.
    """
    named = _versions(registry, name)
    for entry in named:
        if entry.version == version or (version is None and entry.production):
            return entry
    versions = ", ".join(str(entry.version) for entry in named)
    if version is None:
        raise NotFoundError(
            f'no version of model "{name}" is in production',
            hint=f"Promote one with `landsweep registry promote {name} VERSION`. Versions: {versions}.",
        )
    raise NotFoundError(f'model "{name}" has no version {version}', hint=f"Versions: {versions}.")


def _versions(registry: Path, name: str) -> list[Entry]:
    entries = list_entries(registry)
    named = [entry for entry in entries if entry.name == name]
    if not named:
        names = list(dict.fromkeys(entry.name for entry in entries))
        hint = nearest(name, names) if names else "Register one with `landsweep registry add NAME BUNDLE`."
        raise NotFoundError(f'no model "{name}" in the registry', hint=hint)
    return named


def _current(folder: Path) -> int | None:
    """The version in production; None if there is none, or if the file that says so is damaged."""
    return _state(folder)[0]


def _state(folder: Path) -> tuple[int | None, list[int]]:
    try:
        values = json.loads((folder / PRODUCTION).read_text())
        return int(values["version"]), [int(version) for version in values["history"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None, []


def _set_current(folder: Path, version: int) -> None:
    current, history = _state(folder)
    if current != version:
        history += [current] if current else []
        write_whole(folder / PRODUCTION, json.dumps({"version": version, "history": history}))


def _holds(entry: Entry, config: BundleConfig) -> bool:
    """Whether a version is that bundle, and still whole."""
    try:
        if _identity(read_config(entry.path)) != _identity(config):
            return False
        check_bundle(entry.path)
        return True
    except BundleError:
        return False


def _identity(config: BundleConfig) -> tuple[object, ...]:
    return config.files[WEIGHTS], config.temperature, config.thresholds, config.members


def _copy(bundle: Path, target: Path) -> None:
    aside = target.with_name(f".{target.name}")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(bundle, aside)
    for path in aside.iterdir():
        sync(path)
    check_bundle(aside)
    commit(aside, target)
