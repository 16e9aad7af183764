"""Command-line flags from settings, so that a setting is declared once: its type, default, bounds and description.

Flows in: a settings model and the function that acts on it. Flows out: a function whose signature Typer turns into
arguments and options; what the user typed is validated by the model, in the model's words. Settings within settings
become flags with the outer name before them: `rotation` of `augment` is `--augment-rotation`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from pipelines.settings import Settings, load_yaml

S = TypeVar("S", bound=Settings)

_PLAIN = (str, int, float, bool, Path)
_CONFIG = "config"


def flags_of(
    model: type[S], act: Callable[..., None], *, arguments: tuple[str, ...] = (), config: bool = False
) -> Callable[..., None]:
    """A command that takes the model's fields, and then the parameters that `act` has beyond its first.

    Args:
        model: its fields become options, or positional arguments if named in `arguments`.
        act: called with the validated settings and its own further keyword parameters.
        arguments: fields that are positional.
        config: `--config FILE.yaml` may give any of the fields; a flag goes before what the file says.
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
    kind = field.annotation if field.annotation in _PLAIN else list[str] if _is_list(field) else str
    flag = "-".join(path).replace("_", "-")
    if positional:
        declared: Any = typer.Argument(help=field.description, show_default=False)
    elif kind is bool:
        declared = typer.Option(f"--{flag}/--no-{flag}", help=_help(field))
    else:
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        declared = typer.Option(f"--{flag}", help=_help(field), metavar="|".join(map(str, choices)) or None)
    required = field.is_required() and (positional or not optional)
    annotation = Annotated[kind, declared] if required else Annotated[kind | None, declared]
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _config_parameter() -> inspect.Parameter:
    declared = typer.Option(f"--{_CONFIG}", help="YAML file of these settings; a flag goes before what it says")
    annotation = Annotated[Path | None, declared]
    return inspect.Parameter(_CONFIG, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _is_list(field: FieldInfo) -> bool:
    return getattr(field.annotation, "__origin__", None) is list


def _help(field: FieldInfo) -> str:
    shown = "" if field.is_required() or field.default in (None, [], "") else f" (default {field.default})"
    return f"{field.description}{shown}"
