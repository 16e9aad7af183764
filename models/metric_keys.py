"""What is measured: the one table of metric keys, their meaning, and which way is better. Light to import.

Flows in: nothing. Flows out: `METRICS`, from which `models.measure.metrics` fills its results, a search its choices of
what to maximise, and the docs their lists.

Every metric is of a whole split. `macro` is the mean over classes, each counting the same; `micro` counts each
decision (one class in one row) the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias


@dataclass(frozen=True)
class Measure:
    """A metric: what it means, whether higher is better, and whether a search may maximise it.

    A goal is better when higher, cannot be won by predicting all classes or none, and has a value wherever the split
    has labels: neither precision nor recall alone is one.
    """

    meaning: str
    higher: bool = True
    goal: bool = False


METRICS: dict[str, Measure] = {
    "ap_macro": Measure("mean over classes of average precision", goal=True),
    "ap_micro": Measure("average precision over all decisions together", goal=True),
    "f1_macro": Measure("mean over classes of F1", goal=True),
    "f1_micro": Measure("F1 over all decisions together", goal=True),
    "f2_macro": Measure("mean over classes of F2, which counts recall twice", goal=True),
    "f2_micro": Measure("F2 over all decisions together", goal=True),
    "auroc_macro": Measure("mean over classes of the area under the ROC curve", goal=True),
    "lrap": Measure("label ranking average precision: by how much a patch's own classes come first", goal=True),
    "accuracy_macro": Measure("mean over classes of the share of right decisions", goal=True),
    "accuracy_micro": Measure("share of decisions that are right", goal=True),
    "subset_accuracy": Measure("share of patches with every class right", goal=True),
    "precision_macro": Measure("mean over classes of precision"),
    "precision_micro": Measure("precision over all decisions together"),
    "recall_macro": Measure("mean over classes of recall"),
    "recall_micro": Measure("recall over all decisions together"),
    "hamming_loss": Measure("share of decisions that are wrong", higher=False),
    "one_error": Measure("share of patches whose top-ranked class is not one of their own", higher=False),
    "coverage": Measure("classes to go down the ranking until all of a patch's own are met", higher=False),
    "ranking_loss": Measure("share of pairs of an own and another class that are ranked the wrong way", higher=False),
    "ece": Measure("expected calibration error: how far probabilities are from frequencies", higher=False),
}
"""Key to what it is, the more telling ones first."""

GOALS = tuple(key for key, measure in METRICS.items() if measure.goal)
"""Keys that a search may maximise."""

if TYPE_CHECKING:
    Goal: TypeAlias = str
else:
    Goal = Literal[GOALS]  # a type checker wants the choices spelled out; pydantic takes them from the table
