"""Too much that is missing or unreadable stops the job, and so does a class that would go with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.archives.catalogue import Catalogue
from pipelines.archives.patch_files import Layout
from pipelines.dataset.manifest import Part
from pipelines.errors import ArchiveError, LabelError
from pipelines.packing.left_out import check_bad, check_classes, check_missing
from pipelines.packing.pack_part import PartRecord


def catalogue(patches: int, missing: int = 0) -> Catalogue:
    """Patches of two classes, of which the last has the second one."""
    rows = pd.DataFrame({"patch_id": [str(number) for number in range(patches)], "split": "train"})
    labels = np.eye(2, dtype=np.uint8)[(np.arange(patches) == patches - 1).astype(int)]
    dropped = {"missing folder": [f"m{number}" for number in range(missing)], "seasonal snow": ["s"] * 50}
    layout = Layout(kind="stack", bands=[])
    return Catalogue("kind", Path("set"), layout, rows, labels, ("oak", "ash"), "", dropped=dropped)


def record(rows: int, counts: tuple[int, int], **dropped: int) -> PartRecord:
    part = Part(file="a", rows=rows, bytes=1, sha256="", footer="")
    return PartRecord(
        split="train",
        part=part,
        sums={},
        label_counts=list(counts),
        country_counts={},
        dropped={why: [f"{why}{number}" for number in range(count)] for why, count in dropped.items()},
    )


@pytest.mark.parametrize(("missing", "stops"), [(0, False), (1, False), (2, True), (50, True)])
def test_missing_patches_count(missing: int, stops: bool) -> None:
    whole = catalogue(100 - missing, missing)
    if not stops:
        check_missing(whole, 0.01)
        return
    with pytest.raises(ArchiveError, match=f"set: {missing} of 100 patches of the table are not there, such as m0"):
        check_missing(whole, 0.01)
    check_missing(whole, missing / 100)


def test_what_is_unreadable_is_told_by_reason_with_one_for_each() -> None:
    records = {"a": record(17, (17, 0), small=1, broken=2)}
    check_bad(records, catalogue(100), 0.03)
    said = (
        r"3 of 100 patches are unreadable \(after 20 were read: broken: 2, such as broken0; small: 1, such as small0\)"
    )
    with pytest.raises(ArchiveError, match=said):
        check_bad(records, catalogue(100), 0.02)


def test_missing_and_unreadable_ones_are_counted_together() -> None:
    records = {"a": record(97, (96, 1), broken=2)}
    check_bad(records, catalogue(99), 0.03)
    with pytest.raises(ArchiveError, match=r"2 of 99 patches are unreadable .*, and 2 are missing"):
        check_bad(records, catalogue(99, 2), 0.03)
    check_bad({"a": record(99, (98, 1))}, catalogue(99, 2), 0.0)  # which is `check_missing`'s to say


def test_no_class_goes_however_much_may() -> None:
    check_classes(catalogue(100), {"a": record(98, (97, 1), broken=2)})
    with pytest.raises(LabelError, match=r"ash would have no patch left: none of theirs is kept \(broken\)"):
        check_classes(catalogue(100), {"a": record(99, (99, 0), broken=1)})
