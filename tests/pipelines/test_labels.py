"""Class names to multi-hot vectors and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import LabelError
from pipelines.labels import BIGEARTHNET_19, LABEL_NAMES, colour_of, decode_labels, encode_labels


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
