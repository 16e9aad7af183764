"""A split of the archive's own that is not whole: rows without one are dealt, and a validation split where asked for.

Flows in: a catalogue and the settings. Flows out: the catalogue with a split for each patch, and what was done, told.
What the archive holds out (validation, test) stays what it is: no row is ever dealt to a held-out split that it gives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.archives.catalogue import SPLITS, Catalogue
from pipelines.archives.split import SHARES, deal_splits
from pipelines.archives.subset import draw_subset
from pipelines.errors import SettingsError

_SHARE_OF = dict(zip(SPLITS, SHARES, strict=True))


def complete_split(catalogue: Catalogue, seed: int) -> Catalogue:
    """Deal the rows that have no split, as 70/15/15 over training and those held-out splits that the archive lacks."""
    splits = catalogue.rows["split"].to_numpy(dtype=object)
    rest = np.flatnonzero(splits == "")
    if not len(rest):
        return catalogue
    held = [split for split in SPLITS[1:] if not (splits == split).any()]
    labels = catalogue.labels[rest]
    if len(held) == 2:
        splits[rest] = deal_splits(labels, seed)
    else:
        splits[rest] = "train"
        for split in held:
            share = _SHARE_OF[split] / (_SHARE_OF[split] + _SHARE_OF["train"])
            splits[rest[_held_out(labels, share, seed)]] = split
    dealt = ", ".join(f"{split} {count}" for split in SPLITS if (count := int((splits[rest] == split).sum())))
    note = f"{len(rest)} patches have no split in the table and were dealt one at random ({dealt})"
    return catalogue.with_splits(splits).telling(note)


def deal_validation(catalogue: Catalogue, share: str, seed: int) -> Catalogue:
    """Deal a share of the training patches to validation, at random, with every class as often as it is there.

    Args:
        catalogue: with a split for each patch.
        share: `IngestSettings.validation`; empty deals none.
        seed: decides.

    Raises:
        SettingsError: no share, one that leaves a split empty, or there is a validation split already.
    """
    splits = catalogue.rows["split"].to_numpy(dtype=object)
    if not share:
        return catalogue.telling(*_lacking(splits))
    if (splits == "validation").any():
        raise SettingsError("there is a validation split already", where="validation", hint="Leave it out.")
    train = np.flatnonzero(splits == "train")
    held = train[_held_out(catalogue.labels[train], _share(share), seed)]
    if not 0 < len(held) < len(train):
        raise SettingsError(
            f"{share} of {len(train)} training patches leaves a split empty", where="validation", hint="Such as 15%."
        )
    splits[held] = "validation"
    note = f"{len(held)} of {len(train)} training patches were dealt to validation at random"
    return catalogue.with_splits(splits).telling(note, *_lacking(splits))


def _share(text: str) -> float:
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = 0.0
    if not text.strip().endswith("%") or not 0 < share < 1:
        raise SettingsError(f'"{text}" is no share', where="validation", hint="Give one such as 15%.")
    return share


def _held_out(labels: NDArray[np.uint8], share: float, seed: int) -> NDArray[np.int64]:
    """Rows to hold out: what is left when the others were drawn so that these keep every class."""
    kept = len(labels) - round(share * len(labels))
    if not 0 < kept < len(labels):
        return np.arange(0 if kept else len(labels))
    drawn = draw_subset(labels, np.zeros(len(labels), np.int64), kept, seed)
    return np.setdiff1d(np.arange(len(labels)), drawn)


def _lacking(splits: NDArray[np.object_]) -> list[str]:
    """What is to be told of splits that have no patch."""
    says = {
        "train": "there are no training patches: nothing can be trained on this, only tested",
        "validation": "there is no validation split, by which training chooses: --validation 15% deals one of training",
        "test": "there is no test split",
    }
    return [says[split] for split in SPLITS if not (splits == split).any()]
