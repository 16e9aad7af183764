"""What the web page is told. Light to import: the command line builds its help from here.

Flows in: flags. Flows out: one frozen `UiSettings`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pipelines.settings import Settings
from serve.client import DEFAULT_URL


class UiSettings(Settings):
    """Where the page listens, and where it finds what it shows."""

    host: str = Field(default="127.0.0.1", description="address to listen on; this machine's own only")
    port: int = Field(default=7860, ge=0, le=65_535, description="port to listen on; 0 takes any free one")
    url: str = Field(default=DEFAULT_URL, description="endpoint that classifies")
    experiments: Path = Field(default=Path("experiments"), description="folder that holds a folder a study")
    examples: Path | None = Field(default=None, description="folder of GeoTIFFs to offer as examples")
