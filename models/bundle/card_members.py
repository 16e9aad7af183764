"""What the model card says of an ensemble: its members, what it gains over the best of them, and what that costs.

Flows in: the config of an ensemble. Flows out: lines of Markdown's text, and rows of a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.bundle.config import BundleConfig

HEADS = "member | share | architecture | bands | temperature | comes from"


def rows_of_members(config: BundleConfig) -> Iterator[Sequence[Any]]:
    """A row a member, under `HEADS`."""
    for place, each in enumerate(config.members, start=1):
        name = f"`{each.architecture}`"
        yield place, f"{each.share:.3f}", name, ", ".join(each.bands), f"{each.temperature:.4g}", _origin(each.trial)


def lines_of_members(config: BundleConfig) -> Iterator[str]:
    """How they answer together; and gain and cost, where they are on record under `trial`."""
    yield "- Together: the mean of their calibrated probabilities by share; the logit that comes out is that mean's"
    yield "- Heat maps of `landsweep explain` and `/v1/explain`: the mean of the members' by share, each of peak 1"
    yield "- Feature maps of its report: those of the member with the largest share"
    said = config.trial.get("ensemble")
    if not isinstance(said, dict):
        return
    best = said["best"] + 1
    if "candidates" in said:
        yield (
            f"- Chosen from {said['candidates']} bundles by `{said['metric']}` on {said['patches']:,} patches of "
            "validation, whichever helped most next, itself again if it did; the gain there is flattered by that"
        )
    for split, values in said["gain"].items():
        change = values["ensemble"] - values["best"]
        yield (
            f"- `{said['metric']}` on {split}: {values['ensemble']:.4f}, {change:+.4f} beside {values['best']:.4f} of "
            f"member {best}, the best by itself"
        )
    cost = said["cost"]
    yield (
        f"- Cost: {cost['parameters']:,} parameters beside member {best}'s {cost['best_parameters']:,}, and "
        f"{cost['ms']:.3g} ms a patch beside {cost['best_ms']:.3g} (batches of {cost['batch']}, {cost['device']}, "
        f"{cost['threads']} threads)"
    )


def _origin(trial: dict[str, Any]) -> str:
    if "study" not in trial:
        return "not on record"
    number = f", trial {trial['number']}" if "number" in trial else ""
    return f"{trial['study']}{number}" + (f", epoch {trial['epoch']}" if "epoch" in trial else "")
