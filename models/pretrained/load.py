"""Weights that somebody has trained before, for a net of the zoo: from a bundle, from a file, or from timm's hub.

    pretrained: hub                        timm's own, through the Hugging Face hub, kept in its cache
    pretrained: weights/resnet50.pth       a file of tensors: safetensors, what `torch.save` wrote of a state dict, or
                                           ONNX; in any form of `models.pretrained.forms`
    pretrained: experiments/first          a bundle, or the best one of a run or a search: bands and classes are
                                           matched by name, also where its model.safetensors is named

Flows in: a fresh net and one of these. Flows out: the net with what fits, and a `LoadReport` that says what did.

No code in a file is run: a pickle that asks for anything but tensors and plain values is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from models.bundle.config import WEIGHTS, check_bundle
from models.bundle.locate import bundle_of_weights, find_bundle
from models.nets.build import ReflectanceNet, coarse_channels, plan
from models.nets.landnet import SIZES, LandNet, band_layers
from models.nets.recipe import Recipe
from models.pretrained.adapt import Inputs, LoadReport, UnnamedError, adapt, named
from models.pretrained.hub import Hub
from models.pretrained.known import RGB
from models.pretrained.normalisation import Normalisation
from models.pretrained.read import FILES, read_tensors
from models.pretrained.source import SETTING, how_to_name, open_source
from pipelines.errors import SettingsError
from pipelines.pixels.meaning import REFLECTANCE, Encoding

HUB = "hub"

LEAST = 0.25
"""Share of a net's tensors that must be found: those of another model share a few names and shapes by chance."""

Whose = Literal["dataset", "theirs"]
"""By what numbers are normalised: the dataset's means and deviations, or those that the weights were learned with."""


@dataclass(frozen=True)
class Naming:
    """What the channels and the classes of a net are called, in its order, empty where nobody knows; its recipe; how
    its numbers were normalised; its form; and what is to be said of it."""

    bands: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    recipe: Recipe = field(default_factory=Recipe)
    normalisation: Normalisation | None = None
    form: str = ""
    notes: tuple[str, ...] = ()


def load_pretrained(
    net: ReflectanceNet,
    name: str,
    pretrained: str,
    *,
    bands: Sequence[str],
    labels: Sequence[str],
    channels: str = "",
    normalisation: Whose = "dataset",
    numbers: Sequence[Encoding] | None = None,
    hub: Hub | None = None,
) -> LoadReport:
    """Load weights into a net, in place.

    Args:
        name: the net's name in the zoo.
        pretrained: see the module's text.
        bands, labels: names of the net's channels and classes, in its order.
        channels: what the channels of a file are, where it does not say: a comma list, or the name of a set.
        normalisation: theirs replaces the net's mean and deviation of the bands that they have.
        numbers: what those of the net's channels mean; reflectance × 10,000 if not given.

    Raises:
        SettingsError: no such weights, they are not only tensors, none of them fits, nobody says which bands they take,
            or how their numbers were normalised where that is asked for.
        BundleError: the bundle is damaged.
        ServiceError: timm's hub does not answer.
    """
    path = Path(pretrained)
    bundle = path if path.is_dir() else bundle_of_weights(path)
    if pretrained == HUB:
        pretrained = _repository(net.backbone, name)
        state, theirs = read_tensors((hub or Hub()).fetch(pretrained)), Naming(RGB)
    elif bundle:
        state, theirs = _read_bundle(bundle, net, name)
    else:
        state, theirs = _read_file(path, channels)
    notes = list(theirs.notes)
    if channels and (bundle or not path.is_file()):
        notes.append(f"{SETTING} not used: {'a bundle says its own' if bundle else 'the hub has nets of photographs'}")
    inputs, heads = _ends(net, theirs, bands)
    try:
        report = adapt(
            net.backbone,
            _translate(net.backbone, state, pretrained),
            source=pretrained,
            theirs=theirs.labels,
            ours=labels,
            inputs=inputs,
            heads=heads,
            exact=normalisation == "theirs",
        )
    except UnnamedError as error:
        count, hint = error.args[0], how_to_name(path, theirs.form, error.args[0])
        raise SettingsError(f"nobody says which bands its {count} channels are", where=pretrained, hint=hint) from None
    if report.matched < LEAST:
        raise SettingsError(
            f"{report.matched:.0%} of the tensors of {name} are in it",
            where=pretrained,
            hint="It seems to be of another model; name that one.",
        )
    numbers = numbers or [REFLECTANCE] * len(bands)
    report.notes = notes + _normalise(net, theirs.normalisation, bands, numbers, normalisation, pretrained)
    return report


def _normalise(
    net: ReflectanceNet,
    theirs: Normalisation | None,
    bands: Sequence[str],
    numbers: Sequence[Encoding],
    whose: Whose,
    where: str,
) -> list[str]:
    """Give the net their means and deviations, if they are asked for; returns what is to be said of it."""
    if whose == "dataset":
        return [f"numbers normalised by the dataset's statistics, theirs was {theirs}"] if theirs else []
    if theirs is None:
        raise SettingsError(
            "nobody says how its numbers were normalised",
            where=where,
            hint="Write scale, mean and std beside bands into FILE.bands.json, or leave pretrained_normalisation at "
            "dataset.",
        )
    mean, std, rest = theirs.over(named(bands), *net.statistics, numbers)
    net.normalise_by(mean, std)
    return [f"numbers normalised as theirs: {theirs}" + (f"; {', '.join(rest)} by the dataset's" if rest else "")]


def whole_path(pretrained: str) -> str:
    """The same weights from whatever working directory."""
    return pretrained if pretrained in ("", HUB) else str(Path(pretrained).absolute())


def _read_file(path: Path, channels: str) -> tuple[dict[str, Tensor], Naming]:
    source = open_source(path, channels)
    beside = source.formed.beside
    notes = [f"it is {source.what}" if source.published else "", f"its channels are said by {source.told}"]
    notes += [f"{len(beside)} tensors beside the encoder not used, such as {beside[0]}"] if beside else []
    naming = Naming(
        source.bands,
        source.labels,
        normalisation=source.normalisation,
        form=source.formed.form,
        notes=tuple(filter(None, notes)),
    )
    return source.state, naming


def _read_bundle(folder: Path, net: ReflectanceNet, name: str) -> tuple[dict[str, Tensor], Naming]:
    folder = find_bundle(folder)
    config = check_bundle(folder)
    if config.members:
        hint = "Start from the bundle of one of its members; the card says which they are."
        raise SettingsError("an ensemble is several nets, and one cannot start from it", where=str(folder), hint=hint)
    theirs = config.architecture_arguments or plan(config.architecture, config.image_size)
    base = theirs.timm.partition(".")[0]
    same = config.architecture == name if name in SIZES else base == net.recipe.timm.partition(".")[0]
    if not same:
        hint = "Choose its model, or another bundle."
        raise SettingsError(f"bundle is of {config.architecture}, not {name}", where=str(folder), hint=hint)
    normalisation = Normalisation(
        mean=dict(zip(named(config.bands), map(config.mean.__getitem__, config.bands), strict=True)),
        std=dict(zip(named(config.bands), map(config.std.__getitem__, config.bands), strict=True)),
    )
    bands, labels = tuple(config.bands), tuple(config.label_names)
    return read_tensors(folder / WEIGHTS), Naming(bands, labels, theirs, normalisation)


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
            f"not weights of {type(backbone).__name__} ({type(error).__name__})", where=where, hint=FILES
        ) from None
