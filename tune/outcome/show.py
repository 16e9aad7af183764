"""What `landsweep search show` says of a study: floor, Pareto set, finals, what decided, what it cost, and every trial.

Flows in: a study's folder. Flows out: plain values, for the terminal and for programs. Needs neither Ray nor torch.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tune.outcome.cost import cost
from tune.outcome.floor import read_floor
from tune.outcome.importance import importances, interactions
from tune.outcome.pareto import kept_to, pareto
from tune.outcome.repeat import repeat_command
from tune.study import ENSEMBLE, Study, open_study

TABLES = ("floor", "pareto", "finals", "importances", "interactions")
"""What of it is a list of rows beside the trials, in the order to be shown."""

_DIGITS = 4


def described(experiments: Path, name: str) -> dict[str, Any]:
    """A study by name: scalars first, then `TABLES`, then `trials`.

    Raises:
        StudyError: there is no such study, or its state is damaged.
        SettingsError: its settings cannot be read.
    """
    study = open_study(experiments, name)
    settings = study.settings
    decided = importances(study.frozen)
    pairs = [each.parameter for each in decided[:2]]
    values = study.as_dict()
    values |= {"parameters": study.best.parameters, "repeat": _repeat(study)} if study.best else {}
    values |= {"cost": _cost(study)}
    values |= {"ensemble": str(ENSEMBLE)} if (settings.folder / ENSEMBLE).is_dir() else {}
    values |= {"constraints": found} if (found := kept_to(study)) else {}
    values["floor"] = [
        {"name": row.name, **{split: round(value, _DIGITS) for split, value in row.values.items()}, "note": row.note}
        for row in read_floor(settings.folder)
    ]
    values["pareto"] = pareto(study)
    values["finals"] = [
        {"trial": each.number, "mean": round(each.mean, _DIGITS)}
        | ({} if math.isnan(each.half) else {"±": round(each.half, _DIGITS)})
        | {f"seed {seed}": round(value, _DIGITS) for seed, value in each.values.items()}
        for each in study.finalists
    ]
    values["importances"] = [
        {"parameter": each.parameter, "share": round(each.share, 3), "trials": each.trials} for each in decided
    ]
    values["interactions"] = interactions(study.frozen, *pairs) if len(pairs) > 1 else []
    return values


def _repeat(study: Study) -> str:
    """The command that trains the best trial's net again."""
    best, settings = study.best, study.settings
    assert best is not None
    return repeat_command(settings.train_settings(best.parameters), settings.data)


def _cost(study: Study) -> dict[str, Any]:
    """Seconds on devices, and what pausing has saved of them."""
    if not study.rungs:
        return {"seconds": round(sum(row.seconds for row in study.trials), 1)}
    found = cost(study.frozen, study.rungs[-1])
    return {"seconds": round(found.spent, 1), "saved": round(found.saved, 1), "share_saved": round(found.share, 3)}
