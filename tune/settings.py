"""What a search is told, as one YAML file. Light to import: the command line and the page read it too.

Flows in: `search.yaml`. Flows out: one frozen `SearchSettings`; everything that can be wrong with it is said here,
before Ray starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from models.settings import EXPLAINED, Explained, FitSettings, LossName, TrainSettings
from pipelines.errors import SettingsError
from pipelines.settings import Address, Settings


class Range(Settings):
    """Real numbers from `low` to `high`, drawn evenly, or evenly over their logarithm."""

    low: float = Field(description="smallest")
    high: float = Field(description="largest")
    log: bool = Field(default=False, description="drawn evenly over the logarithm")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range cannot start at {self.low:g}")
        return self


class Space(Settings):
    """What is varied between trials."""

    model: list[str] = Field(default=["landnet", "resnet18"], min_length=1, description="models to try")
    bands: list[str] = Field(default=["all", "rgb-nir-swir"], min_length=1, description="band sets to try")
    learning_rate: Range = Field(default=Range(low=5e-4, high=8e-3, log=True), description="peak learning rate")
    weight_decay: Range = Field(default=Range(low=1e-3, high=0.2, log=True), description="decoupled weight decay")
    batch_size: list[int] = Field(default=[16, 32, 64], min_length=1, description="batch sizes to try")
    loss: list[LossName] = Field(
        default=[], description="names of losses to try, with the search's own parameters; none: the search's own alone"
    )
    pretrained: list[str] = Field(
        default=[""], min_length=1, description='weights to start from, for every model: hub, files, bundles; "": none'
    )

    @field_validator("model", "bands", "batch_size", "loss", "pretrained")
    @classmethod
    def _distinct(cls, choices: list[Any]) -> list[Any]:
        if len(set(choices)) != len(choices):
            raise ValueError("a choice is given twice")
        return choices

    @field_validator("batch_size")
    @classmethod
    def _positive(cls, choices: list[int]) -> list[int]:
        if min(choices) < 1:
            raise ValueError("a batch has at least one patch")
        return choices

    @property
    def choices(self) -> dict[str, list[Any]]:
        """What is drawn from a list, by its name in `TrainSettings`; what nobody asked to vary is not drawn."""
        drawn: dict[str, list[Any]] = {"model": self.model, "bands": self.bands, "batch_size": self.batch_size}
        drawn |= {"loss": self.loss} if self.loss else {}
        return drawn | ({"pretrained": self.pretrained} if self.pretrained != [""] else {})


class Scheduler(Settings):
    """Which trials go on, and how far."""

    name: Literal["promote", "asha", "hyperband", "median", "fifo"] = Field(
        default="promote",
        description="promote: trials pause at rungs and the best go on; asha, hyperband (asynchronous), median: Ray's, "
        "which stop trials for good; fifo: all run to the end",
    )
    grace: int = Field(
        default=0,
        ge=0,
        description="patches that every trial sees before another may be preferred; 0: one in 27 of a whole trial's, "
        "at most an epoch, at least half of the validation split",
    )
    reduction: int = Field(default=3, ge=2, le=100, description="of a rung's cost, its best one in so many goes on")
    finalists: int = Field(
        default=3, ge=1, le=1000, description="of promote: trials that run to the end whatever the rungs say"
    )
    early_end: bool = Field(
        default=True,
        description="of promote: no rung is climbed beyond two whose order agrees within noise; the finalists go on",
    )
    paused: int = Field(
        default=64, ge=1, description="of promote: paused trials kept on the disk; the worst beyond it are pruned"
    )


class StudySettings(Settings):
    """How many trials a search has, of what, and where it is kept."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="name of the study and its folder")
    data: Address = Field(description="dataset folder, or its URL")
    feed: Literal["auto", "shared", "streamed"] = Field(
        default="auto",
        description="shared: read once into the object store; streamed: read by each trial; auto: shared if it fits",
    )
    experiments: Path = Field(default=Path("experiments"), description="folder that holds a folder a study")
    storage: str = Field(default="", description="Optuna storage URL; empty keeps study.db in the study's folder")
    trials: int = Field(default=12, ge=1, le=100_000, description="number of trials")
    concurrent: int = Field(default=0, ge=0, description="trials at once; 0 takes as many as there are resources for")
    time_budget: float = Field(
        default=0,
        ge=0,
        description="seconds after which trials are stopped where they are; after two thirds of it no new ones begin, "
        "and the finalists go on; 0 for no limit",
    )
    patches: int = Field(
        default=0,
        ge=0,
        description="patches that all trials together may see, what the finalists need among them; 0 for no limit",
    )
    checkpoint_seconds: float = Field(
        default=30, ge=0, description="seconds between two checkpoints of a trial, at least, but for those at rungs"
    )
    keep: int = Field(default=10, ge=1, description="trials whose best bundles are kept; others' are removed")
    cpus: float = Field(default=1, gt=0, description="CPUs of a trial")
    gpus: float = Field(default=0, ge=0, description="GPUs of a trial; a share lets several use one")
    explain: Explained = EXPLAINED
    space: Space = Field(default=Space(), description="what is varied")
    scheduler: Scheduler = Field(default=Scheduler(), description="when weak trials are stopped")


class SearchSettings(FitSettings, StudySettings):
    """One search: what is varied, how long, on what, and where it is kept; and how every trial is fitted."""

    @model_validator(mode="after")
    def _every_trial_fits(self) -> Self:
        """A trial with the smallest or the largest of everything is one that could be asked for by itself."""
        space = self.space
        for end, pick in (("low", min), ("high", max)):
            rates = {name: getattr(getattr(space, name), end) for name in ("learning_rate", "weight_decay")}
            try:
                self.train_settings({"model": space.model[0], "batch_size": pick(space.batch_size)} | rates)
            except SettingsError as error:
                raise ValueError(f"space has a trial that is none: {error.what}") from None
        return self

    @property
    def folder(self) -> Path:
        """Where this study is kept, absolute."""
        return (self.experiments / self.name).resolve()

    def train_settings(self, parameters: dict[str, Any]) -> TrainSettings:
        """Settings of the trial with these parameters; of a loss that is drawn, the name.

        Raises:
            SettingsError: no trial can have them.
        """
        fixed: dict[str, Any] = {name: getattr(self, name) for name in FitSettings.model_fields}
        fixed |= {"device": "cuda" if self.gpus else "cpu", "threads": max(1, int(self.cpus))}
        drawn = dict(parameters)
        fixed["loss"] = self.loss.model_copy(update={"name": drawn.pop("loss", self.loss.name)})
        return TrainSettings.parse({**drawn, **fixed}, where="trial")
