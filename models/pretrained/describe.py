"""What a file of weights is, and what of it a net would take: `landsweep models weights`.

Flows in: a file, or a bundle's folder. Flows out: plain values. Nothing is trained, and the net is thrown away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from models.bundle.config import WEIGHTS, check_bundle
from models.bundle.locate import bundle_of_weights, find_bundle
from models.nets.build import create_net
from models.nets.catalog import ENSEMBLE
from models.pretrained.architectures import guess_model
from models.pretrained.load import load_pretrained
from models.pretrained.read import read_tensors
from models.pretrained.source import how_to_name, open_source
from models.settings import WeightsSettings
from pipelines.bands import parse_bands

CLASSES = ("one class", "another class")
"""Of the net that the weights are tried in: a classifier's rows are taken by name, and these are in no file."""


def describe_weights(settings: WeightsSettings) -> dict[str, Any]:
    """Say what a file is: form, publisher, net, bands, normalisation, size; and what would be loaded.

    Returns:
        Plain values; under `would_load`, if a model is named or the file tells it, `model`, the bands it is `on`, and
        each tensor by what becomes of it, as in `LoadReport`; else a `hint`.

    Raises:
        SettingsError: no such file, it is damaged or asks to run code; or there is no such model, the file is of
            another, or nobody says what its channels are and a model is named.
        BandError: bands are asked for that Sentinel-2 has not.
        BundleError: it is a bundle's, and damaged.
    """
    path = settings.file
    bundle = path if path.is_dir() else bundle_of_weights(path)
    found = _bundle(bundle) if bundle else _file(path, settings.pretrained_bands)
    several = found["seems_to_be"] == ENSEMBLE
    model = settings.model or (found["seems_to_be"] if found["bands"] and not several else "")
    if not found["bands"]:
        found["hint"] = how_to_name(path, found["form"], found["channels"])
    elif several:
        found["hint"] = "Several nets, and one cannot start from them; the bundle's card says where they come from."
    elif not model:
        found["hint"] = "Name the model with --model to see what of it would be loaded."
    return found | {"would_load": _tried(settings, model) if model else None}


def _file(path: Path, channels: str) -> dict[str, Any]:
    source = open_source(path, channels)
    return {
        "file": str(path),
        "written_as": " within ".join((source.contents.written, *reversed(source.contents.within))),
        "form": source.formed.form,
        "publisher": source.what,
        "published": source.published,
        "seems_to_be": source.model or guess_model(source.formed),
        "channels": source.formed.channels,
        "bands": list(source.bands),
        "bands_said_by": source.told,
        "normalisation": str(source.normalisation or "nobody says"),
        "classes": source.formed.classes,
        "beside_the_encoder": list(source.formed.beside),
    } | _sizes(source.contents.tensors)


def _bundle(folder: Path) -> dict[str, Any]:
    folder = find_bundle(folder)
    config = check_bundle(folder)
    first = config.bands[0]
    return {
        "file": str(folder),
        "written_as": "safetensors",
        "form": "bundle",
        "publisher": "Landsweep",
        "published": "",
        "seems_to_be": config.architecture,
        "channels": config.in_chans,
        "bands": list(config.bands),
        "bands_said_by": "its config.json",
        "normalisation": f"mean and deviation of each band, such as {first} {config.mean[first]:.6g} ± "
        f"{config.std[first]:.6g}",
        "classes": config.num_classes,
        "beside_the_encoder": [],
    } | _sizes(read_tensors(folder / WEIGHTS))


def _sizes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    kinds = Counter(str(each.dtype).removeprefix("torch.") for each in tensors.values())
    return {
        "tensors": len(tensors),
        "numbers": sum(each.numel() for each in tensors.values()),
        "types": dict(kinds.most_common()),
    }


def _tried(settings: WeightsSettings, model: str) -> dict[str, Any]:
    """Load it into a net of that name, and say what became of each tensor."""
    bands = parse_bands(settings.bands)
    count = len(bands)
    net = create_net(
        model,
        mean=[0.0] * count,
        std=[1.0] * count,
        bands=bands,
        num_classes=len(CLASSES),
        image_size=settings.size,
        seed=0,
    )
    path = str(settings.file)
    report = load_pretrained(net, model, path, bands=bands, labels=CLASSES, channels=settings.pretrained_bands)
    return {"model": model, "on": list(bands)} | report.as_dict()


def lines_of(found: dict[str, Any]) -> dict[str, Any]:
    """What `describe_weights` found, in lines for people: of tensors, how many and a few of their names."""
    lines = found | {"beside_the_encoder": _few(found["beside_the_encoder"])}
    tried = lines.pop("would_load")
    return lines | (_load_lines(tried) if tried else {})


def _load_lines(tried: dict[str, Any]) -> dict[str, Any]:
    lines: dict[str, Any] = {"would_load": f"{len(tried['loaded'])} tensors as they are, {tried['share']:.1%} of the "
                             f"numbers of {tried['model']} on {', '.join(tried['on'])}"}  # fmt: skip
    lines |= {f"{name}, adapted": how for name, how in tried["adapted"].items()}
    for why in dict.fromkeys(tried["fresh"].values()):
        names = [name for name, each in tried["fresh"].items() if each == why]
        lines |= {f"{_few(names)}, fresh": why}
    return lines | ({"not_used": _few(tried["unused"])} if tried["unused"] else {})


def _few(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
