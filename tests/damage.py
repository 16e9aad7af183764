"""Damage to files, for tests of who reads them."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The same bytes, some of them others, and cut off anywhere."""
    changed = bytearray(content)
    places = st.tuples(st.integers(0, len(changed) - 1), st.integers(0, 255))
    for place, value in draw(st.lists(places, min_size=1)):
        changed[place] = value
    return bytes(changed[: draw(st.integers(0, len(changed)))])
