"""Weights that somebody has trained before, for a net of the zoo: from a bundle, from a file, or from timm's hub.

    pretrained: hub                        timm's own, through the Hugging Face hub, kept in its cache
    pretrained: weights/resnet50.pth       a file of tensors: safetensors, or what `torch.save` wrote of a state dict
    pretrained: experiments/first          a bundle, or the best one of a run or a search: bands and classes are
                                           matched by name, also where its model.safetensors is named

Flows in: a fresh net and one of these. Flows out: the net with what fits, and a `LoadReport` that says what did.

No code in a file is run: a pickle that asks for anything but tensors and plain values is refused.
"""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.bundle.config import WEIGHTS, check_bundle
from models.bundle.locate import bundle_of_weights, find_bundle
from models.nets.build import ReflectanceNet, coarse_channels, plan
from models.nets.landnet import SIZES, LandNet, band_layers
from models.nets.recipe import Recipe
from models.pretrained.adapt import RGB, Inputs, LoadReport, adapt
from models.pretrained.hub import Hub
from pipelines.errors import SettingsError

HUB = "hub"
BACKBONE = "backbone."
"""What a bundle's tensors have before timm's names."""

LEAST = 0.25
"""Share of a net's tensors that must be found: those of another model share a few names and shapes by chance."""

_WRAPPERS = ("state_dict", "model", "net", "state_dict_ema", "model_ema")
_PREFIXES = ("module.", "_orig_mod.", BACKBONE)
_TYPES = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
_TYPES |= {torch.bool, torch.int8, torch.int16, torch.int32, torch.int64}
_TYPES |= {torch.uint8, torch.uint16, torch.uint32, torch.uint64}
_FLOAT8 = {each for name, each in vars(torch).items() if name.startswith("float8_")}
_FILES = "Give a .safetensors file, a .pth file of a state dict, or a bundle's folder."


@dataclass(frozen=True)
class Naming:
    """What the channels and the classes of a net are called, in its order, empty where nobody knows; and its recipe."""

    bands: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    recipe: Recipe = field(default_factory=Recipe)


def load_pretrained(
    net: ReflectanceNet,
    name: str,
    pretrained: str,
    *,
    bands: Sequence[str],
    labels: Sequence[str],
    hub: Hub | None = None,
) -> LoadReport:
    """Load weights into a net, in place.

    Args:
        name: the net's name in the zoo.
        pretrained: see the module's text.
        bands, labels: names of the net's channels and classes, in its order.

    Raises:
        SettingsError: no such weights, they are not only tensors, or none of them fits.
        BundleError: the bundle is damaged.
        ServiceError: timm's hub does not answer.
    """
    path = Path(pretrained)
    bundle = path if path.is_dir() else bundle_of_weights(path)
    if pretrained == HUB:
        repository = _repository(net.backbone, name)
        state, theirs = read_tensors((hub or Hub()).fetch(repository)), Naming(RGB)
        pretrained = repository
    elif bundle:
        state, theirs = _read_bundle(bundle, net, name)
    else:
        state, theirs = read_tensors(path), Naming(RGB)
    inputs, heads = _ends(net, theirs, bands)
    report = adapt(
        net.backbone,
        _translate(net.backbone, state, pretrained),
        source=pretrained,
        theirs=theirs.labels,
        ours=labels,
        inputs=inputs,
        heads=heads,
    )
    if report.matched < LEAST:
        raise SettingsError(
            f"{report.matched:.0%} of the tensors of {name} are in it",
            where=pretrained,
            hint="It seems to be of another model; name that one.",
        )
    return report


def whole_path(pretrained: str) -> str:
    """The same weights from whatever working directory."""
    return pretrained if pretrained in ("", HUB) else str(Path(pretrained).absolute())


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a file, without what others have put around them or before their names; float8 as float32.

    Raises:
        SettingsError: no such file, neither format, damaged, holds more than tensors and plain values, or no tensors,
            or such as are quantised, sparse, complex, or not all numbers.
    """
    where = str(path)
    if not path.is_file():
        raise SettingsError("no such file of weights", where=where, hint=_FILES)
    try:
        tensors = _by_name(_unpickle(path) if _is_pickle(path) else load_file(path), where)
    except SettingsError:
        raise
    except Exception as error:  # torch raises whatever the bytes lead it to
        raise SettingsError(f"not weights, or damaged ({type(error).__name__})", where=where, hint=_FILES) from None
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): each for name, each in tensors.items()}
    return tensors


def _by_name(found: Any, where: str) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    named = found.items() if isinstance(found, Mapping) else ()
    tensors = {str(name): _plain(str(name), each, where) for name, each in named if isinstance(each, Tensor)}
    if not tensors:
        raise SettingsError("no tensors by name in it", where=where, hint=_FILES)
    if wrong := [name for name, each in tensors.items() if not torch.isfinite(each).all()]:
        raise SettingsError(f"{wrong[0]} is not all numbers", where=where, hint="Take the weights of another epoch.")
    return tensors


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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle it cannot read it warns first
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise SettingsError(
            "it is damaged, or wants to run code when it is read",
            where=str(path),
            hint="Save a state dict alone, best as safetensors, where you trust it.",
        ) from None


def _read_bundle(folder: Path, net: ReflectanceNet, name: str) -> tuple[dict[str, Tensor], Naming]:
    folder = find_bundle(folder)
    config = check_bundle(folder)
    theirs = config.architecture_arguments or plan(config.architecture, config.image_size)
    base = theirs.timm.partition(".")[0]
    same = config.architecture == name if name in SIZES else base == net.recipe.timm.partition(".")[0]
    if not same:
        hint = "Choose its model, or another bundle."
        raise SettingsError(f"bundle is of {config.architecture}, not {name}", where=str(folder), hint=hint)
    return read_tensors(folder / WEIGHTS), Naming(tuple(config.bands), tuple(config.label_names), theirs)


def _repository(backbone: nn.Module, name: str) -> str:
    found = (getattr(backbone, "pretrained_cfg", None) or {}).get("hf_hub_id")
    if not found:
        raise SettingsError(
            f'there are no weights of "{name}" on timm\'s hub',
            where="pretrained",
            hint="Give a file of weights or a bundle, or none.",
        )
    return str(found)


def _ends(net: ReflectanceNet, source: Naming, ours: Sequence[str]) -> tuple[Inputs, tuple[str, ...]]:
    """The modules that take the bands, each with the names of those that the source's takes and of its own; and the
    names of the modules that give the classes."""
    theirs = source.bands
    if isinstance(net.backbone, LandNet):
        before = band_layers(coarse_channels(theirs, source.recipe))
        taken = {
            layer: ([theirs[channel] for channel in before.get(layer, [])], [ours[channel] for channel in channels])
            for layer, channels in band_layers(coarse_channels(ours, net.recipe)).items()
        }
        return taken, ("head.1",)
    known = getattr(net.backbone, "pretrained_cfg", None) or {}
    return dict.fromkeys(_names(known.get("first_conv")), (theirs, ours)), _names(known.get("classifier"))


def _names(found: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if found is None else (found,) if isinstance(found, str) else tuple(found)


def _translate(backbone: nn.Module, state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """Bring names of older versions up to date and positions to the net's grid, as timm does for each family.

    Raises:
        SettingsError: the tensors are not of that family.
    """
    module = sys.modules[type(backbone).__module__]
    change: Callable[..., dict[str, Tensor]] | None = getattr(
        module, "checkpoint_filter_fn", getattr(module, "_filter_fn", None)
    )
    if change is None or not module.__name__.startswith("timm."):
        return state
    try:
        try:
            return change(state, backbone)
        except TypeError:  # some take the tensors alone
            return change(state)
    except Exception as error:  # each family expects its own names
        raise SettingsError(
            f"not weights of {type(backbone).__name__} ({type(error).__name__})", where=where, hint=_FILES
        ) from None
