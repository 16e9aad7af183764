"""What earlier studies found, as far as it means something to a search: trials that it knows from the start, and points
that it tries first.

Flows in: the studies that a search names, read from their folders. Flows out: trials in today's space, and a short list
of points that did well across these studies.

A trial is taken over by what it was, not by what its study called it: a rate that all models had in common is today's
`landnet.learning_rate`, and what was held fixed then is a value like any other. What lies outside of today's space is
left out and counted. Values are compared with today's only if they mean the same: of the same data, over as many
epochs, by today's metric. Ranks within a study mean something whatever it was of, so points are taken from all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import dist, log
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from models.settings import TrainSettings
from pipelines.errors import SettingsError
from pipelines.location import locate
from tune.objectives import shares
from tune.settings import SearchSettings
from tune.space import AUGMENT, LOSS_PREFIX, Parameter, distributions, parameters
from tune.study import COSTS, FROM, Study, TrialRow, open_study

MOST_POINTS = 0.25
"""Of a search's trials, those that earlier studies may say, at most."""

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "paused": TrialState.PRUNED}
_OUTSIDE, _WITHOUT = "outside of today's space", "without a value of today's metric, or of the patches seen"
_UNMEASURED = "whose nets were not measured for today's objectives and constraints"


@dataclass(frozen=True)
class Earlier:
    """What there is to take over.

    Args:
        trials: in today's space, each marked by `FROM`.
        points: in today's space, the one that did best across the studies first.
        left_out: trials that were not taken over, by why.
        incomparable: studies that only say points, as their values mean something else.
    """

    trials: list[FrozenTrial]
    points: list[dict[str, Any]]
    left_out: Counter[str]
    incomparable: list[str]


@dataclass(frozen=True)
class _Found:
    """A trial in today's space: its parameters, and its rank in its own study from 0, the best, to 1."""

    row: TrialRow
    point: dict[str, Any]
    rank: float


def earlier(settings: SearchSettings) -> Earlier:
    """What the studies that a search names found.

    Raises:
        StudyError: there is no such study, or its state is damaged.
        SettingsError: its settings cannot be read.
    """
    left_out: Counter[str] = Counter()
    found: dict[str, list[_Found]] = {}
    trials: list[FrozenTrial] = []
    incomparable = []
    for name in settings.earlier:
        study = open_study(settings.experiments, name)
        found[name] = _ranked(settings, study, left_out)
        if not _comparable(settings, study.settings):
            incomparable.append(name)
            continue
        for each in found[name]:
            if not settings.measured <= each.row.costs.keys():
                left_out[_UNMEASURED] += 1
                continue
            trial = _taken_over(settings, study, each)
            trials += [trial] if trial else []
            left_out[_WITHOUT] += trial is None
    points = _across(settings, list(found.values()))
    return Earlier(trials, points, +left_out, incomparable)


def earlier_trials(settings: SearchSettings) -> list[FrozenTrial]:
    """The trials that a search knows from the start, for `study.add_trial`; each is marked by `FROM`.

    Raises:
        StudyError, SettingsError: see `earlier`.
    """
    return earlier(settings).trials


def placed(settings: SearchSettings, then: SearchSettings, drawn: Mapping[str, Any]) -> dict[str, Any] | None:
    """A trial of a search as a point of another; None where it lies outside of that.

    Args:
        settings: of today's search.
        then: of the search whose trial it was.
        drawn: what it drew.
    """
    try:
        train = then.train_settings(drawn)
    except SettingsError:
        return None
    was: dict[str, Any] = dict(train) | {f"{LOSS_PREFIX}{name}": value for name, value in train.loss}
    was |= {"loss": train.loss.name, AUGMENT: _strength(settings, then, train, drawn)}
    point: dict[str, Any] = {}
    for each in parameters(settings.space):
        if each.among(point):
            if not each.holds(was[each.sets]):
                return None
            point[each.name] = was[each.sets]
    return point


def _strength(
    settings: SearchSettings, then: SearchSettings, train: TrainSettings, drawn: Mapping[str, Any]
) -> float | None:
    """What share of today's augmentation a trial had: as it drew it, if of the same; else none, or that is not said."""
    if AUGMENT in drawn and then.augmented(1) == settings.augmented(1):
        return float(drawn[AUGMENT])
    return 0.0 if train.augment == settings.augmented(0) else None


def _comparable(settings: SearchSettings, then: SearchSettings) -> bool:
    return str(locate(settings.data)) == str(locate(then.data)) and settings.epochs == then.epochs


def _ranked(settings: SearchSettings, study: Study, left_out: Counter[str]) -> list[_Found]:
    """A study's trials that have a value and lie in today's space, ranked among themselves, best first."""
    rows = [row for row in study.trials if row.state in _STATES and row.value is not None]
    inside = [(row, point) for row in rows if (point := placed(settings, study.settings, row.parameters))]
    left_out[_OUTSIDE] += len(rows) - len(inside)
    inside.sort(key=lambda each: (-(each[0].value or 0.0), each[0].number))
    return [_Found(row, point, place / max(1, len(inside) - 1)) for place, (row, point) in enumerate(inside)]


def _taken_over(settings: SearchSettings, study: Study, found: _Found) -> FrozenTrial | None:
    """The trial with its value by today's metric; None where its curves do not say that."""
    row = found.row
    value, patches = row.value, row.curves[-1].get("patches") if row.curves else None
    if study.settings.metric != settings.metric:
        value = max((curve[settings.metric] for curve in row.curves if settings.metric in curve), default=None)
    state = _STATES[row.state]
    if value is None or (state == TrialState.PRUNED and patches is None):
        return None
    of = distributions(settings.space)
    values = [value, *(row.costs[each] for each in settings.costs)]
    marks: dict[str, Any] = {FROM: f"{study.settings.name} {row.number}"}
    return create_trial(
        state=state,
        values=values if state == TrialState.COMPLETE else None,
        params=found.point,
        distributions={name: of[name] for name in found.point},
        intermediate_values={} if patches is None else {int(patches): value},
        user_attrs=marks | ({COSTS: row.costs} if settings.measured else {}),
        constraints=shares(settings.bounds, row.measured(settings.metric)),
    )


def _across(settings: SearchSettings, studies: Sequence[Sequence[_Found]]) -> list[dict[str, Any]]:
    """Points, each the one that most improves the mean over studies of the best rank so far; until none improves it."""
    studies = [study for study in studies if study]
    of = {each.name: each for each in parameters(settings.space)}
    candidates = [each.point for study in studies for each in study]
    ranks = [[_rank(of, point, study) for study in studies] for point in candidates]
    best, chosen = [1.0] * len(studies), list[dict[str, Any]]()
    while len(chosen) < max(1, MOST_POINTS * settings.trials) and ranks:
        sums = [sum(map(min, best, row)) for row in ranks]
        place = min(range(len(sums)), key=sums.__getitem__)
        if sums[place] >= sum(best):
            break
        best = list(map(min, best, ranks[place]))
        chosen.append(candidates[place])
    return chosen


def _rank(of: Mapping[str, Parameter], point: Mapping[str, Any], study: Sequence[_Found]) -> float:
    """A point's rank in a study: that of the trial nearest to it, and how far away that is: the less is known of it."""
    far, rank = min((_distance(of, point, each.point), each.rank) for each in study)
    return min(1.0, far + rank)


def _distance(of: Mapping[str, Parameter], first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    """Along the sides of the space, each of length 1; 1 where the models differ, at most."""
    shared = [name for name in first if name in second and of[name].open]
    if first["model"] != second["model"]:
        return 1.0
    steps = [_step(of[name], first[name], second[name]) for name in shared]
    return min(1.0, dist(steps, [0.0] * len(steps)))


def _step(each: Parameter, first: Any, second: Any) -> float:
    if isinstance(each.distribution, CategoricalDistribution):
        return float(first != second)
    assert isinstance(each.distribution, FloatDistribution)
    low, high = each.distribution.low, each.distribution.high
    if each.distribution.log:
        low, high, first, second = log(low), log(high), log(first), log(second)
    return abs(float(first) - float(second)) / (high - low)
