"""A file of weights to tensors by name: safetensors, what `torch.save` wrote, or the initialisers of an ONNX file.

Flows in: a file. Flows out: its tensors, without what others have put around them all. No code in a file is run: a
pickle that asks for anything but tensors and plain values is refused, and of an ONNX file no graph is run and no other
file opened.
"""

from __future__ import annotations

import importlib.util
import pickle
import warnings
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.errors import SettingsError

BACKBONE = "backbone."
"""What a bundle's tensors have before timm's names."""

FILES = "Give a .safetensors file, a .pth file of a state dict, an .onnx file, or a bundle's folder."

_WRAPPERS = ("state_dict", "teacher", "model", "net", "state_dict_ema", "model_ema")
_PREFIXES = ("module.", "_orig_mod.", BACKBONE)
_TYPES = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
_TYPES |= {torch.bool, torch.int8, torch.int16, torch.int32, torch.int64}
_TYPES |= {torch.uint8, torch.uint16, torch.uint32, torch.uint64}
_FLOAT8 = {each for name, each in vars(torch).items() if name.startswith("float8_")}


@dataclass(frozen=True)
class Contents:
    """What a file of weights holds.

    Args:
        tensors: by name, without what was before all names.
        written: safetensors, pickle or ONNX.
        within: the keys under which the file had them, from the outermost.
    """

    tensors: dict[str, Tensor]
    written: str
    within: tuple[str, ...] = ()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a file, without what others have put around them or before their names; float8 as float32.

    Raises:
        SettingsError: see `read_contents`.
    """
    return read_contents(path).tensors


def read_contents(path: Path) -> Contents:
    """The same, and how the file holds them.

    Raises:
        SettingsError: no such file, of no format that is read here, damaged, holds more than tensors and plain values,
            or no tensors, or such as are quantised, sparse, complex, or not all numbers; or the extra that reads ONNX
            is not installed.
    """
    where = str(path)
    if not path.is_file():
        raise SettingsError("no such file of weights", where=where, hint=FILES)
    try:
        written, found = _read(path)
        tensors, within = _by_name(found, where)
    except SettingsError:
        raise
    except Exception as error:  # torch raises whatever the bytes lead it to
        raise SettingsError(f"not weights, or damaged ({type(error).__name__})", where=where, hint=FILES) from None
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): each for name, each in tensors.items()}
    return Contents(tensors, written, within)


def _read(path: Path) -> tuple[str, Any]:
    if path.suffix.lower() == ".onnx":
        return "ONNX", _initialisers(path)
    return ("pickle", _unpickle(path)) if _is_pickle(path) else ("safetensors", load_file(path))


def _by_name(found: Any, where: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    within: tuple[str, ...] = ()
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
            within += (wrapper,)
    named = found.items() if isinstance(found, Mapping) else ()
    tensors = {str(name): _plain(str(name), each, where) for name, each in named if isinstance(each, Tensor)}
    if not tensors:
        raise SettingsError("no tensors by name in it", where=where, hint=FILES)
    if wrong := [name for name, each in tensors.items() if not torch.isfinite(each).all()]:
        raise SettingsError(f"{wrong[0]} is not all numbers", where=where, hint="Take the weights of another epoch.")
    return tensors, within


def _plain(name: str, tensor: Tensor, where: str) -> Tensor:
    """A tensor that can be computed with: torch does little with float8, and nothing with some others."""
    if tensor.dtype in _FLOAT8:
        tensor = tensor.float()
    if tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta or tensor.dtype not in _TYPES:
        hint = "Save the weights dense and real: neither sparse nor nested, neither quantised nor complex."
        raise SettingsError(f"{name} is not a plain array of numbers", where=where, hint=hint)
    return tensor


def _is_pickle(path: Path) -> bool:
    """torch writes a zip since 1.6, and wrote a bare pickle before; safetensors begins with a length."""
    with path.open("rb") as file:
        start = file.read(2)
    return start == b"PK" or start[:1] == b"\x80"


def _unpickle(path: Path) -> Any:
    """What is in a pickle: tensors and plain values, and the settings that DINO's and MAE's programs put beside them,
    an argparse.Namespace, which is a mapping of plain values and runs nothing."""
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([Namespace]):
            warnings.simplefilter("ignore")  # of a pickle it cannot read it warns first
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise SettingsError(
            "it is damaged, or wants to run code when it is read",
            where=str(path),
            hint="Save a state dict alone, best as safetensors, where you trust it.",
        ) from None


def _initialisers(path: Path) -> dict[str, Tensor]:
    """The constants of an ONNX file, which keep their names from torch unless an exporter has folded them."""
    if importlib.util.find_spec("onnx") is None:
        hint = "Install the extra landsweep[onnx]: in the checkout, pip install -c constraints.txt -e '.[onnx]'."
        raise SettingsError("onnx is not installed, which reads such files", where=str(path), hint=hint)
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path), load_external_data=False)
    kept = model.graph.initializer
    if outside := [each.name for each in kept if each.data_location == onnx.TensorProto.EXTERNAL]:
        hint = "Save it as one file: onnx.save(onnx.load(FILE), NEW)."
        raise SettingsError(f"{outside[0]} lies in another file", where=str(path), hint=hint)
    return {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in kept}
