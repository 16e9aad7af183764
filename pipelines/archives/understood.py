"""What was understood of an archive, before any of it is packed.

Flows in: a `Catalogue`. Flows out: plain values: patches, classes, bands, what is left out, what was taken for what.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.archives.catalogue import SPLITS, Catalogue
from pipelines.pixels.meaning import Encoding, Line

_EXAMPLES = 3
_MOST_CLASSES = 50  # lines of text; JSON has all


def understood(catalogue: Catalogue) -> dict[str, Any]:
    """All that is known before packing, by name."""
    splits = catalogue.rows["split"]
    counts = {split: catalogue.labels[(splits == split).to_numpy()].sum(axis=0).tolist() for split in SPLITS}
    return {
        "archive": str(catalogue.root),
        "kind": catalogue.kind,
        "patches": {split: int((splits == split).sum()) for split in SPLITS},
        "labels": "several classes a patch" if catalogue.several else "one class a patch",
        "bands": {band.name: f"{band.size}×{band.size} px" for band in catalogue.layout.bands},
        "numbers": {band.name: band.numbers.model_dump() for band in catalogue.layout.bands},
        "left out": {reason: len(ids) for reason, ids in catalogue.dropped.items()},
        "such as": {reason: ids[:_EXAMPLES] for reason, ids in catalogue.dropped.items()},
        "unmapped classes": catalogue.unmapped,
        "notes": list(catalogue.notes),
        "classes": [
            {"class": name} | {split: counts[split][place] for split in SPLITS}
            for place, name in enumerate(catalogue.label_names)
        ],
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The same as a few lines of text, such as are told before packing."""
    patches = found["patches"]
    shown = ", ".join(f"{split} {number}" for split, number in patches.items())
    yield f"{found['kind']}: {sum(patches.values())} patches ({shown}), {found['labels']}"
    classes = [f"{row['class']} {sum(row[split] for split in SPLITS)}" for row in found["classes"]]
    more = f" and {len(classes) - _MOST_CLASSES} more" if len(classes) > _MOST_CLASSES else ""
    yield f"{len(classes)} classes: {'; '.join(classes[:_MOST_CLASSES])}{more}"
    sizes = dict.fromkeys(found["bands"].values())
    yield "bands: " + "; ".join(
        f"{','.join(band for band, each in found['bands'].items() if each == size)} ({size})" for size in sizes
    )
    yield "numbers: " + "; ".join(_shared(found["numbers"]))
    for reason, number in found["left out"].items():
        yield f"left out: {reason}: {number}, such as {', '.join(found['such as'][reason])}"
    for note in found["notes"]:
        yield f"note: {note}"


def _shared(numbers: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What the numbers of all bands are, or of those that have the same."""
    words = {band: _meaning(each) for band, each in numbers.items()}
    for said in dict.fromkeys(words.values()):
        bands = [band for band, each in words.items() if each == said]
        yield said if len(bands) == len(words) else f"{said} ({', '.join(bands)})"


def _meaning(numbers: dict[str, Any]) -> str:
    found = Encoding(**numbers)
    line = f", {found.unit}" if found.unit else ""
    if found.line != Line():
        line = f", {found.line.formula} is {found.unit or 'an unnamed unit'}"
    nodata = "" if found.nodata is None else f", {found.nodata:g} is no data"
    return f"{found.dtype}{line}{nodata}"
