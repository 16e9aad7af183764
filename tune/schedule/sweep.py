"""What a search keeps on the disk while it runs: little, and never more than stated.

Flows in: how trials stand, and their folders. Flows out: room. At any moment there are at most `paused` resting trials
with a state (net, optimizer: about three times its weights) and a bundle, two of each for those that run, and `keep`
bundles of trials that ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tune.schedule.rungs import Standing, finalists
from tune.trials.checkpoints import drop_states, remove, trial_folder

_ENDED = ("complete", "pruned", "failed")


def surplus(standings: Sequence[Standing], most: int) -> list[Standing]:
    """Resting trials beyond so many, the worst of the lowest rung first: these will hardly go on."""
    resting = [each for each in standings if each.state == "paused"]
    resting.sort(key=lambda each: (each.patches, -each.broken, each.best()))
    return resting[: max(0, len(resting) - most)]


def sweep(standings: Sequence[Standing], trials: Path, keep: int) -> None:
    """Remove what trials that ended do not need: states, and all but the best so many bundles."""
    ended = [each for each in standings if each.state in _ENDED]
    kept = {each.number for each in finalists(ended, keep)}
    for each in ended:
        folder = trial_folder(trials, each.number)
        if each.number in kept:
            drop_states(folder)
        elif folder.exists():
            remove(folder)
