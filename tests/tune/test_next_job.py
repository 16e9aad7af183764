"""What a free worker does next, decided from how trials stand and from nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tune.schedule.next_job import Job, Rules, next_job
from tune.schedule.rungs import Standing, State

RULES = Rules(rungs=(10, 30, 90), reduction=3, finalists=2, early_end=False)


def trial(number: int, state: State, *values: float, each: float = 1.0) -> Standing:
    """A trial with these values at the rungs, or at 5 patches each beyond."""
    steps = dict(zip((10, 30, 90), values, strict=False))
    return Standing(number, steps, {step: each * step for step in steps}, state)


def test_an_interrupted_trial_goes_on_before_anything_else_the_farthest_first() -> None:
    standings = [trial(0, "paused", 0.9), trial(1, "interrupted", 0.1), trial(2, "interrupted", 0.1, 0.2)]
    assert next_job(standings, RULES, owed=5) == Job(2, to_end=False)


def test_the_best_of_a_full_rung_is_promoted_and_else_a_new_trial_begins() -> None:
    two = [trial(0, "paused", 0.5), trial(1, "paused", 0.6)]
    assert next_job(two, RULES, owed=3) == Job(None, to_end=False)
    assert next_job([*two, trial(2, "paused", 0.4)], RULES, owed=3) == Job(1, to_end=False)
    promoted = [two[0], trial(1, "running", 0.6, 0.7), trial(2, "paused", 0.4)]
    assert next_job(promoted, RULES, owed=3) == Job(None, to_end=False), "one in three has gone on"


def test_when_nothing_is_owed_the_finalists_go_to_the_end_and_nobody_else() -> None:
    standings = [trial(0, "paused", 0.5), trial(1, "paused", 0.6), trial(2, "paused", 0.4), trial(3, "failed", 0.9)]
    first = next_job(standings, Rules(RULES.rungs, finalists=2, early_end=False, reduction=100), owed=0)
    assert first == Job(1, to_end=True)
    standings[1] = trial(1, "complete", 0.6, 0.6, 0.6)
    assert next_job(standings, RULES, owed=0, closing=True) == Job(0, to_end=True)
    standings[0] = trial(0, "complete", 0.5, 0.6, 0.6)
    assert next_job(standings, RULES, owed=0, closing=True) is None, "the third best is no finalist"


def test_when_the_time_closes_no_trial_begins_and_none_climbs() -> None:
    standings = [trial(number, "paused", 0.1 * number) for number in range(6)]
    assert next_job(standings, RULES, owed=9, closing=True) == Job(5, to_end=True)
    assert next_job([], RULES, owed=9, closing=True) is None


def test_where_nobody_pauses_trials_are_begun_to_their_end_until_none_is_owed() -> None:
    rules = Rules(rungs=(90,))
    assert next_job([], rules, owed=1) == Job(None, to_end=True)
    assert next_job([trial(0, "paused", 0.5)], rules, owed=0) is None
    assert next_job([trial(0, "interrupted")], rules, owed=0) == Job(0, to_end=True)


def test_patches_are_kept_for_the_finalists() -> None:
    rules = Rules(RULES.rungs, finalists=1, early_end=False, patches=150)
    assert next_job([], rules, owed=9) == Job(None, to_end=False)
    spent = [trial(number, "paused", 0.1 * number) for number in range(7)]
    assert next_job(spent, rules, owed=9) == Job(6, to_end=True), "70 were seen, and the best one needs 80"


@given(
    st.lists(
        st.tuples(
            st.lists(st.floats(0, 1), min_size=0, max_size=3),
            st.sampled_from(["running", "paused", "interrupted", "complete", "failed", "pruned"]),
        ),
        max_size=12,
    ),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_it_is_always_a_trial_that_may_go_on_in_whatever_order_they_are_listed(
    drawn: list[tuple[list[float], State]], owed: int, closing: bool, early: bool, random: object
) -> None:
    standings = [trial(number, state, *values) for number, (values, state) in enumerate(drawn)]
    rules = Rules(RULES.rungs, early_end=early)
    job = next_job(standings, rules, owed, closing)
    shuffled = sorted(standings, key=lambda each: hash((each.number, repr(random))))
    assert next_job(shuffled, rules, owed, closing) == job
    if job is None:
        assert not owed or closing
    elif job.number is None:
        assert owed
        assert not closing
    else:
        assert standings[job.number].state in ("paused", "interrupted")
