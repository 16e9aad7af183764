"""The model card: written from the bundle's own facts, so that it cannot say anything else.

Flows in: a config and metrics. Flows out: Markdown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from models.settings import TrainSettings

if TYPE_CHECKING:
    from models.bundle import BundleConfig

_HEADLINES = ("ap_macro", "ap_micro", "f1_macro", "f1_micro", "f2_macro", "f2_micro")


def model_card(config: BundleConfig, metrics: Mapping[str, Any]) -> str:
    """Markdown for a bundle's README.md."""
    lines = [
        f"# {config.architecture} on {', '.join(config.bands)}",
        "",
        f"Multi-label land cover of Sentinel-2 patches, {config.image_size}×{config.image_size} px at 10 m, "
        f"reflectance × {config.scale:,}; {config.num_classes} classes. Made by Landsweep.",
        "",
        f"- Dataset: `{config.dataset[:16]}` (hash of its manifest)",
        f"- Seed: {config.seed}",
    ]
    if "study" in config.trial:
        parameters = ", ".join(f"{key} {_short(value)}" for key, value in config.trial.get("parameters", {}).items())
        lines.append(f"- Trial {config.trial.get('number')} of study {config.trial.get('study')}: {parameters}")
    elif config.trial:
        changed = list(_changed(config.trial.get("parameters", {}), TrainSettings().model_dump(mode="json")))
        lines.append(f"- Settings: {', '.join(changed)}; all others by default" if changed else "- Settings: defaults")
    for split, values in metrics.items():
        lines += ["", f"## On {split}", "", "| metric | value |", "|---|---|"]
        lines += [f"| {key} | {_number(values[key], 4)} |" for key in _HEADLINES]
        lines += ["", "| class | average precision | F1 | threshold | patches |", "|---|---|---|---|---|"]
        for name, row in values["per_class"].items():
            found = f"{_number(row['ap'], 3)} | {_number(row['f1'], 3)} | {config.thresholds[name]:.2f}"
            lines.append(f"| {name} | {found} | {row['support']} |")
    return "\n".join(lines) + "\n"


def _changed(parameters: Mapping[str, Any], defaults: Mapping[str, Any], outer: str = "") -> Iterator[str]:
    """Settings that are not the defaults, in words; those within settings by their full names."""
    for key, value in parameters.items():
        default = defaults.get(key)
        if isinstance(value, dict) and isinstance(default, dict):
            yield from _changed(value, default, f"{outer}{key}.")
        elif value != default:
            yield f"{outer}{key} {_short(value)}"


def _number(value: float | None, digits: int) -> str:
    """A dash for what has no value, such as the average precision of a class that is not there."""
    return "–" if value is None else f"{value:.{digits}f}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
