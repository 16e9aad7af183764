"""What a search has to beat, as it is kept: its tables and reports begin with it. Light to import.

Flows in: `floor.json` in a study's folder, which `measure_floor` wrote. Flows out: a row for each thing to beat.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from pipelines.errors import StudyError
from pipelines.settings import Settings

FLOOR = "floor.json"
"""In the study's folder."""


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


class Kept(Settings):
    """What `floor.json` holds: the rows, the splits that they are of, and what was asked of which data."""

    question: str
    splits: list[str]
    rows: list[FloorRow]


def read_floor(folder: Path) -> list[FloorRow]:
    """The rows that stand in a study's folder; none where nobody has measured them.

    Raises:
        StudyError: the file is damaged.
    """
    if not (folder / FLOOR).is_file():
        return []
    kept = kept_floor(folder)
    if kept is None:
        hint = "Remove it: `landsweep search resume` measures it again."
        raise StudyError("it is damaged", where=str(folder / FLOOR), hint=hint)
    return kept.rows


def kept_floor(folder: Path) -> Kept | None:
    """What the file holds; None where it is not there, or damaged."""
    try:
        return Kept.model_validate_json((folder / FLOOR).read_bytes())
    except (OSError, ValidationError):
        return None
