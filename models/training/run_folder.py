"""A training run's folder: what is where in it, and what `run.json` says of where it comes from.

    RUN/
      run.json                 settings, seed, versions, hashes of data and code, when it was begun and ended
      checkpoints/best_acc/    bundle of the epoch with the best metric; best_loss/, final/ likewise
      checkpoints/state.pt     what an interrupted run goes on from
      logs/                    train.log, epochs.jsonl, TensorBoard's event files
      results/                 metrics, predictions.npz, figures of best_acc; results_final/ of final, where asked for

Flows in: settings and a dataset's manifest. Flows out: a `Run`, new, or as it was left. Nothing is read from a folder's
name.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from models.bundle.locate import CHECKPOINTS, RECORD
from models.bundle.weights import installed_versions
from models.settings import RunSettings
from pipelines.dataset.manifest import Manifest
from pipelines.errors import SettingsError, TrainingError
from pipelines.files import check_out, write_whole
from pipelines.settings import Settings

LOGS = "logs"
PROBE: Literal["probe"] = "probe"
"""What the record of a probe, which is no training run, says that it is; see `models.probe.probe`."""

MAY_CHANGE = {
    "accumulate",
    "device",
    "threads",
    "checkpoint_seconds",
    "checkpoint_steps",
    "test",
    "explain",
    "data",
    "out",
}
"""Settings that a resumed run may be given anew: how and where it runs, not what it learns."""


class Record(Settings):
    """What `run.json` says."""

    settings: RunSettings
    seed: int
    data: str = Field(description="hash of the dataset's manifest")
    code: str = Field(description="hash of the code that reads, trains and scores")
    versions: dict[str, str]
    begun: str = Field(description="UTC")
    resumed: list[str] = Field(default_factory=list, description="UTC, each time")
    ended: str = Field(default="", description="UTC; empty until all results are written")


@dataclass(frozen=True)
class Run:
    """A run's folder and what is on record of it."""

    folder: Path
    record: Record

    @property
    def settings(self) -> RunSettings:
        """Those on record."""
        return self.record.settings

    @property
    def checkpoints(self) -> Path:
        """Folder of the bundles and of the states to go on from; made with the first of them."""
        return self.folder / CHECKPOINTS

    def write(self, **changes: Any) -> Run:
        """The same run with something else on record, on the disk too.

        Raises:
            StorageError: the disk is full.
        """
        record = self.record.model_copy(update=changes)
        write_whole(self.folder / RECORD, record.model_dump_json(indent=1))
        return replace(self, record=record)

    def forget(self, *, keep_folder: bool) -> None:
        """Remove what a run has written before its first checkpoint: one that was refused has never been.

        Args:
            keep_folder: it was there before, and may be a link or a disk of its own.
        """
        with suppress(OSError):  # why it was refused is what is to be said
            shutil.rmtree(self.folder / LOGS, ignore_errors=True)
            for name in (RECORD, ".lock"):
                (self.folder / name).unlink(missing_ok=True)
            if not keep_folder:
                self.folder.rmdir()


def begin(settings: RunSettings, folder: Path, manifest: Manifest) -> Run:
    """Make a new run's folder, with its record in it. A run that ended before its first checkpoint may be begun anew.

    Raises:
        SettingsError: something is in the folder already, or it cannot be written to.
        StorageError: the disk is full.
    """
    check_new(folder)
    record = Record(
        settings=settings,
        seed=settings.seed,
        data=manifest.hash,
        code=code_hash(),
        versions=installed_versions(),
        begun=now(),
    )
    return Run(folder, record).write()


def check_new(folder: Path) -> None:
    """See that a run can be begun in a folder.

    Raises:
        SettingsError: there is one with bundles already, or something else, or it cannot be written to.
    """
    check_out(folder)
    begun = (folder / RECORD).is_file()
    if begun and (folder / CHECKPOINTS).is_dir():
        hint = "Go on with --resume, or name another folder with --out."
        raise SettingsError("there is a run already", where=str(folder), hint=hint)
    if not begun and folder.is_dir() and any(each.name != ".lock" for each in folder.iterdir()):
        raise SettingsError("folder is not empty", where=str(folder), hint="Name another with --out.")


def reopen(given: RunSettings, folder: Path) -> tuple[Run, list[str]]:
    """Take up a run with the settings on record; what was given anew must be the same, or one of `MAY_CHANGE`.

    Returns:
        The run, not yet written down, as what is given may yet be refused; and what differs from when it was begun and
        may change its numbers, as sentences.

    Raises:
        SettingsError: there is no such run, it has ended, or other settings are given.
        TrainingError: the record is damaged.
    """
    run = open_run(folder)
    if run.record.ended:
        hint = f"Score it with `landsweep test {folder}`, or train another with --out."
        raise SettingsError("the run has ended, there is nothing to resume", where=str(folder), hint=hint)
    for name, value in _given(given):
        known = _value(run.settings, name)
        settled = name == "feed" and value == "auto"  # by what the run began with
        if value != known and not settled and name.split(".")[0] not in MAY_CHANGE:
            what = f"the run has {name} {known}, not {value}"
            raise SettingsError(what, where=str(folder), hint="Leave it out, or begin another run with --out.")
    fresh = {name: getattr(given, name) for name in given.model_fields_set & MAY_CHANGE}
    notes = [f"{name} is {new} now, {old} when the run was begun." for name, new, old in _differences(run.record)]
    resumed = [*run.record.resumed, now()]
    record = run.record.model_copy(update={"settings": run.settings.model_copy(update=fresh), "resumed": resumed})
    return replace(run, record=record), notes


def open_run(folder: Path) -> Run:
    """Read a run's record.

    Raises:
        SettingsError: there is no run, or it is a probe.
        TrainingError: the record is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        raise SettingsError(f"no run there: {RECORD} is missing", where=str(folder), hint="Begin it without --resume.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict) and values.get("kind") == PROBE:
            hint = f"Score it with `landsweep test {folder}`, or probe again with another --out."
            raise SettingsError("a probe is fitted at once, there is nothing to resume", where=str(folder), hint=hint)
        return Run(folder, Record.model_validate(values))
    except (ValueError, ValidationError):
        raise TrainingError("the run's record is damaged", where=str(path), hint="Restore it, or train anew.") from None


def settings_of(given: RunSettings, *, resume: bool) -> RunSettings:
    """What counts: the settings given, or those on record of the run that is to be resumed.

    Raises:
        SettingsError: there is no such run.
        TrainingError: its record is damaged.
    """
    return open_run(folder_of(given)).settings if resume else given


def folder_of(settings: RunSettings) -> Path:
    """Where a run is kept."""
    return settings.out or Path("experiments") / plain_name(settings.model, settings.bands, settings.seed)


def plain_name(*parts: object) -> str:
    """What a run is called by its settings: letters, digits, dots and underscores."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", "_".join(map(str, parts)).replace("-", "_"))


def code_hash() -> str:
    """SHA-256 of the source files of `models` and `pipelines`, by their names."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for path in sorted(path for room in ("models", "pipelines") for path in (root / room).rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def now() -> str:
    """The time in UTC to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _given(settings: Settings, outer: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values that were set by somebody, those within settings by their full names."""
    for name in sorted(settings.model_fields_set):
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from _given(value, f"{outer}{name}.")
        else:
            yield f"{outer}{name}", value


def _value(settings: Any, name: str) -> Any:
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


def _differences(record: Record) -> Iterator[tuple[str, str, str]]:
    for name, version in installed_versions().items():
        if record.versions.get(name) != version:
            yield name, version, record.versions.get(name, "unknown")
    if (code := code_hash()) != record.code:
        yield "the code's hash", code[:12], record.code[:12]
