"""Numbers keep what they mean: stored, read, and brought from one scale to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipelines.errors import PatchError
from pipelines.pixels.encoding import Measured, brought, holes_of, read, share_of, store
from pipelines.pixels.meaning import KINDS, REFLECTANCE, Encoding, Kind, Line

SHAPE = (4, 4)
LINES = st.builds(Line, st.sampled_from([1.0, 1e-4, 2.75e-5, 0.01, 10.0]), st.sampled_from([0.0, -0.1, -0.2, 3.0]))


@given(st.sampled_from(KINDS), st.data())
def test_numbers_of_the_type_are_stored_as_they_are(kind: Kind, data: st.DataObject) -> None:
    elements = st.floats(-1e6, 1e6, width=32) if kind == "float32" else None
    numbers = data.draw(arrays(kind, SHAPE, elements=elements))
    stored = store(Encoding(dtype=kind), Measured(numbers))
    assert stored.dtype == kind
    np.testing.assert_array_equal(stored, numbers)
    assert read(Encoding(dtype=kind), stored) is stored, "nothing is copied where nothing is missing"


@given(st.sampled_from(["uint8", "int16", "uint16", "float32"]), arrays(np.bool_, SHAPE), st.data())
def test_what_is_no_data_comes_back_as_nan_and_the_rest_as_it_was(
    kind: Kind, holes: NDArray[np.bool_], data: st.DataObject
) -> None:
    nodata = None if kind == "float32" else 255.0
    elements = st.floats(-1e6, 1e6, width=32) if kind == "float32" else st.integers(0, 254)
    numbers = data.draw(arrays(kind, SHAPE, elements=elements))
    encoding = Encoding(dtype=kind, nodata=nodata)
    found = read(encoding, store(encoding, Measured(numbers, holes)))
    there = np.nan_to_num(found.astype(np.float64), nan=-1e9)
    np.testing.assert_array_equal(there, np.where(holes, -1e9, numbers.astype(np.float64)))
    assert share_of(holes_of(encoding, store(encoding, Measured(numbers, holes)))) == holes.mean()


@given(arrays(np.uint16, SHAPE, elements=st.integers(1000, 20_000)), LINES, LINES)
def test_numbers_of_any_line_mean_the_same_by_another(numbers: NDArray[Any], theirs: Line, mine: Line) -> None:
    found = brought(Measured(numbers, line=theirs), mine)
    meant = numbers * theirs.scale + theirs.offset
    np.testing.assert_allclose(found * mine.scale + mine.offset, meant, rtol=1e-9, atol=2e-3 * mine.scale)


def test_the_offset_of_a_newer_baseline_comes_off_without_a_rounding() -> None:
    numbers = np.arange(1000, 1016).reshape(SHAPE).astype(np.uint16)
    stored = store(REFLECTANCE, Measured(numbers, line=Line(1e-4, -0.1)))
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored, numbers - 1000)


def test_what_declares_nothing_is_taken_as_it_is() -> None:
    numbers = np.arange(16).reshape(SHAPE).astype(np.uint16)
    assert brought(Measured(numbers), Line(1e-4, -0.1)) is numbers


@pytest.mark.parametrize(
    ("encoding", "numbers", "said"),
    [
        (Encoding(dtype="uint8"), np.array([256]), "do not fit uint8"),
        (Encoding(dtype="uint16"), np.array([-1]), "do not fit uint16"),
        (Encoding(dtype="int16"), np.array([0.5]), "fractions"),
        (Encoding(dtype="uint16"), np.array([np.inf]), "infinite"),
        (Encoding(dtype="uint16"), np.array([np.nan, 1]), "without data, which the other files do not declare"),
        (Encoding(dtype="float32"), np.array([2**24 + 1]), "do not fit 24 bits"),
        (Encoding(dtype="float32"), np.array([1e39]), "do not fit float32"),
        (Encoding(), np.array([1j]), "pixels are complex128"),
    ],
)
def test_what_cannot_be_stored_as_it_is_is_refused(encoding: Encoding, numbers: NDArray[Any], said: str) -> None:
    with pytest.raises(PatchError, match=said):
        store(encoding, Measured(numbers))
