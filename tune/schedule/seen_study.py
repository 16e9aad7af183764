"""A study as its sampler sees it: what trials have come to so far is a result, whether or not they are over.

Flows in: an Optuna study. Flows out: the same study, in which a trial that rests is pruned where it rests; for else its
result would count as none, and as a poor one besides.

Of several objectives Optuna's samplers know complete trials alone: NSGA-II and GP pass over pruned ones, and TPE asks
such a study for its one direction, which it has not. So there every trial whose net was measured is complete with what
it has come to, or with no quality where it failed.
"""

from __future__ import annotations

import copy
from collections.abc import Container

import optuna
from optuna.trial import FrozenTrial, TrialState

from tune.objectives import measured, shares
from tune.settings import SearchSettings
from tune.study import COSTS, CURVES, is_paused, reached


class SeenStudy(optuna.study.Study):
    """See above.

    Args:
        settings: whose study it is.
        storage: where it is.
        sampler: what draws.
    """

    def __init__(
        self, settings: SearchSettings, storage: optuna.storages.BaseStorage, sampler: optuna.samplers.BaseSampler
    ) -> None:
        super().__init__(settings.name, storage, sampler=sampler)
        self.metric, self.costs, self.bounds = settings.metric, settings.costs, settings.bounds

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        found = [self._as_seen(each) for each in super()._get_trials(deepcopy=deepcopy, use_cache=use_cache)]
        return [each for each in found if states is None or each.state in states]

    def _as_seen(self, trial: FrozenTrial) -> FrozenTrial:
        rests, several = is_paused(trial), bool(self.costs) and trial.state != TrialState.COMPLETE
        if not (rests or several):
            return trial
        seen = copy.copy(trial)
        seen.state = TrialState.PRUNED if rests else trial.state
        costs = trial.user_attrs.get(COSTS, {})
        if several:
            quality = 0.0 if trial.state == TrialState.FAIL else reached(trial)
            if quality is None or not {*self.costs} <= costs.keys():
                seen.intermediate_values = {}
            else:
                seen.state, seen.values = TrialState.COMPLETE, [quality, *(costs[each] for each in self.costs)]
        if self.bounds and not seen.constraints:
            seen.system_attrs = dict(trial.system_attrs)
            found = measured(trial.user_attrs.get(CURVES, []), self.metric, costs)
            for name, share in shares(self.bounds, found).items():
                seen.set_constraint(name, share)
        return seen
