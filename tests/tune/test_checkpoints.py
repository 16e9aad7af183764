"""What a trial goes on from: whole pairs of a state and the bundle it names, and nothing that was cut off."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from models.training.checkpoint import write_state
from tune.schedule.rungs import Standing, State
from tune.schedule.sweep import surplus, sweep
from tune.trials.checkpoints import best_bundle, best_path, drop_older, drop_states, last_state, state_path


def keep(folder: Path, bundle: Path, patches: int, best: int) -> None:
    if not best_path(folder, best).exists():
        shutil.copytree(bundle, best_path(folder, best))
    write_state(state_path(folder, patches), {"done": torch.tensor(patches), "trial": {"bundle": best}})


def test_the_last_whole_pair_is_gone_on_from(bundle: Path, tmp_path: Path) -> None:
    assert last_state(tmp_path) is None
    assert best_bundle(tmp_path) is None
    for patches, best in ((90, 90), (100, 90), (1000, 1000)):
        keep(tmp_path, bundle, patches, best)
    found = last_state(tmp_path)
    assert found is not None
    assert (found[0], int(found[1]["done"])) == (1000, 1000), "by number, not by name"
    (best_path(tmp_path, 1000) / "model.safetensors").write_bytes(b"half")
    found = last_state(tmp_path)
    assert found is not None
    assert found[0] == 100
    assert best_bundle(tmp_path) == best_path(tmp_path, 90)
    state_path(tmp_path, 100).write_bytes(state_path(tmp_path, 100).read_bytes()[:-1])
    found = last_state(tmp_path)
    assert found is not None
    assert found[0] == 90
    (tmp_path / "state-2000.pt.tmp").write_bytes(b"an aside that a kill left")
    (tmp_path / ".best-2000.17").mkdir()
    assert last_state(tmp_path) is not None


def test_a_new_pair_replaces_all_but_the_one_before(bundle: Path, tmp_path: Path) -> None:
    for patches, best in ((10, 10), (20, 20), (30, 20), (40, 20)):
        keep(tmp_path, bundle, patches, best)
        drop_older(tmp_path, patches, best)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-10", "best-20", "state-30.pt", "state-40.pt"]
    drop_states(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["best-20"]


def test_a_search_keeps_the_bundles_of_its_best_and_the_states_of_those_that_may_go_on(
    bundle: Path, tmp_path: Path
) -> None:
    states: tuple[State, ...] = ("complete", "pruned", "paused", "failed", "running", "complete")
    standings = [Standing(number, {10: number / 10}, {10: 1.0}, state) for number, state in enumerate(states)]
    for each in standings:
        keep(tmp_path / str(each.number), bundle, 10, 10)
    sweep(standings, tmp_path, keep=2)
    left = {path.name: sorted(each.name for each in path.iterdir()) for path in tmp_path.iterdir()}
    whole = ["best-10", "state-10.pt"]
    assert left == {"1": ["best-10"], "2": whole, "4": whole, "5": ["best-10"]}


def test_resting_trials_beyond_the_most_are_the_worst_of_the_lowest_rung() -> None:
    resting = [
        Standing(0, {10: 0.9}, {10: 1.0}, "paused"),
        Standing(1, {10: 0.1, 30: 0.2}, {10: 1.0, 30: 3.0}, "paused"),
        Standing(2, {10: 0.5}, {10: 1.0}, "paused"),
        Standing(3, {10: 0.0}, {10: 1.0}, "running"),
    ]
    assert [each.number for each in surplus(resting, 1)] == [2, 0]
    assert surplus(resting, 3) == []
