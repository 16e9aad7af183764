"""The source files of the house, for the tests that read them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("pipelines", "models", "tune", "serve", "ui")


def files(room: str) -> list[Path]:
    """A room's Python files, by name."""
    return sorted((ROOT / room).rglob("*.py"))
