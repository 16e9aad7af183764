"""What all parts add up to: records to the manifest.

Flows in: a manifest without rows, and the `PartRecord` of every part in order. Flows out: the whole manifest.
"""

from __future__ import annotations

from collections import Counter

from pipelines.archives.catalogue import SPLITS
from pipelines.dataset.band_sums import NOTHING, BandSums
from pipelines.dataset.manifest import Manifest, Statistics
from pipelines.errors import ArchiveError
from pipelines.packing.pack_part import PartRecord


def tally(plan: Manifest, records: list[PartRecord], left_out: dict[str, list[str]]) -> Manifest:
    """Sum up.

    Args:
        plan: knows source, bands, classes, and what was left out before any file was read.
        records: one a part, in the order of the manifest.
        left_out: what was found missing while packing, by reason.

    Raises:
        ArchiveError: no patch could be read.
    """
    dropped = {reason: list(ids) for reason, ids in plan.dropped.items()}
    for reasons in (*(record.dropped for record in records), left_out):
        for reason, ids in reasons.items():
            dropped.setdefault(reason, []).extend(ids)
    by_split = {split: [record for record in records if record.split == split and record.part] for split in SPLITS}
    measured = by_split["train"] or [record for record in records if record.part]
    if not measured:
        told = "; ".join(f"{reason}: {len(ids)}" for reason, ids in dropped.items())
        raise ArchiveError(f"no patch could be packed ({told})", hint="Check the archive's files, or allow more.")
    return plan.model_copy(
        update={
            "splits": {split: [record.part for record in found] for split, found in by_split.items()},
            "statistics": {
                band.name: _statistics(band.name, [record.sums[band.name] for record in measured])
                for band in plan.bands
            },
            "label_counts": {split: _label_counts(plan.label_names, found) for split, found in by_split.items()},
            "country_counts": {split: _country_counts(found) for split, found in by_split.items()},
            "dropped": {reason: sorted(ids) for reason, ids in dropped.items()},
            "notes": _notes(records),
        }
    )


def _label_counts(names: list[str], records: list[PartRecord]) -> dict[str, int]:
    return {name: sum(record.label_counts[place] for record in records) for place, name in enumerate(names)}


def _notes(records: list[PartRecord]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record.notes)
    return dict(sorted(counts.items()))


def _country_counts(records: list[PartRecord]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record.country_counts)
    return dict(sorted(counts.items()))


def _statistics(band: str, sums: list[BandSums]) -> Statistics:
    whole = sum(sums, NOTHING)
    if not whole.pixels:
        raise ArchiveError(f"no pixel of {band} was measured", hint="Leave the band out with --bands.")
    return Statistics(mean=whole.mean, std=whole.std)
