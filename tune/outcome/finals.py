"""The finals: the best trials fitted again over other seeds, so that the winner is not the luckiest.

Flows in: a study whose search is over. Flows out: `finals.json`, and the bundle of each run.

    finals/<number>-<seed>/   a run, as a trial keeps it; done once its value stands in finals.json

The best of many trials is chosen for its luck too: its value on validation is above what its settings give in the mean
(Cawley and Talbot 2010, JMLR 11). So the best few are fitted with further seeds, and the best mean wins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.cluster import own_errors
from pipelines.errors import LandsweepError
from pipelines.feeding.shared import Feed
from pipelines.files import write_whole
from tune.settings import SearchSettings
from tune.study import FINALS, TRIALS, Finalist, Study
from tune.trials.checkpoints import best_bundle, drop_states, trial_folder

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """One finalist with one further seed, and its best value; none where it came to none."""

    number: int
    seed: int
    value: float | None


def play_finals(settings: SearchSettings, study: Study, data: Feed, end: int, tell: Tell) -> list[Finalist]:
    """Fit the best trials that may win over further seeds, as many at once as there is room for; best mean first.

    Runs that an earlier process finished are not run again, those that it began go on.

    Args:
        end: patches of a whole trial.

    Raises:
        StorageError: the disk is full.
    """
    entered = study.ranked()[: settings.finals.top]
    file = settings.folder / FINALS / "finals.json"
    runs = _read(file)
    seeds = range(settings.seed + 1, settings.seed + settings.finals.seeds)
    if len(entered) > 1:
        done = {(run.number, run.seed) for run in runs}
        owed = [(row.number, row.parameters, seed) for row in entered for seed in seeds]
        owed = [each for each in owed if (each[0], each[2]) not in done]
        if owed:
            tell(f"Finals: the best {len(entered)} trials over {len(seeds)} further seeds, {len(owed)} runs.")
        for run in _run_all(settings, data, end, owed):
            runs.append(run)
            write_whole(file, json.dumps([asdict(each) for each in runs], indent=1))
            drop_states(_folder(settings, run.number, run.seed))
            value = "failed" if run.value is None else f"{settings.metric} {run.value:.3f}"
            tell(f"  trial {run.number:>3}  seed {run.seed}  {value}")
    values = {
        row.number: {settings.seed: row.value or 0.0}
        | {run.seed: run.value for run in runs if run.number == row.number and run.value is not None}
        for row in entered
    }
    return sorted((Finalist.of(number, found) for number, found in values.items()), key=lambda each: -each.mean)


def bundle_of(settings: SearchSettings, each: Finalist) -> Path | None:
    """The bundle of a finalist's best seed; None where it is gone."""
    seed = max(each.values, key=lambda seed: each.values[seed])
    if seed == settings.seed:
        return best_bundle(trial_folder(settings.folder / TRIALS, each.number))
    return best_bundle(_folder(settings, each.number, seed))


def _folder(settings: SearchSettings, number: int, seed: int) -> Path:
    return settings.folder / FINALS / f"{number}-{seed}"


def _read(file: Path) -> list[Run]:
    if not file.is_file():
        return []
    return [Run(**each) for each in json.loads(file.read_text(encoding="utf-8"))]


def _run_all(settings: SearchSettings, data: Feed, end: int, owed: Sequence[tuple[int, dict[str, Any], int]]) -> Any:
    """Each run as its task ends."""
    import ray

    task = ray.remote(num_cpus=settings.cpus, num_gpus=settings.gpus, max_retries=2)(_run)
    waiting = [task.remote(settings, data, end, *each) for each in owed]
    while waiting:
        (first,), waiting = ray.wait(waiting, num_returns=1)
        with own_errors():
            yield ray.get(first)


def _run(settings: SearchSettings, data: Feed, end: int, number: int, parameters: dict[str, Any], seed: int) -> Run:
    """A task: one finalist with one seed, from its last state."""
    import torch

    from tune.trials.fitting import Course, TrialFit

    own = settings.train_settings(parameters).model_copy(update={"seed": seed})
    torch.set_num_threads(own.threads or 1)
    said = {"study": settings.name, "number": number, "seed": seed}
    values: list[float] = []
    course = Course(
        _folder(settings, number, seed), said, (end,), settings.checkpoint_seconds,
        lambda report: values.append(float(report["best"])),
    )  # fmt: skip
    try:
        TrialFit(own, course, data).run()
    except LandsweepError:
        return Run(number, seed, None)
    return Run(number, seed, values[-1])
