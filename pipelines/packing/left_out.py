"""How much may be left out of a dataset before the job stops: a share of the patches, and no class with them.

Flows in: a catalogue, and the records of the parts that were packed so far. Flows out: nothing, or a refusal that says
how many, why, and which for one.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from pipelines.archives.catalogue import Catalogue
from pipelines.errors import ArchiveError, LabelError
from pipelines.packing.pack_part import LACKING, PartRecord

_MISSING = ("missing file", "missing folder")


def check_missing(catalogue: Catalogue, max_bad: float) -> None:
    """See that few enough patches of the table are missing.

    Raises:
        ArchiveError: more than `max_bad` of them.
    """
    gone = [patch for reason in _MISSING for patch in catalogue.dropped.get(reason, ())]
    if len(gone) > max_bad * (len(gone) + len(catalogue) + len(catalogue.others)):
        raise ArchiveError(
            f"{len(gone)} of {len(gone) + len(catalogue)} patches of the table are not there, such as {gone[0]}",
            where=str(catalogue.root),
            hint=f"More than --max-bad {max_bad:g} allows. Put them there, or allow more.",
        )


def check_bad(records: dict[str, PartRecord], catalogue: Catalogue, max_bad: float) -> None:
    """See that few enough of the patches read so far were unreadable; missing ones count with them.

    Raises:
        ArchiveError: more than `max_bad` of all.
    """
    bad = Counter(why for each in records.values() for why, ids in each.dropped.items() for _ in ids)
    del bad[LACKING]
    gone = sum(len(catalogue.dropped.get(reason, ())) for reason in _MISSING)
    if bad.total() + gone * bool(bad) <= max_bad * (len(catalogue) + gone):
        return
    read = sum(each.patches for each in records.values())
    such = {why: ids[0] for each in records.values() for why, ids in each.dropped.items() if ids}
    reasons = "; ".join(f"{why}: {number}, such as {such[why]}" for why, number in bad.most_common())
    so_far = f"after {read} were read: " if read < len(catalogue) else ""
    missing = f", and {gone} are missing" if gone else ""
    raise ArchiveError(
        f"{bad.total()} of {len(catalogue)} patches are unreadable ({so_far}{reasons}){missing}",
        hint=f"More than --max-bad {max_bad:g} allows. Mend the archive, or allow more.",
    )


def check_classes(catalogue: Catalogue, records: dict[str, PartRecord]) -> None:
    """See that no class has gone with the patches that could not be read.

    Raises:
        LabelError: one has.
    """
    left = np.sum([each.label_counts for each in records.values()], axis=0)
    before = catalogue.labels.sum(axis=0)
    lost = [name for name, had, has in zip(catalogue.label_names, before, left, strict=True) if had and not has]
    if lost and left.any():
        reasons = ", ".join(sorted({why for each in records.values() for why in each.dropped}))
        raise LabelError(
            f"{', '.join(lost)} would have no patch left: none of theirs is kept ({reasons})",
            where=str(catalogue.root),
            hint="Mend these patches, or take them out of the archive's table.",
        )
