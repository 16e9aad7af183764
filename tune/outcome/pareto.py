"""What came of several objectives, and of constraints: the trials that may win, and how far the others are from it.

Flows in: a study. Flows out: rows for a table, and a sentence. Needs neither Ray nor torch.
"""

from __future__ import annotations

from typing import Any

from tune.objectives import columns, said
from tune.study import Study


def pareto(study: Study) -> list[dict[str, Any]]:
    """The Pareto set, best metric first: complete trials within the constraints that no other of these beats in all.

    None where there is one objective, or no trial keeps to the constraints.
    """
    rows = study.ranked() if study.settings.costs else []
    first = study.finalists[0].number if study.finalists else rows[0].number if rows else None
    return [
        {"trial": row.number, study.settings.metric: round(row.value or 0.0, 4)}
        | columns(row.costs)
        | {"model": row.parameters.get("model", ""), "wins": "yes" if row.number == first else ""}
        for row in rows
        if not study.broken(row)
    ]


def kept_to(study: Study) -> str:
    """How many trials keep to the constraints, or which comes nearest to it; empty where there are none of either."""
    settings, best = study.settings, study.best
    if not settings.bounds or best is None:
        return ""
    asked = ", ".join(settings.constraints)
    if study.broken(best):
        found = best.measured(settings.metric)
        has = [said(each.of, found[each.of]) for each in settings.bounds if each.of in found] or ["nothing measured"]
        return f"no trial keeps to {asked}; trial {best.number} comes nearest, with {', '.join(has)}"
    ended = [row for row in study.trials if row.state == best.state]
    fair = [row for row in ended if not study.broken(row)]
    return f"{len(fair)} of {len(ended)} {best.state} trials keep to {asked}"
