"""Classes go by name: whatever a dataset lacks, has besides, or has in another order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.measure.shared_classes import rows_of, shared_classes
from pipelines.errors import BundleError
from tests.models.bright import bright_or_dark

names = st.lists(st.sampled_from("abcdefg"), unique=True, min_size=1)


@given(names, names)
def test_columns_of_both_are_of_the_same_names(model: list[str], data: list[str]) -> None:
    if not set(model) & set(data):
        with pytest.raises(BundleError, match=f'has none of the model\'s classes: it has "{data[0]}"'):
            shared_classes(model, data, "data")
        return
    both = shared_classes(model, data, "data")
    assert [model[place] for place in both.of_model] == [data[place] for place in both.of_data] == list(both.names)
    assert set(both.names) | set(both.absent) == set(model)
    assert set(both.names) | set(both.unknown) == set(data)
    assert len(both.notes) == bool(both.absent) + bool(both.unknown)
    assert all(name in "".join(both.notes) for name in both.absent + both.unknown)


def test_rows_have_the_labels_that_are_asked_for() -> None:
    rows = bright_or_dark(20, 0)
    assert rows_of(rows, ["a", "b"], ["a", "b"]) is rows
    turned = rows_of(rows, ["a", "b"], ["b", "a"])
    assert (len(turned), turned.bands, turned.patch_ids.tolist()) == (20, rows.bands, rows.patch_ids.tolist())
    assert np.array_equal(turned.labels, rows.labels[:, ::-1])
    one = turned.select(["B04"])
    places = np.array([7, 3, 3])
    assert np.array_equal(one.take(places)["labels"], rows.labels[places][:, ::-1])
    assert np.array_equal(one.take(places)["B04"], rows.take(places)["B04"])
    dealt = list(one.epoch(8, [1]))
    assert [len(each["labels"]) for each in dealt] == [8, 8, 4]
    plain = list(rows.epoch(8, [1]))
    assert all(
        np.array_equal(here["labels"], there["labels"][:, ::-1]) for here, there in zip(dealt, plain, strict=True)
    )
