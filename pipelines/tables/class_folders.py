"""A folder a class, and no table: labels are what the folders are called.

    FOLDER/<class>/**/<patch>.tif             as EuroSAT is published
    FOLDER/<split>/<class>/**/<patch>.tif     where the folders at the top are all called after splits

Flows in: where patches lie. Flows out: a table, as if somebody had written it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from pipelines.tables.label_table import LabelTable, split_of

_SEVERAL = 2
"""Patches that a folder must hold on average: where each holds one, folders are patches and no classes."""


def table_of_folders(places: Mapping[str, str]) -> LabelTable | None:
    """A row a patch, its class that of its folder; None where folders are no classes.

    Folders that hold nothing but one other, as archives unpack to, are passed through. Patches beside the folders of
    classes have the empty list, and are not rows.

    Args:
        places: name of a patch to where it lies.
    """
    paths = {name: place.split("/")[:-1] for name, place in places.items()}
    depth = 0
    while paths and len({tuple(path[: depth + 1]) for path in paths.values()}) == 1:
        if any(len(path) <= depth for path in paths.values()):
            return None
        depth += 1
    tops = {path[depth] for path in paths.values() if len(path) > depth}
    by_split = bool(tops) and all(split_of(top) for top in tops)
    if by_split:
        depth += 1
    found = {name: path[depth] for name, path in paths.items() if len(path) > depth}
    counts = Counter(found.values())
    if len(counts) < 2 or len(found) < _SEVERAL * len(counts):
        return None
    rows = pd.DataFrame(
        {
            "file": list(found),
            "stem": list(found),
            "labels": [[name] for name in found.values()],
            "split": [split_of(paths[name][depth - 1]) or "" if by_split else "" for name in found],
            "country": "",
        }
    )
    how = "folders are called after splits, and those in them after classes" if by_split else "a folder a class"
    return LabelTable(rows, several=False, notes=(f"no labels.csv: {how}",))
