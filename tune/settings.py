"""What a search is told, as one YAML file. Light to import: the command line and the page read it too.

Flows in: `search.yaml`. Flows out: one frozen `SearchSettings`; everything that can be wrong with it is said here,
before Ray starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from models.nets.priors import prior_of
from models.settings import EXPLAINED, Augment, Explained, FitSettings, TrainSettings
from pipelines.errors import SettingsError
from pipelines.settings import Address, Settings
from tune.objectives import Goals
from tune.ranges import LossRanges, ModelRanges
from tune.ranges import Range as Range
from tune.ranges import Space as Space


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
        description="patches that every trial sees before another may be preferred; 0: a third of an epoch, and at "
        "least half of the validation split, which it is measured on",
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


class Finals(Settings):
    """How the winner is found among the best trials."""

    top: int = Field(default=2, ge=1, le=100, description="best trials that are fitted again over further seeds")
    seeds: int = Field(
        default=2,
        ge=1,
        le=100,
        description="seeds of each, the trial's own among them; the best mean wins; 1: the best trial wins as it is",
    )
    ensemble: int = Field(
        default=4, ge=0, le=32, description="members of an ensemble of kept bundles, at most; 0: none is built"
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
    sampler: Literal["tpe", "random", "gp", "nsga2"] = Field(
        default="tpe",
        description="what draws: tpe: trees of Parzen estimators over all parameters together; random; gp: a Gaussian "
        "process, for spaces of numbers; nsga2: evolution, for several objectives",
    )
    first: list[dict[str, Any]] = Field(
        default=[],
        description="points to try first, each parameters by name, such as {model: landnet, learning_rate: 0.002}; "
        "what a point leaves out is drawn",
    )
    priors: bool = Field(
        default=True,
        description="each model begins at rates and decays that suit its family, and some trials are drawn around "
        "them, fewer as results come in",
    )
    earlier: list[str] = Field(
        default=[],
        alias="from",
        description="earlier studies of the same folder: their best points are tried, and what they found on the same "
        "data is known from the start",
    )
    scheduler: Scheduler = Field(default=Scheduler(), description="when weak trials are stopped")
    finals: Finals = Field(default=Finals(), description="how the winner is found among the best trials")


STRONG = Augment(rotation=20, erasing=0.5, jitter=0.1, mixup=0.4)
"""What a strength of augmentation is a share of, where a search has none of its own."""

_STRENGTHS = ("rotation", "erasing", "jitter", "mixup")


class SearchSettings(FitSettings, StudySettings, Goals):
    """One search: what is varied, how long, on what, and where it is kept; and how every trial is fitted."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        """A trial with the smallest or the largest of everything is one that could be asked for by itself."""
        if (strength := self.space.augment) and not 0 <= strength.low <= strength.high <= 1:
            raise ValueError("space.augment: a strength is a share, from 0 to 1")
        for model in self.space.model:
            own = self.space.models.get(model, ModelRanges()).drop_path
            if (own or self.space.drop_path or self.drop_path is not None) and prior_of(model).drop_path is None:
                raise ValueError(f'"{model}" has no stochastic depth: give drop_path to the other models alone')
        for parameters in self._extremes():
            try:
                self.train_settings(parameters)
            except SettingsError as error:
                raise ValueError(f"space has a trial that is none: {error.what}") from None
        return self

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        """Optuna is loaded only where something is asked of it."""
        if self.first:
            from tune.space import settled

            for point in self.first:
                settled(self.space, point)
        if self.sampler == "gp":
            from tune.space import mostly_numbers

            mostly_numbers(self.space)
        if self.name in self.earlier or len({*self.earlier}) < len(self.earlier):
            raise ValueError("from: each is another study, and named once")
        if self.sampler == "nsga2":
            from tune.space import all_in_common

            if not self.costs:
                raise ValueError("sampler: nsga2 is for several objectives, and there is one")
            all_in_common(self.space, "nsga2")
        if self.objectives and self.objectives[0] != self.metric:
            raise ValueError(
                f"objectives: {self.objectives[0]} is not metric, {self.metric}, by which the best epoch of each "
                "trial is chosen: name the same in both"
            )
        return self

    @property
    def folder(self) -> Path:
        """Where this study is kept, absolute."""
        return (self.experiments / self.name).resolve()

    def train_settings(self, parameters: Mapping[str, Any]) -> TrainSettings:
        """Settings of the trial with these parameters, by the names that the study has of them.

        What its model or its loss has of its own stands after their names, as in `landnet.drop_path`. What is not
        among the parameters is the search's own.

        Raises:
            SettingsError: no trial can have them.
        """
        drawn: dict[str, Any] = {}
        loss: dict[str, Any] = {"name": parameters.get("loss", self.loss.name)}
        for name, value in parameters.items():
            owner, _, own = name.rpartition(".")
            if name == "label_smoothing" or owner == loss["name"]:
                loss[own] = value
            elif name == "augment":
                drawn[name] = self.augmented(value)
            elif name != "loss":
                drawn[own if owner == parameters.get("model") else name] = value
        found: dict[str, Any] = {name: getattr(self, name) for name in FitSettings.model_fields}
        found |= {"device": "cuda" if self.gpus else "cpu", "threads": max(1, int(self.cpus))}
        return TrainSettings.parse({**found, "loss": self.loss.model_dump() | loss, **drawn}, where="trial")

    def augmented(self, strength: float) -> Augment:
        """The search's augmentation at a strength from 0 to 1; see `Space.augment`."""
        full = self.augment if any(getattr(self.augment, name) for name in _STRENGTHS) else STRONG
        return self.augment.model_copy(update={name: strength * getattr(full, name) for name in _STRENGTHS})

    def _extremes(self) -> Iterator[dict[str, Any]]:
        """Every model with the first loss, and every loss with the first model, at both ends of everything."""
        space = self.space
        losses: list[str] = [*space.loss] or [self.loss.name]
        pairs = [*((each, losses[0]) for each in space.model), *((space.model[0], each) for each in losses)]
        for model, loss in pairs:
            varied = _given(space, _VARIED) | _given(space.models.get(model, ModelRanges()))
            of_loss = {f"{loss}.{name}": each for name, each in _given(space.losses.get(loss, LossRanges())).items()}
            for pick in (min, max):
                ends = {name: _end(each, pick) for name, each in (varied | of_loss).items()}
                yield {"model": model, "loss": loss, **ends}


_VARIED = ("learning_rate", "weight_decay", "batch_size", "dropout", "drop_path", "label_smoothing", "augment", "ema")


def _given(ranges: Settings, names: Iterable[str] = ()) -> dict[str, Range | list[Any]]:
    """What is not off of these, or of all."""
    return {name: each for name, each in ranges if each and (not names or name in names)}


def _end(allowed: Range | list[Any], pick: Callable[[Iterable[Any]], Any]) -> Any:
    return pick((allowed.low, allowed.high) if isinstance(allowed, Range) else allowed)
