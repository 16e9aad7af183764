"""The base of all settings: declared once, frozen, and read from YAML without YAML's traps.

Flows in: YAML text or keyword arguments. Flows out: a validated, immutable model, or one SettingsError that
names the key (and line), what is wrong with it and which keys exist.

Refused while reading: duplicate keys (the last would win in silence), aliases (a few bytes can expand to
gigabytes), tags, deep nesting, files over 1 MB. `1e-3`, which YAML calls a string, becomes a number where the
field is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from pipelines.errors import SettingsError, nearest

MAX_YAML_BYTES = 1_000_000
MAX_YAML_DEPTH = 20

_BREAKS = "\x85\u2028\u2029"
"""Breaks of lines beyond ASCII, which PyYAML writes so that it reads other text back, unless they are escaped."""


class Settings(BaseModel):
    """Frozen model that refuses unknown keys; subclasses only declare fields with descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str = "settings") -> Self:
        """Validate plain values.

        Raises:
            SettingsError: with the first wrong key, what is wrong, and the keys there are.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise _explain(error, cls, where) from None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read one YAML file.

        Raises:
            SettingsError: see `load_yaml` and `parse`.
        """
        return cls.parse(load_yaml(path), where=str(path))

    def dump_yaml(self) -> str:
        """YAML text that `load` reads back into an equal object, one comment per described field."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        for name, value in self.model_dump(mode="json").items():
            field = type(self).model_fields[name]
            key, description = field.alias or name, field.description
            inner = getattr(self, name)
            if description:
                yield f"# {description}"
            if isinstance(inner, Settings):
                yield f"{key}:"
                yield from (f"  {line}" for line in inner._lines())
            else:
                yield from _dumped({key: value}).split("\n")


def _dumped(values: dict[str, Any]) -> str:
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    if any(character in text for character in _BREAKS):
        text = yaml.safe_dump(values, sort_keys=False)
    return text.removesuffix("\n")


def load_yaml(path: Path) -> dict[str, Any]:
    """Parse one YAML mapping strictly.

    Raises:
        SettingsError: no such file, too large, not a mapping, or any construct that is refused (see above).
    """
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise SettingsError("file is over 1 MB", where=str(path), hint="Settings are a page of YAML at most.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise SettingsError(reason, where=str(path), hint="Give the path of a YAML file.") from None
    except UnicodeDecodeError:
        raise SettingsError("not UTF-8 text", where=str(path), hint="Give a YAML file.") from None
    try:
        values = yaml.load(text, Loader=_StrictLoader)  # noqa: S506  a SafeLoader that is stricter still
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise SettingsError(str(problem), where=place, hint="Mend that line.") from None
    except ValueError as error:  # such as a date that is none
        raise SettingsError(f"not valid YAML ({error})", where=str(path), hint="Put quotes around it.") from None
    if not isinstance(values, dict):
        raise SettingsError("not a mapping of settings", where=str(path), hint="Write one `key: value` a line.")
    return values


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses aliases, duplicate keys and deep nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self._refuse("aliases are not allowed")
        self.depth += 1
        if self.depth > MAX_YAML_DEPTH:
            self._refuse("nested too deeply")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse(self, problem: str) -> NoReturn:
        mark: Any = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs leave it out
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f'key "{name}" is given twice', problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def _explain(error: ValidationError, model: type[BaseModel], where: str) -> SettingsError:
    unknown = [each for each in error.errors() if each["type"] == "extra_forbidden"]
    first = (unknown or error.errors())[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        owner = _model_at(model, first["loc"][:-1])
        known = [field.alias or name for name, field in owner.model_fields.items()] if owner else []
        return SettingsError(f'unknown key "{key}"', where=where, hint=nearest(str(first["loc"][-1]), known))
    message = str(first["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    more = f" ({error.error_count() - 1} more after this one.)" if error.error_count() > 1 else ""
    got = "" if first["type"] == "missing" else f", not {_short(first['input'])}"
    return SettingsError(f"{key}: {message}{got}" if key else message, where=where, hint=more.strip())


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    current: Any = model
    for part in location:
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            return None
        current = field.annotation
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _short(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


Address = Annotated[str, BeforeValidator(str)]
"""A path, or a URL that fsspec knows. Plain text here: what lies behind it is `location`'s to know."""


_NUMBER = re.compile(r"(\d*\.?\d+(?:e-?\d+)?)\s*(%)?", re.IGNORECASE)
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(km|m)?")


def _metres(value: Any) -> Any:
    """A length as text, with its unit or in metres; whatever is no text is left to pydantic."""
    if not isinstance(value, str):
        return value
    found = _LENGTH.fullmatch(value.strip().lower())
    if not found:
        raise ValueError('write a length such as "10km" or "5000"')
    return float(found[1]) * (1000 if found[2] == "km" else 1)


Metres = Annotated[float, BeforeValidator(_metres)]
"""A length: 10km, 500 m, or a number of metres."""


def _share(value: Any) -> Any:
    """A share as text, in percent or from 0 to 1; whatever is no text is left to pydantic."""
    if not isinstance(value, str):
        return value
    found = _NUMBER.fullmatch(value.strip())
    if not found:
        raise ValueError('write a share such as "5%" or "0.05"')
    return float(found[1]) / (100 if found[2] else 1)


Share = Annotated[float, BeforeValidator(_share)]
"""A part of a whole: 5%, or 0.05."""


class SampleSettings(Settings):
    """What `landsweep data sample` writes."""

    out: Path = Field(description="folder to create; must be absent or empty")
    patches: int = Field(default=1200, ge=10, le=1_000_000, description="number of patches")
    seed: int = Field(default=0, ge=0, description="same seed, same pixels")
    workers: int = Field(default=0, ge=0, description="processes; 0 takes one per core")


class IngestSettings(Settings):
    """How an archive is packed into shards."""

    source: Address = Field(description="archive: a folder here, or a URL such as s3://bucket/archive")
    out: Address = Field(description="dataset folder to create, here or by URL")
    bands: str = Field(default="all", description="band set or comma list to pack")
    names: str = Field(default="", description="comma list: what the files' bands are called, in file order")
    classes: str = Field(default="", description="classes in their order, A|B|C, or a file with one a line")
    subset: str = Field(default="100%", description="share of the patches (10%) or their number (5000)")
    split: Literal["auto", "official", "balanced", "places"] = Field(
        default="auto",
        description="official: the archive's own; balanced: 70/15/15 at random; places: 70/15/15 by blocks of the map, "
        "so that neighbours stay together; auto: its own if it has one, else balanced",
    )
    block: Metres = Field(
        default=10_000.0, gt=0, le=2_000_000, description="of places: side of a block, such as 10km, or metres"
    )
    fold: str = Field(
        default="",
        pattern=r"^([1-9]\d?/[1-9]\d?)?$",
        description="such as 2/5: test is the second of five equal parts, validation the one after it, training the "
        "rest; none if empty",
    )
    validation: str = Field(default="", description="share of training (15%) to deal to a validation split that lacks")
    seed: int = Field(default=0, ge=0, description="of the subset, the balanced split and the order of packing")
    scale: float | None = Field(default=None, gt=0, description="of numbers whose files declare none, to the unit")
    offset: float | None = Field(default=None, description="of numbers whose files declare none, in the unit")
    nodata: float | None = Field(default=None, description="number that stands for no data where files declare none")
    unit: str = Field(default="", description="of the numbers, scaled: such as reflectance, or dB")
    max_nodata: Share = Field(
        default=0.25, ge=0, le=1, description="share without data from which on a patch is left out, such as 25%"
    )
    rows_per_part: int = Field(default=256, ge=1, le=8192, description="patches in one Parquet part")
    max_bad: Share = Field(
        default=0.01, ge=0, le=1, description="share of bad or missing patches that stops the job, such as 1%"
    )
    resume: bool = Field(default=False, description="go on with an interrupted ingest of the same source")

    @field_validator("fold")
    @classmethod
    def _is_a_fold(cls, value: str) -> str:
        number, _, folds = value.partition("/")
        if value and not (int(folds) >= 3 and int(number) <= int(folds)):
            raise ValueError("a fold is one of three or more, such as 1/5 to 5/5")
        return value

    @property
    def folds(self) -> int:
        """How many folds there are; 0 where none is asked for."""
        return int(self.fold.partition("/")[2] or 0)

    @property
    def fold_number(self) -> int:
        """Which of them is test, counted from 1; 0 where none is asked for."""
        return int(self.fold.partition("/")[0] or 0)


class DownloadSettings(Settings):
    """What `landsweep data download` fetches."""

    out: Path = Field(description="folder to fetch into; what is there of an earlier run is gone on with")
    version: Literal["v2", "v1"] = Field(default="v2", description="of BigEarthNet: v2 (63 GB) or v1 (70 GB)")
    url: str = Field(default="", description="fetch this file instead: http:// or https://")
    checksum: str = Field(default="", description="of the URL's file, as md5:… or sha256:…; verified if given")
    unpack: bool = Field(default=False, description="unpack the archive when it is there and verified")
    tries: int = Field(default=8, ge=1, le=100, description="tries in a row that bring nothing new before it ends")
    timeout: float = Field(default=60, gt=0, le=3600, description="seconds of silence after which a try ends")


class StatsSettings(Settings):
    """What `landsweep data stats` counts."""

    shards: Address = Field(description="dataset folder, here or by URL")
    out: Address = Field(
        default="", description="folder for statistics.json and figures; none are written if not given"
    )
    pixels: bool = Field(default=True, description="read the bands too; labels alone take seconds")
    threads: int = Field(default=0, ge=0, description="row groups read at a time; 0 takes one per core")
