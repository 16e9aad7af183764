"""The read side of a search: what was tried and what came of it. Needs neither Ray nor torch.

Flows in: a study's folder. Flows out: tables and curves for the terminal, the page and programs.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from models.bundle.locate import BEST as BEST_BUNDLE
from models.bundle.locate import CHECKPOINTS
from pipelines.errors import StudyError, nearest
from tune.objectives import broken, columns, measured, unbeaten
from tune.settings import SearchSettings

SETTINGS, DATABASE, TRIALS, FINALS = "search.yaml", "study.db", "trials", "finals"
BEST, ENSEMBLE = Path(CHECKPOINTS) / BEST_BUNDLE, Path(CHECKPOINTS) / "ensemble"
RUNGS, WINNERS = "rungs", "finalists"
"""Study attributes: patches at which trials report, and the finalists."""

CURVES, PAUSED, REASON, SECONDS, FROM, COSTS = "curves", "paused", "reason", "seconds", "from", "costs"
"""Trial attributes: one dict of metrics a report, whether it rests, why it ended early, how long it ran, the study
that it was taken over from, and what its net costs, where a search asks for that."""

_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t for 95 % on both sides, by degrees of freedom from 1."""

_DAMAGED, _AGAIN = "study's state is damaged", "Restore it, or search again."

STATES = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class TrialRow:
    """One trial: `value` is its best validation metric so far (None before the first report)."""

    number: int
    state: str
    value: float | None
    epochs: int
    patches: int
    parameters: dict[str, Any]
    curves: list[dict[str, float]]
    seconds: float
    reason: str
    costs: dict[str, float] = field(default_factory=dict)

    def measured(self, metric: str) -> dict[str, float]:
        """What constraints are held against: its best report, which its bundle is of, and what its net costs."""
        return measured(self.curves, metric, self.costs)


@dataclass(frozen=True)
class Finalist:
    """A trial in the finals: its value by seed, their mean, and half of the mean's 95 % interval (NaN of one seed)."""

    number: int
    values: dict[int, float]
    mean: float
    half: float

    @classmethod
    def of(cls, number: int, values: dict[int, float]) -> Finalist:
        """A trial's mean over its seeds, and half of the mean's 95 % interval, by Student's t."""
        found = list(values.values())
        half = math.nan
        if len(found) > 1:
            half = _T[min(len(found) - 2, len(_T) - 1)] * statistics.stdev(found) / math.sqrt(len(found))
        return cls(number, values, statistics.fmean(found), half)

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Finalist:
        """As `kept` wrote it."""
        return cls.of(kept["number"], {int(seed): value for seed, value in kept["values"].items()})

    @property
    def kept(self) -> dict[str, Any]:
        """What a study keeps of it."""
        return {"number": self.number, "values": {str(seed): value for seed, value in self.values.items()}}

    @property
    def said(self) -> str:
        """The mean, and its interval where there is one."""
        return f"{self.mean:.3f}" + ("" if math.isnan(self.half) else f" ± {self.half:.3f}")


@dataclass(frozen=True)
class Study:
    """A study as it stands; read anew for what happened since.

    Args:
        rungs: patches at which trials report, the last one the end of a trial; none before it was run.
        finalists: best mean first; none before the finals, or where one seed was enough.
        frozen: the trials as Optuna has them.
    """

    settings: SearchSettings
    trials: list[TrialRow]
    rungs: tuple[int, ...] = ()
    finalists: tuple[Finalist, ...] = ()
    frozen: list[FrozenTrial] = field(default_factory=list, compare=False, repr=False)

    @property
    def best(self) -> TrialRow | None:
        """The first of `ranked` among the complete trials; among the pruned, and those that rest, where none is
        complete."""
        for state in ("complete", "pruned", "paused"):
            if found := self.ranked(state):
                return found[0]
        return None

    def ranked(self, state: str = "complete") -> list[TrialRow]:
        """Those that may win of the trials in a state, best first.

        They are those that keep to the constraints and, of several objectives, that no other of these beats in all;
        the best is that of the highest metric. Where none keeps to the constraints, the one that comes nearest.
        """
        rows = [row for row in self.trials if row.state == state and row.value is not None]
        rows.sort(key=lambda row: (self.broken(row), -(row.value or 0.0), row.number))
        fair = [row for row in rows if not self.broken(row)]
        if not fair or not self.settings.costs:
            return fair or rows[:1]
        points = [(row.value or 0.0, *(-row.costs.get(each, math.inf) for each in self.settings.costs)) for row in fair]
        return [row for row, first in zip(fair, unbeaten(points), strict=True) if first]

    def broken(self, row: TrialRow) -> float:
        """By what share a trial exceeds the constraints; 0 where it keeps to them, ∞ where that is not known."""
        return broken(self.settings.bounds, row.measured(self.settings.metric))

    def row(self, number: int) -> TrialRow:
        """A trial by its number: those taken over from earlier studies have numbers too, and no rows."""
        return next(row for row in self.trials if row.number == number)

    @property
    def finished(self) -> int:
        """Trials that count: run to their end, or pruned."""
        return sum(row.state in ("complete", "pruned") for row in self.trials)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        rows = [
            {"number": row.number, "state": row.state, self.settings.metric: row.value, "patches": row.patches}
            | {"seconds": row.seconds, "parameters": row.parameters}
            | columns(row.costs)
            | ({"reason": row.reason} if row.reason else {})
            for row in self.trials
        ]
        best = self.best.number if self.best else None
        return {"name": self.settings.name, "metric": self.settings.metric, "best": best, "trials": rows}


def list_studies(experiments: Path) -> list[str]:
    """Names of the studies kept in a folder, newest first."""
    if not experiments.is_dir():
        return []
    folders = [path.parent for path in experiments.glob(f"*/{SETTINGS}")]
    return [folder.name for folder in sorted(folders, key=lambda path: -(path / SETTINGS).stat().st_mtime)]


def open_study(experiments: Path, name: str) -> Study:
    """Read a study as it stands.

    Raises:
        StudyError: there is no such study, or its state is damaged.
        SettingsError: its settings cannot be read; see `Settings.load`.
    """
    folder = experiments / name
    if name not in list_studies(experiments):
        known = list_studies(experiments)
        hint = nearest(name, known) if known else "Start one with `landsweep search run FILE.yaml`."
        raise StudyError(f'no study "{name}"', where=str(experiments), hint=hint)
    settings = SearchSettings.load(folder / SETTINGS).model_copy(update={"experiments": experiments})
    if not settings.storage and not (folder / DATABASE).is_file():
        return Study(settings, [])
    try:
        held = optuna.load_study(study_name=name, storage=open_storage(settings, folder))
        attributes, trials = held.user_attrs, held.get_trials(deepcopy=False)
    except KeyError:
        attributes, trials = {}, []
    except (SQLAlchemyError, RuntimeError, ValueError):
        raise StudyError(_DAMAGED, where=str(folder), hint=_AGAIN) from None
    own = [trial for trial in trials if FROM not in trial.user_attrs]
    finalists = tuple(Finalist.read(each) for each in attributes.get(WINNERS, []))
    return Study(settings, [_row(trial) for trial in own], tuple(attributes.get(RUNGS, ())), finalists, own)


def open_storage(settings: SearchSettings, folder: Path) -> optuna.storages.RDBStorage:
    """Optuna's storage of a study: its own SQLite file, or the URL that its settings name.

    Raises:
        StudyError: the URL is none, its driver is missing, or the database does not answer; or the file is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = settings.storage or f"sqlite:///{(folder / DATABASE).resolve()}"
    arguments = {"connect_args": {"timeout": 30}} if url.startswith("sqlite") else {}
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=arguments)
    except (SQLAlchemyError, ImportError) as error:
        if not settings.storage:
            raise StudyError(_DAMAGED, where=str(folder), hint=_AGAIN) from None
        kind = url.partition(":")[0]  # the rest may hold a password
        hint = "Give an SQLAlchemy URL; PostgreSQL needs the extra landsweep[postgres]."
        raise StudyError(f"cannot be opened ({type(error).__name__})", where=f"{kind} storage", hint=hint) from None


def reached(trial: FrozenTrial) -> float | None:
    """The metric that a trial ended with, or the best it has had so far; None without a report."""
    if trial.state == TrialState.COMPLETE:
        return float(trial.values[0])  # of several objectives it is the first
    return max((value for value in trial.intermediate_values.values() if not math.isnan(value)), default=None)


def is_paused(trial: FrozenTrial) -> bool:
    """Whether a trial rests at a rung, and may yet go on."""
    return trial.state == TrialState.RUNNING and bool(trial.user_attrs.get(PAUSED))


def _row(trial: FrozenTrial) -> TrialRow:
    attributes = trial.user_attrs
    curves = attributes.get(CURVES, [])
    return TrialRow(
        number=trial.number,
        state="paused" if is_paused(trial) else STATES[trial.state],
        value=reached(trial),
        epochs=max((int(row["epoch"]) for row in curves), default=0),
        patches=max(trial.intermediate_values, default=0),
        parameters=trial.params,
        curves=curves,
        seconds=attributes.get(SECONDS, curves[-1].get("seconds", 0.0) if curves else 0.0),
        reason=attributes.get(REASON, ""),
        costs=attributes.get(COSTS, {}),
    )
