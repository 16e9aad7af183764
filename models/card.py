"""The model card: written from the bundle's own facts, so that it cannot say anything else.

Flows in: a config and metrics. Flows out: Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    if config.trial:
        parameters = ", ".join(f"{key} {_short(value)}" for key, value in config.trial.get("parameters", {}).items())
        lines.append(f"- Trial {config.trial.get('number')} of study {config.trial.get('study')}: {parameters}")
    for split, values in metrics.items():
        lines += ["", f"## On {split}", "", "| metric | value |", "|---|---|"]
        lines += [f"| {key} | {values[key]:.4f} |" for key in _HEADLINES]
        lines += ["", "| class | average precision | F1 | threshold | patches |", "|---|---|---|---|---|"]
        for name, row in values["per_class"].items():
            precision = "–" if row["ap"] is None else f"{row['ap']:.3f}"
            threshold = config.thresholds[name]
            lines.append(f"| {name} | {precision} | {row['f1']:.3f} | {threshold:.2f} | {row['support']} |")
    return "\n".join(lines) + "\n"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
