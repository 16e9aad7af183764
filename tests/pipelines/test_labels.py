"""Class names to multi-hot vectors and back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import LabelError
from pipelines.labels import BIGEARTHNET_19, LABEL_NAMES, colour_of, decode_labels, encode_labels, encode_many


def test_the_19_classes_are_alphabetical_and_cover_each_code_once() -> None:
    assert len(LABEL_NAMES) == 19
    assert list(LABEL_NAMES) == sorted(LABEL_NAMES)
    codes = [code for label in BIGEARTHNET_19.values() for code in label.corine]
    assert len(codes) == len(set(codes))
    assert len({label.colour for label in BIGEARTHNET_19.values()}) == 19


@given(st.sets(st.sampled_from(LABEL_NAMES)))
def test_round_trip(names: set[str]) -> None:
    assert set(decode_labels(encode_labels(names))) == names


def test_unknown_class_is_named() -> None:
    with pytest.raises(LabelError, match='Did you mean "Pastures"'):
        encode_labels(["Pasture"])


def test_vector_of_another_length_is_refused() -> None:
    with pytest.raises(LabelError, match="3 values for 19"):
        decode_labels(np.zeros(3, np.uint8))


def test_foreign_classes_get_a_steady_colour() -> None:
    assert colour_of("SeaLake") == colour_of("SeaLake") != colour_of("River")
    assert len(colour_of("SeaLake")) == 7


@given(st.lists(st.lists(st.sampled_from(LABEL_NAMES), max_size=4)), st.integers(0, 4))
def test_a_column_is_encoded_as_its_rows_are(rows: list[list[str]], cut: int) -> None:
    expected = np.array([encode_labels(names) for names in rows], np.uint8).reshape(-1, 19)
    whole = pa.array(rows, pa.list_(pa.string()))
    for column in (whole, pa.chunked_array([whole[:cut], whole[cut:]]), whole.cast(pa.large_list(pa.large_string()))):
        found = encode_many(column)
        assert found.dtype == np.uint8
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([["Pastures"], ["Arable land", "Pasture"]]), 'unknown class "Pasture". Did you mean "Pastures"?'),
        (pa.array([["Pastures", None]]), "a class name is null"),
        (pa.array([["Pastures"], None]), "1 rows have no list of labels"),
        (pa.array(["Pastures"]), "labels are string, not lists of names"),
        (pa.array([[15]]), "labels are list<item: int64>, not lists of names"),
    ],
)
def test_a_column_that_does_not_name_known_classes_is_refused(column: pa.Array, said: str) -> None:
    with pytest.raises(LabelError) as caught:
        encode_many(column)
    assert said in str(caught.value)
