"""Command-line flags from settings, so that a setting is declared once: its type, default, bounds and description.

Flows in: a settings model and the function that acts on it. Flows out: a function whose signature Typer turns into
arguments and options; what the user typed is validated by the model, in the model's words.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic.fields import FieldInfo

from pipelines.settings import Settings

S = TypeVar("S", bound=Settings)

_PLAIN = (str, int, float, bool, Path)


def flags_of(model: type[S], act: Callable[..., None], *, arguments: tuple[str, ...] = ()) -> Callable[..., None]:
    """A command that takes the model's fields, and then the parameters that `act` has beyond its first.

    Args:
        model: its fields become options, or positional arguments if named in `arguments`.
        act: called with the validated settings and its own further keyword parameters.
        arguments: fields that are positional.
    """
    own = list(inspect.signature(act, eval_str=True).parameters.values())[1:]

    def command(**given: Any) -> None:
        values = {name: given.pop(name) for name in model.model_fields if given.get(name) not in (None, [])}
        rest = {name: value for name, value in given.items() if name not in model.model_fields}
        act(model.parse(values, where="command line"), **rest)

    parameters = [_parameter(name, field, name in arguments) for name, field in model.model_fields.items()]
    parameters += [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    parameters.sort(key=lambda each: each.default is not inspect.Parameter.empty)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect reads
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    command.__doc__ = act.__doc__
    return command


def _parameter(name: str, field: FieldInfo, positional: bool) -> inspect.Parameter:
    """Optional ones default to None here: the model fills in its default, which help shows."""
    kind = field.annotation if field.annotation in _PLAIN else list[str] if _is_list(field) else str
    if positional:
        declared: Any = typer.Argument(help=field.description, show_default=False)
    elif kind is bool:
        declared = typer.Option(f"--{name}/--no-{name}".replace("_", "-"), help=_help(field))
    else:
        declared = typer.Option(f"--{name}".replace("_", "-"), help=_help(field))
    required = field.is_required()
    annotation = Annotated[kind, declared] if required else Annotated[kind | None, declared]
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _is_list(field: FieldInfo) -> bool:
    return getattr(field.annotation, "__origin__", None) is list


def _help(field: FieldInfo) -> str:
    shown = "" if field.is_required() or field.default in (None, [], "") else f" (default {field.default})"
    return f"{field.description}{shown}"
