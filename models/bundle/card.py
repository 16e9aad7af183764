"""The model card: written from the bundle's own facts, so that it cannot say anything else.

Its sections are those of Mitchell et al., "Model cards for model reporting", 2019, as far as a bundle has facts for
them; the front matter is what Hugging Face's hub reads. What is not on record is said to be not on record.

Flows in: a config, metrics, and the number of parameters. Flows out: Markdown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from models.bundle.card_members import HEADS, lines_of_members, rows_of_members
from models.metric_keys import METRICS
from models.nets.catalog import MODELS
from models.settings import ProbeSettings, TrainSettings
from pipelines.bands import SENTINEL2
from pipelines.pixels.meaning import Line

if TYPE_CHECKING:
    from models.bundle.config import BundleConfig

FEW = 10
"""Patches of a class in a split, below which the card warns of the class's numbers there."""

WEAKEST = 3
"""Classes that the card names as the weakest of a split."""

_HEADLINES = ("ap_macro", "ap_micro", "f1_macro", "f1_micro", "f2_macro", "f2_micro")
_BY_CLASS = {"ap": "average precision", "precision": "precision", "recall": "recall", "f1": "F1", "f2": "F2"}

_USE = """\
In this folder, where Landsweep is installed (DATASET is a folder that `landsweep data ingest` packed):

```
landsweep registry add NAME .
landsweep serve
landsweep predict example.tif --model NAME
landsweep test . --data DATASET
landsweep explain . --data DATASET --out ../explained
landsweep export . --out ../model.onnx
```

```python
from pathlib import Path

import torch

from models.bundle.weights import load_bundle
from pipelines.feeding.batches import assemble
from pipelines.pixels.patch import read_stack

bundle = load_bundle(Path("."))
config = bundle.config
patch = read_stack(Path("example.tif").read_bytes(), wanted=config.bands)
pixels = {band: patch.pixels[band][None] for band in config.bands}
with torch.inference_mode():
    logits = bundle.net(assemble(pixels, config.bands, config.image_size))
    probabilities = torch.sigmoid(logits / config.temperature)[0].tolist()
found = dict(zip(config.label_names, probabilities, strict=True))
print([label for label, probability in found.items() if probability >= config.thresholds[label]])
```"""


def model_card(config: BundleConfig, metrics: Mapping[str, Any], parameters: int | None = None) -> str:
    """Markdown for a bundle's README.md.

    Args:
        config: all of it but the checksums of files.
        metrics: split to what `models.measure.metrics.score` gives.
        parameters: of the net, if somebody counted them.
    """
    sections = {
        "Model": _model(config, parameters),
        **({"Members": _members(config)} if config.members else {}),
        "Data": _data(config, metrics),
        "Training": _training(config),
        "Results": _results(config, metrics),
        "Calibration": _calibration(config, metrics),
        "Limits": _limits(config, metrics),
        "Use": [_USE],
    }
    front = yaml.safe_dump(_front_matter(config, metrics), sort_keys=False, allow_unicode=True, width=120)
    lines = ["---", front.rstrip(), "---", "", f"# {config.architecture} on {_text(', '.join(config.bands))}", ""]
    lines.append(
        f"Says which of {config.num_classes} classes are in a patch: several, one or none of them (multi-label "
        "classification). Made by Landsweep; this page is written from `config.json` and `metrics.json` beside it."
    )
    for heading, body in sections.items():
        lines += ["", f"## {heading}", "", *body]
    return "\n".join(lines) + "\n"


def _front_matter(config: BundleConfig, metrics: Mapping[str, Any]) -> dict[str, Any]:
    sentinel = ["sentinel-2"] if all(band in SENTINEL2 for band in config.bands) else []
    tags = ["landsweep", "multi-label-classification", *sentinel, config.architecture]
    results = []
    for split, values in metrics.items():
        reached = [{"type": key, "value": round(values[key], 4)} for key in _HEADLINES if values[key] is not None]
        data = {"type": "landsweep", "name": config.dataset[:16], "revision": config.dataset, "split": split}
        results.append({"task": {"type": "image-classification"}, "dataset": data, "metrics": reached})
    front: dict[str, Any] = {"library_name": "landsweep", "pipeline_tag": "image-classification", "tags": tags}
    return front | ({"model-index": [{"name": config.architecture, "results": results}]} if results else {})


def _model(config: BundleConfig, parameters: int | None) -> Iterator[str]:
    size, recipe = config.image_size, config.architecture_arguments
    known = MODELS.get(config.architecture)
    what = f"{len(config.members)} nets that answer as one" if config.members else known.what if known else ""
    yield f"- Architecture: `{config.architecture}`" + (f", {what}" if what else "")
    if recipe and recipe.timm:
        yield f"- Built by timm, as `{recipe.timm}`"
    if parameters is not None:
        yield f"- Parameters: {parameters:,}"
    yield (
        f"- In: float32 (batch, {config.in_chans}, {size}, {size}), digital numbers as the dataset has them; "
        f"{'each member takes its bands,' if config.members else 'the net itself'} subtracts each band's mean and "
        "divides by its deviation"
    )
    if recipe and not config.members:
        yield f"- Padding, within the net: {recipe.describe(size)}"
    yield f"- Out: {config.num_classes} logits, in this order: {'; '.join(map(_text, config.label_names))}"
    yield ""
    yield from _table("channel | band | is | wavelength (nm) | sampled at (m) | mean | deviation", _bands(config))
    if any(band in SENTINEL2 for band in config.bands):
        yield from ("", "Wavelengths are the centres of Sentinel-2A's bands of these names, sampling distances theirs.")


def _bands(config: BundleConfig) -> Iterator[Sequence[Any]]:
    for channel, name in enumerate(config.bands):
        band = SENTINEL2.get(name)
        facts = (band.meaning, f"{band.centre:.0f}", band.gsd) if band else ("not on record", "–", "–")
        yield channel, name, *facts, f"{config.mean[name]:.1f}", f"{config.std[name]:.1f}"


def _members(config: BundleConfig) -> Iterator[str]:
    yield from _table(HEADS, rows_of_members(config))
    yield ""
    yield from lines_of_members(config)


def _data(config: BundleConfig, metrics: Mapping[str, Any]) -> Iterator[str]:
    yield f"- Dataset: `{config.dataset}` (hash of its manifest; `landsweep data check DATASET` says a folder's)"
    if metrics:
        yield f"- Scored on: {', '.join(metrics)}; how many patches of them have each class is among the results"


def _training(config: BundleConfig) -> Iterator[str]:
    trial = config.trial
    if not trial:
        yield "How it was trained is not on record."
    elif "study" in trial:
        number = f", number {trial['number']}" if "number" in trial else ""
        yield f"- A trial of the search `{_text(trial['study'])}`{number}"
    if "probe" in trial:
        yield (
            "- A probe: a logistic regression a class on frozen features, standardised, that nobody trained for this "
            f"data; its penalty is {trial['probe'].get('strength', 'not on record')}, chosen on validation"
        )
    if "epoch" in trial:
        yield f"- Weights: as they were after epoch {trial['epoch']}"
    yield f"- Seed: {config.seed}"
    if config.versions:
        yield f"- Versions: {', '.join(f'{name} {version}' for name, version in config.versions.items())}"
    told = ProbeSettings if "probe" in trial else TrainSettings
    settings = list(_settings(trial.get("parameters", {}), told))
    changed = [(f"`{name}`", value, usual, what) for name, value, usual, what in settings if value != usual]
    others = [f"{name} {value}" for name, value, usual, _ in settings if value == usual]
    if changed:
        yield ""
        yield from _table("setting | value | default | what it is", changed)
    if others:
        yield from ("", f"{'All others' if changed else 'All settings'} by default: {', '.join(others)}.")


def _settings(values: Mapping[str, Any], model: Any, outer: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Full name, value, default and meaning of each setting on record, those within settings too."""
    fields = getattr(model, "model_fields", {})
    for name, value in values.items():
        field = fields.get(name)
        if isinstance(value, Mapping):
            yield from _settings(value, field and field.annotation, f"{outer}{name}.")
        elif field is None:
            yield f"{outer}{name}", _value(value), "–", "not a setting of this version"
        else:
            yield f"{outer}{name}", _value(value), _value(field.default), field.description or ""


def _results(config: BundleConfig, metrics: Mapping[str, Any]) -> Iterator[str]:
    if not metrics:
        yield "Nothing was scored."
        return
    rows = ((key, *(_number(each[key], 4) for each in metrics.values()), METRICS[key].meaning) for key in METRICS)
    yield from _table(" | ".join(["metric", *metrics, "what it is"]), rows)
    for split, values in metrics.items():
        yield from ("", f"### {split.capitalize()}, by class", "")
        by_class = (
            (name, *(_number(row[key], 3) for key in _BY_CLASS), f"{config.thresholds[name]:.3f}", row["support"])
            for name, row in values["per_class"].items()
        )
        yield from _table(" | ".join(["class", *_BY_CLASS.values(), "threshold", "patches"]), by_class)


def _calibration(config: BundleConfig, metrics: Mapping[str, Any]) -> Iterator[str]:
    plain = ", which leaves them as they are" if config.temperature == 1 else ""
    yield f"- Temperature: {config.temperature:.4g}; logits are divided by it{plain}. Probability = sigmoid of that"
    low, high = (choose(config.thresholds, key=config.thresholds.__getitem__) for choose in (min, max))
    bounds = (f"{config.thresholds[name]:.3f} ({_text(name)})" for name in (low, high))
    yield f"- Thresholds: a class is predicted from its own probability up, from {' to '.join(bounds)}"
    for split, values in metrics.items():
        yield f"- Expected calibration error on {split}: {_number(values['ece'], 4)}"
    if not metrics:
        yield ""
        yield from _table("class | threshold", ((name, f"{each:.3f}") for name, each in config.thresholds.items()))


def _meaning(config: BundleConfig) -> str:
    """What the numbers of all bands are, where it is known."""
    meant = {(each.line, each.unit) for each in config.known().values()}
    if len(meant) > 1:
        return "What their numbers mean is in `config.json`, by band."
    ((line, unit),) = meant
    of = f"{unit} is number {line.formula}" if unit or line != Line() else "their numbers have no unit"
    return f"That {of} is what the dataset says; nothing checked it."


def _limits(config: BundleConfig, metrics: Mapping[str, Any]) -> Iterator[str]:
    yield f"- It knows these {config.num_classes} classes; of anything else in a patch it says nothing."
    yield f"- It wants all of {', '.join(map(_text, config.bands))}, as they were in the patches that it learned from."
    yield (
        "- Not on record are these patches' level of processing, whether their numbers carry an offset, and where and "
        f"when they were taken. {_meaning(config)}"
    )
    recipe, size = config.architecture_arguments, config.image_size
    other = "takes no other size" if recipe and recipe.image_size else "was not scored on others"
    yield f"- It learned from patches of {size} × {size} px, and {other}."
    if config.trial and "validation" in metrics:
        yield "- Thresholds were fitted on validation, so the numbers there flatter it."
    if "test" not in metrics:
        yield "- It was not scored on a test split."
    for split, values in metrics.items():
        rows = values["per_class"]
        few = [name for name, row in rows.items() if row["support"] < FEW]
        if few:
            yield f"- Fewer than {FEW} patches on {split}, so numbers there say little: {', '.join(map(_text, few))}."
        scored = sorted((row["ap"], name) for name, row in rows.items() if row["ap"] is not None)
        worst = ", ".join(f"{_text(name)} ({value:.3f})" for value, name in scored[:WEAKEST])
        if len(scored) > WEAKEST:
            yield f"- Lowest average precision on {split}: {worst}."
    yield "- A licence of the weights or of the data is not on record."


def _table(heads: str, rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Lines of a Markdown table; heads are parted by bars."""
    names = heads.split(" | ")
    yield f"| {' | '.join(map(_text, names))} |"
    yield "|" + "---|" * len(names)
    for row in rows:
        yield f"| {' | '.join(map(_text, row))} |"


def _text(value: Any) -> str:
    """As one cell of a table: names come from datasets, and may hold anything."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def _number(value: float | None, digits: int) -> str:
    """A dash for what has no value, such as the average precision of a class that is not there."""
    return "–" if value is None else f"{value:.{digits}f}"


def _value(value: Any) -> str:
    if value is None or value == "":
        return "none" if value == "" else "not given"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
