"""A split that is not whole is made so, what was given stays as it is, and all that is dealt or lacking is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.archives.catalogue import SPLITS, Catalogue
from pipelines.archives.own_split import complete_split, deal_validation
from pipelines.archives.patch_files import Layout
from pipelines.errors import SettingsError

ROWS = 60


def catalogue(*splits: str) -> Catalogue:
    """60 patches of three classes in turn, with these splits in turn."""
    rows = pd.DataFrame({"patch_id": [f"{n:02d}" for n in range(ROWS)], "place": "", "country": ""})
    rows["split"] = [splits[number // 3 % len(splits)] for number in range(ROWS)]
    labels = np.eye(3, dtype=np.uint8)[np.arange(ROWS) % 3]
    layout = Layout(kind="stack", bands=[])
    return Catalogue("kind", Path("x"), layout, rows, labels, ("a", "b", "c"), "")


def counts(of: Catalogue) -> dict[str, int]:
    return {split: int((of.rows["split"] == split).sum()) for split in SPLITS}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("train", ""), {"train": 51, "validation": 5, "test": 4}),
        (("test", ""), {"train": 25, "validation": 5, "test": 30}),
        (("validation", "", ""), {"train": 32, "validation": 21, "test": 7}),
        (("train", "validation", "test", ""), {"train": 30, "validation": 15, "test": 15}),
    ],
)
def test_rows_without_a_split_are_dealt_and_the_others_stay(given: tuple[str, ...], expected: dict[str, int]) -> None:
    before = catalogue(*given)
    after = complete_split(before, seed=0)
    assert counts(after) == expected
    told = before.rows["split"] != ""
    assert (after.rows["split"][told] == before.rows["split"][told]).all()
    for split in SPLITS:
        if not (before.rows["split"] == split).any():
            assert after.labels[(after.rows["split"] == split).to_numpy()].any(axis=0).all(), "every class"
    assert len(after.notes) == 1
    assert after.notes[0].startswith(f"{int((~told).sum())} patches have no split in the table and were dealt one")
    assert (complete_split(before, seed=0).rows["split"] == after.rows["split"]).all()


def test_a_whole_split_is_left_alone() -> None:
    whole = catalogue(*SPLITS)
    assert complete_split(whole, seed=0) is whole
    assert deal_validation(whole, "", seed=0).notes == ()


def test_what_a_split_lacks_is_told_with_the_way_out() -> None:
    assert "--validation 15%" in deal_validation(catalogue("train", "test"), "", seed=0).notes[0]
    assert deal_validation(catalogue("train", "validation"), "", seed=0).notes == ("there is no test split",)
    assert "nothing can be trained" in deal_validation(catalogue("test"), "", seed=0).notes[0]


def test_validation_is_dealt_from_training_alone() -> None:
    before = catalogue("train", "train", "test")
    after = deal_validation(before, "15%", seed=0)
    assert counts(after) == {"train": 36, "validation": 6, "test": 18}
    assert ((after.rows["split"] == "test") == (before.rows["split"] == "test")).all()
    assert after.notes == ("6 of 42 training patches were dealt to validation at random",)
    rare = replace(before, labels=np.eye(3, dtype=np.uint8)[np.where(np.arange(ROWS) == 0, 2, np.arange(ROWS) % 2)])
    kept = deal_validation(rare, "50%", seed=0)
    assert kept.rows["split"][0] == "train", "training keeps the only patch of a class"


@pytest.mark.parametrize("share", ["15", "0%", "100%", "-5%", "nan%", "some", "0.1%"])
def test_shares_that_mean_nothing_are_refused(share: str) -> None:
    with pytest.raises(SettingsError, match="validation"):
        deal_validation(catalogue("train", "test"), share, seed=0)


def test_there_are_no_two_validation_splits() -> None:
    with pytest.raises(SettingsError, match="there is a validation split already"):
        deal_validation(catalogue(*SPLITS), "15%", seed=0)
