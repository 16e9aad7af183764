"""What a search has to beat, measured before its first trial: its tables and reports begin with it. Light to import.

Flows in: a search's settings, and the data that its trials will see. Flows out: a row for a logistic regression on each
band's mean and deviation, and one for a probe of each pretrained net that the space names; kept as `floor.json` in the
study's folder, and measured again only where the dataset or the question is another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from pipelines.errors import StudyError
from pipelines.files import write_whole
from pipelines.settings import Settings
from tune.settings import SearchSettings

if TYPE_CHECKING:
    from pipelines.feeding.shared import Feed

FLOOR = "floor.json"
"""In the study's folder."""

MOST = 8192
"""Patches of a split that are used, at most: what means and deviations say is said by fewer."""

Tell = Callable[[str], None]


class FloorRow(Settings):
    """What something reaches that nobody tuned. One without values has a `note` that says why."""

    name: str = Field(description="what it is")
    bands: list[str] = Field(description="what it looks at")
    values: dict[str, float] = Field(default={}, description="split to the search's metric")
    patches: dict[str, int] = Field(default={}, description="split to how many of its patches were used")
    of: dict[str, int] = Field(default={}, description="split to how many it has")
    seconds: float = Field(default=0, description="what it took")
    note: str = Field(default="", description="why it has no values")

    def __str__(self) -> str:
        """As a line: what it reached, and on how many patches where these are not all."""
        if not self.values:
            return f"{self.name}: {self.note}"
        values = ", ".join(f"{value:.4f} on {split}" for split, value in self.values.items())
        few = [f"{count:,} of {self.of[split]:,} {split}" for split, count in self.patches.items()]
        few = few if self.patches != self.of else []
        return f"{self.name}: {values}" + (f" ({', '.join(few)} patches)" if few else "")


class _Kept(Settings):
    """What `floor.json` holds: the rows, the splits that they are of, and what was asked of which data."""

    question: str
    splits: list[str]
    rows: list[FloorRow]


def floor(
    settings: SearchSettings,
    data: Feed,
    folder: Path,
    tell: Tell = lambda _: None,
    *,
    splits: Sequence[str] = ("validation",),
    most: int = MOST,
) -> list[FloorRow]:
    """The rows, best on validation first; read from the study's folder where they stand there already.

    Args:
        settings: of the search.
        data: the training split and all of `splits`, with the bands of all trials.
        folder: of the study.
        tell: gets a line for each row that is measured.
        splits: what to score, validation among them; thresholds, where the metric needs some, are fitted there.
        most: patches of a split that are used.

    Raises:
        ShardError, BandError, ServiceError: see `Feed.get`.
        StorageError: the disk is full.
    """
    question = _question(settings, data, most)
    kept = _kept(folder)
    if kept and kept.question == question and set(splits) <= set(kept.splits):
        return kept.rows
    from tune.measure_floor import measure

    rows = []
    for row in measure(settings, data, splits, most):
        tell(f"To beat: {settings.metric} of {row}.")
        rows.append(row)
    rows.sort(key=lambda row: -row.values.get("validation", -1.0))
    write_whole(folder / FLOOR, _Kept(question=question, splits=list(splits), rows=rows).model_dump_json(indent=1))
    return rows


def read_floor(folder: Path) -> list[FloorRow]:
    """The rows that stand in a study's folder; none where nobody has measured them.

    Raises:
        StudyError: the file is damaged.
    """
    if not (folder / FLOOR).is_file():
        return []
    kept = _kept(folder)
    if kept is None:
        hint = "Remove it: `landsweep search resume` measures it again."
        raise StudyError("it is damaged", where=str(folder / FLOOR), hint=hint)
    return kept.rows


def _kept(folder: Path) -> _Kept | None:
    try:
        return _Kept.model_validate_json((folder / FLOOR).read_bytes())
    except (OSError, ValidationError):
        return None


def _question(settings: SearchSettings, data: Feed, most: int) -> str:
    """Hash of all that the rows depend on."""
    space = settings.space
    asked = {"data": data.manifest.hash, "metric": settings.metric, "beta": settings.beta, "most": most}
    asked |= {"bands": space.bands, "seed": settings.seed}
    asked |= {"model": space.model, "pretrained": space.pretrained} if any(space.pretrained) else {}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
