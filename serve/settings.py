"""What an endpoint is told. Light to import: the command line builds its help from here."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from pipelines.settings import Settings


class ServeSettings(Settings):
    """One endpoint: which models, where it listens, how it batches."""

    registry: Path = Field(default=Path("registry"), description="folder that holds the registered bundles")
    models: list[str] = Field(default=[], description="models to serve, the default one first; none given means all")
    host: str = Field(default="127.0.0.1", description="address to listen on; the endpoint asks for no password")
    port: int = Field(default=8000, ge=1, le=65535, description="port to listen on")
    replicas: int = Field(default=1, ge=1, le=256, description="copies of the model")
    cpus: float = Field(default=1, gt=0, description="CPUs of a replica")
    gpus: float = Field(default=0, ge=0, description="GPUs of a replica")
    max_batch_size: int = Field(default=16, ge=1, le=1024, description="most patches in one forward pass")
    batch_wait: float = Field(default=0.01, ge=0, le=10, description="seconds to wait for a batch to fill")
    max_ongoing: int = Field(default=64, ge=1, description="requests a replica takes at once")
    max_queued: int = Field(default=512, ge=1, description="requests that may wait; more are refused with 503")
    max_megabytes: int = Field(default=16, ge=1, le=1024, description="largest upload")

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.host not in ("127.0.0.1", "localhost"):
            raise ValueError(
                "the endpoint has no authentication yet, so it listens on loopback only; "
                "put a proxy that asks for a password in front of it"
            )
        if self.max_batch_size > self.max_ongoing:
            raise ValueError("max_batch_size is more than max_ongoing, so no batch could fill")
        return self
