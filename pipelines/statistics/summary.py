"""Statistics as a person takes them: a few rows on the terminal, and a folder of figures beside the numbers.

Flows in: `DatasetStatistics`. Flows out: rows for tables; `statistics.json` and PNG files. The folder's other files are
left alone. `statistics.json` is written last and removed first: a folder without it was not finished.
"""

from __future__ import annotations

import math
from typing import Any

from pipelines.files import write_whole
from pipelines.location import Location, locate
from pipelines.statistics.measure import BandStatistics, DatasetStatistics

NUMBERS = "statistics.json"


def write_summary(out: Location | str, statistics: DatasetStatistics) -> list[str]:
    """Write the numbers and every figure that they can fill; figures of an earlier run that they cannot are removed.

    Returns:
        The files' names, sorted.

    Raises:
        StorageError: the disk is full.
        ServiceError: the object store does not take it.
    """
    from pipelines.drawing.canvas import (
        png_of,  # not at the top: matplotlib takes a second to import, and rows do without
    )
    from pipelines.statistics.figures import DRAWERS, draw_figures

    folder = locate(out)
    pictures = {f"{name}.png": png_of(figure) for name, figure in draw_figures(statistics).items()}
    (folder / NUMBERS).unlink(missing_ok=True)
    for name in {f"{name}.png" for name in DRAWERS} - set(pictures):
        (folder / name).unlink(missing_ok=True)
    for name, data in pictures.items():
        write_whole(folder / name, data)
    write_whole(folder / NUMBERS, statistics.model_dump_json())
    return sorted([*pictures, NUMBERS])


def overview(statistics: DatasetStatistics) -> dict[str, Any]:
    """What comes before the tables."""
    numbers = {number: patches for number, patches in statistics.whole.labels_per_patch.items() if patches}
    mean = sum(number * patches for number, patches in numbers.items()) / statistics.whole.patches
    return {
        "hash": statistics.dataset,
        "patches": {split: group.patches for split, group in statistics.splits.items()},
        "labels per patch": f"{min(numbers)} to {max(numbers)}, {mean:.2f} on average",
    }


def class_rows(statistics: DatasetStatistics) -> list[dict[str, Any]]:
    """A row a class: its patches in each split and in all."""
    splits = statistics.splits.items()
    return [
        {"class": name} | {split: group.label_counts[name] for split, group in splits} | {"all": count}
        for name, count in statistics.whole.label_counts.items()
    ]


def band_rows(statistics: DatasetStatistics) -> list[dict[str, Any]]:
    """A row a band: mean ± standard deviation in each split, and over all the mean, deviation and range."""
    return [
        {"band": band}
        | {
            split: _around(group.bands[band]) if band in group.bands else ""
            for split, group in statistics.splits.items()
        }
        | {"all": _around(each), "min": _short(each.min), "max": _short(each.max)}
        for band, each in statistics.whole.bands.items()
    ]


def _short(number: float) -> float:
    """A whole number without its point, another with four digits."""
    return int(number) if number.is_integer() else float(f"{number:.4g}")


def _around(band: BandStatistics) -> str:
    """Mean ± standard deviation, to a hundredth of the latter where it is small."""
    digits = 0 if band.std >= 10 or not band.std else 2 - math.floor(math.log10(band.std))
    return f"{band.mean:.{digits}f} ± {band.std:.{digits}f}"
