"""What a free worker does next: go on with a trial, begin a new one, wait, or nothing more.

Flows in: how all trials stand, and the rules. Flows out: a `Job`, or none. Pure, so that a search that is resumed, the
scheduler that pauses a trial, and a replay of recorded curves all decide alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tune.schedule.rungs import Standing, ceiling, finalists, promotable


@dataclass(frozen=True)
class Rules:
    """What the choice goes by.

    Args:
        rungs: patches seen, the last one the end of a trial; one rung alone: nobody pauses.
        reduction: see `promotable`.
        finalists: so many of the best run to the end.
        early_end: whether the order of two rungs may end the climbing, see `ceiling`.
        patches: that all trials may see together; 0 for no limit.
    """

    rungs: tuple[int, ...]
    reduction: int = 3
    finalists: int = 3
    early_end: bool = True
    patches: int = 0


@dataclass(frozen=True)
class Job:
    """A trial from where it stands to its next rung, or to its end; a new trial where it has no number."""

    number: int | None
    to_end: bool


def next_job(standings: Sequence[Standing], rules: Rules, owed: int, closing: bool = False) -> Job | None:
    """What is to be done now; None where there is nothing, or not before a trial that runs has come further.

    Args:
        owed: new trials that may yet begin.
        closing: the time for new trials and for climbing is over; only the finalists go on.
    """
    climbing = len(rules.rungs) > 1
    interrupted = [each for each in standings if each.state == "interrupted"]
    if interrupted:
        first = max(interrupted, key=lambda each: (each.patches, -each.number))
        return Job(first.number, to_end=not climbing)
    if not climbing:
        return Job(None, to_end=True) if owed and not closing and _room(standings, rules) else None
    if not closing and _room(standings, rules):
        top = ceiling(standings, rules.rungs) if rules.early_end else len(rules.rungs) - 1
        found = promotable(standings, rules.rungs, rules.reduction, top)
        if found:
            return Job(found.number, to_end=False)
        if owed:
            return Job(None, to_end=False)
    best = next((each for each in finalists(standings, rules.finalists) if each.state == "paused"), None)
    return Job(best.number, to_end=True) if best else None


def _room(standings: Sequence[Standing], rules: Rules) -> bool:
    """Whether patches are left beside those that the finalists need to their end."""
    if not rules.patches:
        return True
    end = rules.rungs[-1]
    ahead = sum(end - each.patches for each in finalists(standings, rules.finalists))
    ahead += (rules.finalists - min(rules.finalists, sum(bool(each.values) for each in standings))) * end
    return sum(each.patches for each in standings) + ahead < rules.patches
