"""Splits as hypothesis draws them, for the tests of what is fitted on one."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Split = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Logits and labels, (rows, classes)."""


@st.composite
def splits(draw: st.DrawFn) -> Split:
    """Logits that say something about the labels or nothing, with ties, absent and constant classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 60)), draw(st.integers(1, 5))
    labels = (rng.random(shape) < rng.choice([0, 0.1, 0.5, 1], shape[1])).astype(np.uint8)
    logits = rng.normal(0, 4, shape) + draw(st.sampled_from([-3.0, 0.0, 3.0])) * labels
    return np.round(logits, draw(st.integers(0, 3))).astype(np.float32), labels
