"""Patches to try: one from each served model's bundle, and those of a folder.

Flows in: the endpoint, and a folder that the operator named. Flows out: a gallery of buttons, and a file's bytes
by the key of its button. A key is only ever looked up, never made into a path.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path

from pipelines.errors import LandsweepError, NotFoundError
from serve.client import Client
from serve.schema import ModelInfo
from ui.picture import as_uri, take_picture

MAX_FILES = 24
_THUMBNAIL = 96
_SHOWN = 24

ON_CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-key]');
  if (button) trigger('click', {key: button.dataset.key});
});
"""
"""Passes the key of the clicked button on; Gradio's gallery would write files and show their paths."""


@dataclass(frozen=True)
class Example:
    """One patch to try, and the model it was made for where there is one."""

    key: str
    name: str
    tiff: bytes
    model: str | None = None


def find_examples(client: Client, models: list[ModelInfo], folder: Path | None) -> list[Example]:
    """All examples there are; a model whose bundle has none is left out.

    Raises:
        InputError, BusyError, ServiceError: see `Client.predict`.
    """
    keys = [f"model:{model.name}" for model in models] + [f"file:{name}" for name in _files(folder)]
    found = []
    for key in keys:
        with contextlib.suppress(NotFoundError):
            found.append(fetch_example(client, models, folder, key))
    return found


def fetch_example(client: Client, models: list[ModelInfo], folder: Path | None, key: str) -> Example:
    """The example with a key.

    Raises:
        NotFoundError: there is none, or it has gone.
        BusyError, ServiceError: see `Client.predict`.
    """
    kind, _, name = key.partition(":")
    if kind == "model" and name in [model.name for model in models]:
        return Example(key, f"Example of {name}", client.example(name), name)
    path = _files(folder).get(name) if kind == "file" else None
    try:
        if path:
            return Example(key, path.stem, path.read_bytes())
    except OSError:
        pass
    raise NotFoundError(f'no example "{key[:80]}"', hint="Pick one of those shown.")


def _files(folder: Path | None) -> dict[str, Path]:
    if folder is None or not folder.is_dir():
        return {}
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".tif", ".tiff") and path.is_file())
    return {path.name: path for path in paths[:MAX_FILES]}


def gallery(examples: list[Example], models: list[ModelInfo]) -> str:
    """Buttons with a small picture and a name each."""
    if not examples:
        return ""
    known = {model.name: model for model in models}
    buttons = "".join(_button(example, known.get(example.model or "", models[0])) for example in examples)
    return f'<div class="ls-gallery"><h3>Or pick an example</h3><div>{buttons}</div></div>'


def _button(example: Example, model: ModelInfo) -> str:
    image = _thumbnail(example.tiff, model.model_dump_json())
    shown = f'<img src="{image}" alt="">' if image else "<i></i>"
    name = escape(example.name)
    told = f'data-key="{escape(example.key)}" title="{name}" aria-label="{name}"'
    return f'<button type="button" {told}>{shown}<span>{_short(example.name)}</span></button>'


def _short(name: str) -> str:
    """Scene and patch names differ at their ends, so the middle goes."""
    return escape(name if len(name) <= _SHOWN else f"{name[:6]}…{name[-11:]}")


@lru_cache(maxsize=128)
def _thumbnail(tiff: bytes, model: str) -> str:
    try:
        return as_uri(take_picture(tiff, ModelInfo.model_validate_json(model)).rgb, _THUMBNAIL)
    except LandsweepError:
        return ""
