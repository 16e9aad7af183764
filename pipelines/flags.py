"""Command-line flags from settings, so that a setting is declared once: its type, default, bounds and description.

Flows in: a settings model and the function that acts on it. Flows out: a function whose signature Typer turns into
arguments and options; what the user typed is validated by the model, in the model's words. Settings within settings
become flags with the outer name before them: `rotation` of `augment` is `--augment-rotation`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from pipelines.settings import Settings, load_yaml

S = TypeVar("S", bound=Settings)

_PLAIN = (str, int, float, bool, Path)
_CONFIG = "config"
_WORDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
"""Limits of a number, as pydantic keeps them, and what they are called in help."""

_CHOICES_WIDTH = 40
"""Characters of choices that stand beside a flag; longer lists go into its description, where lines are folded."""


def flags_of(
    model: type[S], act: Callable[..., None], *, arguments: tuple[str, ...] = (), config: bool = False
) -> Callable[..., None]:
    """A command that takes the model's fields, and then the parameters that `act` has beyond its first.

    Args:
        model: its fields become options, or positional arguments if named in `arguments`.
        act: called with the validated settings and its own further keyword parameters.
        arguments: fields that are positional.
        config: `--config FILE.yaml` may give any of the fields; a flag goes before what the file says.

    Returns:
        The command. It raises SettingsError for what was typed or stands in the file, and what `act` raises.
    """
    own = list(inspect.signature(act, eval_str=True).parameters.values())[1:]
    fields = {"__".join(path): (path, field) for path, field in _fields(model)}

    def command(**given: Any) -> None:
        typed: dict[str, Any] = {}
        for name, (path, _) in fields.items():
            if (value := given.pop(name)) not in (None, []):
                _put(typed, path, value)
        file = given.pop(_CONFIG, None) if config else None
        values = typed if file is None else _over(load_yaml(file), typed)
        act(model.parse(values, where="command line" if file is None else f"{file} and command line"), **given)

    parameters = [
        _parameter(name, path, field, positional=name in arguments, optional=config)
        for name, (path, field) in fields.items()
    ]
    parameters += [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    parameters += [_config_parameter()] if config else []
    parameters.sort(key=lambda each: each.default is not inspect.Parameter.empty)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect reads
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    command.__doc__ = act.__doc__
    return command


def _fields(model: type[Settings], outer: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every field that is no model itself, by its path from the outermost model."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Settings):
            yield from _fields(kind, (*outer, name))
        else:
            yield (*outer, name), field


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings as one; where both have a value, that of `over`."""
    merged = dict(under)
    for name, value in over.items():
        inner = merged.get(name)
        merged[name] = _over(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _parameter(
    name: str, path: tuple[str, ...], field: FieldInfo, *, positional: bool, optional: bool
) -> inspect.Parameter:
    """Optional ones default to None here: the model fills in its default, which help shows."""
    kind = _kind(field)
    flag = "-".join(path).replace("_", "-")
    if positional:
        declared: Any = typer.Argument(help=field.description, show_default=False)
    elif kind is bool:
        declared = typer.Option(f"--{flag}/--no-{flag}", help=_help(field))
    else:
        choices = _choices(field)
        beside = choices if len(choices) <= _CHOICES_WIDTH else "<choice>"
        declared = typer.Option(f"--{flag}", help=_help(field), metavar=beside or None)
    required = field.is_required() and (positional or not optional)
    annotation = Annotated[kind, declared] if required else Annotated[kind | None, declared]
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _config_parameter() -> inspect.Parameter:
    declared = typer.Option(f"--{_CONFIG}", help="YAML file of these settings; a flag goes before what it says")
    annotation = Annotated[Path | None, declared]
    return inspect.Parameter(_CONFIG, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _kind(field: FieldInfo) -> Any:
    """What Typer is to make of the words typed: the field's type where it is a plain one, or that or None."""
    if any(isinstance(mark, BeforeValidator) for mark in field.metadata):  # it reads text, such as 10km
        return str
    kinds = [kind for kind in get_args(field.annotation) if kind is not NoneType] or [field.annotation]
    if get_origin(field.annotation) is list:
        return list[str]
    return kinds[0] if len(kinds) == 1 and kinds[0] in _PLAIN else str


def _choices(field: FieldInfo) -> str:
    chosen = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return "|".join(map(str, chosen))


def _help(field: FieldInfo) -> str:
    """The description, and in brackets the default and what else is taken."""
    default = "" if field.is_required() or field.default in (None, [], "") else f"default {field.default}"
    choices = _choices(field)
    listed = f"one of {choices.replace('|', ', ')}" if len(choices) > _CHOICES_WIDTH else ""
    told = "; ".join(part for part in (default, _limits(field), listed) if part)
    return f"{field.description} ({told})" if told else f"{field.description}"


def _limits(field: FieldInfo) -> str:
    """What a number may be, such as "at least 0, below 1"; empty where there are no limits."""
    found = {key: getattr(mark, key) for mark in field.metadata for key in _WORDS if hasattr(mark, key)}
    if found.keys() == {"ge", "le"}:
        return f"{found['ge']} to {found['le']}"
    return ", ".join(f"{word} {found[key]}" for key, word in _WORDS.items() if key in found)
