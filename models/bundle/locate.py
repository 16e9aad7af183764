"""Which bundle is meant by a folder, and where what is found out about it goes. Light to import.

    RUN/checkpoints/best_acc/, best_loss/, final/    a run's bundles, and RUN/run.json beside them
    STUDY/checkpoints/best/                          a search's best

Flows in: the folder of a run, of a search, or of a bundle, or its file of weights. Flows out: the folder of a bundle,
of results.
"""

from __future__ import annotations

import json
from pathlib import Path

from models.bundle.config import CONFIG, WEIGHTS
from pipelines.errors import BundleError

RECORD = "run.json"
CHECKPOINTS, RESULTS = "checkpoints", "results"
BEST_ACC, BEST_LOSS, FINAL = "best_acc", "best_loss", "final"
BEST = "best"
"""What a search has in their place."""


def find_bundle(source: Path, checkpoint: str = BEST_ACC) -> Path:
    """The bundle that is meant by a folder: the folder itself, or one of a run's, or a search's best.

    Raises:
        BundleError: there is none.
    """
    if (source / CONFIG).is_file():
        return source
    if not source.is_dir():
        raise BundleError("no such folder", where=str(source), hint="Give the folder of a run or of a bundle.")
    folder = source / CHECKPOINTS / checkpoint
    if checkpoint == BEST_ACC and not folder.exists():
        folder = source / CHECKPOINTS / BEST
    if not (folder / CONFIG).is_file():
        there = [each.parent.name for each in sorted((source / CHECKPOINTS).glob(f"*/{CONFIG}"))]
        hint = f"It has: {', '.join(there)}." if there else "Give the folder of a run or of a bundle."
        what = f'the run has no bundle "{checkpoint}"' if (source / RECORD).is_file() else "no bundle there"
        raise BundleError(what, where=str(source), hint=hint)
    return folder


def bundle_of_weights(file: Path) -> Path | None:
    """The bundle that a file of weights is part of, by its name and the config beside it; None of any other file.

    Downloads of Hugging Face's hub have such names too; their configs name no bands.
    """
    config = file.parent / CONFIG
    if file.name != WEIGHTS or not config.is_file():
        return None
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return file.parent  # whoever reads the bundle says that its config is damaged
    return file.parent if isinstance(values, dict) and {"format", "bands"} <= values.keys() else None


def own_results(source: Path, bundle: Path, *, same_data: bool) -> Path | None:
    """Where what is found out about a bundle goes if nobody says: to the run or search it is of; else nowhere.

    Results of a run are those of its best epoch; another of its bundles has its own beside them, such as
    `results_final`. What another dataset says of it is none of the run's, nor is what is asked of a bundle alone.
    """
    if bundle == source or not same_data:
        return None
    return source / (RESULTS if bundle.name in (BEST_ACC, BEST) else f"{RESULTS}_{bundle.name}")


def bundle_of_results(results: Path) -> Path | None:
    """Whose results a run's or a search's folder has, by the name that `own_results` gives it; None of any other."""
    kind, _, name = results.name.partition("_")
    names = ((name,) if name else (BEST_ACC, BEST)) if kind == RESULTS else ()
    folders = (results.parent / CHECKPOINTS / each for each in names)
    return next((folder for folder in folders if (folder / CONFIG).is_file()), None)
