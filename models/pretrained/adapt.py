"""Weights of one net into another with other bands and other classes, matched by name.

Flows in: a fresh backbone, tensors by name, and what their channels and classes are called. Flows out: the backbone
with what fits loaded into it, and a `LoadReport` that names every tensor: loaded, adapted, left fresh, not used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.spellings import canonical_names

CORRELATION = 0.5
"""Correlation between two bands that `spread` reckons with. Measured, as the mean over all pairs of twelve: 0.45 on 21
patches of BigEarthNet v2, 0.67 on 62 of v1, 0.49 on 200 of EuroSAT. On the latter two, sets of 4, 6 and 12 bands then
keep 0.76 to 1.04 of the response's variance; 1.0 to 4.4 with 0 (as if independent), 0.5 to 0.8 with 1 (as if the same).
"""

Inputs = Mapping[str, tuple[Sequence[str], Sequence[str]]]
"""Name of each module that takes bands, to the names of those that the source's takes, and of those that it takes."""

_UNNAMED = "nobody says"


class UnnamedError(Exception):
    """A kernel has channels, as many as its argument, and nobody says which bands they are."""


@dataclass
class LoadReport:
    """Where each tensor of a net came from.

    Args:
        source: what was loaded.
        loaded: names of tensors taken as they are.
        adapted: name to what was done to it.
        fresh: name to why it keeps its fresh values.
        unused: tensors of the source that the net has no place for.
        share: of the net's numbers, how many were loaded or adapted, from 0 to 1.
        notes: what else is to be known: what the source is, who says what its channels are, what was normalised how.
    """

    source: str
    loaded: list[str] = field(default_factory=list)
    adapted: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    share: float = 0.0
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return vars(self).copy()

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors of {self.source} loaded ({self.share:.1%} of the net's numbers)"]
        parts += [f"{name} adapted: {how}" for name, how in self.adapted.items()]
        names = {why: [name for name, each in self.fresh.items() if each == why] for why in self.fresh.values()}
        parts += [f"{_few(fresh)} fresh: {why}" for why, fresh in names.items()]
        parts += [f"{_few(self.unused)} of it not used"] if self.unused else []
        return "; ".join(parts + self.notes)

    @property
    def matched(self) -> float:
        """Share of the net's tensors that were loaded or adapted, from 0 to 1; those at its ends are not counted."""
        inside = len(self.loaded) + len(self.adapted)
        return inside / max(1, inside + len([why for why in self.fresh.values() if not why.startswith(_UNNAMED)]))


def adapt(
    backbone: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: str,
    theirs: Sequence[str],
    ours: Sequence[str],
    inputs: Inputs,
    heads: Sequence[str],
    exact: bool = False,
) -> LoadReport:
    """Load what fits of `state` into a backbone, in place.

    Args:
        source: what to call the state in the report.
        theirs, ours: names of the classes of the state and of the backbone; empty where nobody knows.
        inputs: what takes the bands.
        heads: names of the modules that give the classes.
        exact: see `spread`.

    Raises:
        UnnamedError: a kernel that takes bands has another number of channels than are named.
    """
    report = LoadReport(source)
    own = backbone.state_dict()
    numbers = 0
    with torch.no_grad():
        for name, tensor in own.items():
            module = name.rpartition(".")[0]
            given = state.get(name)
            if given is None:
                why = "the source has none" if not name.endswith("num_batches_tracked") else ""
                report.fresh |= {name: why} if why else {}
                continue
            if module in inputs and name.endswith(".weight"):
                done = _input(report, name, tensor, given, *inputs[module], exact)
            elif module in heads:
                done = _head(report, name, tensor, given, theirs, ours)
            else:
                done = _same(report, name, tensor, given)
            numbers += tensor.numel() if done else 0
    report.unused = [name for name in state if name not in own]
    report.share = numbers / sum(tensor.numel() for tensor in own.values())
    return report


def _same(report: LoadReport, name: str, tensor: Tensor, given: Tensor) -> bool:
    if tensor.shape != given.shape:
        report.fresh[name] = f"the source's is {_shape(given)}, not {_shape(tensor)}"
        return False
    tensor.copy_(given)
    report.loaded.append(name)
    return True


def _input(
    report: LoadReport,
    name: str,
    tensor: Tensor,
    given: Tensor,
    theirs: Sequence[str],
    ours: Sequence[str],
    exact: bool,
) -> bool:
    fits = given.ndim == tensor.ndim and given.shape[0] == tensor.shape[0] and given.shape[2:] == tensor.shape[2:]
    if not fits or given.ndim < 2 or tensor.shape[1] != len(ours):
        report.fresh[name] = f"the source's is {_shape(given)}, not {_shape(tensor)}"
        return False
    if given.shape[1] != len(theirs):
        raise UnnamedError(given.shape[1])
    tensor.copy_(spread(given.to(tensor), theirs, ours, exact=exact))  # integers have no mean
    if tuple(theirs) == tuple(ours):
        report.loaded.append(name)
        return True
    sources, targets = named(theirs), named(ours)
    kept = [band for band, meant in zip(ours, targets, strict=True) if meant in sources]
    dropped = [band for band, meant in zip(theirs, sources, strict=True) if meant not in targets]
    how = [f"{', '.join(kept) or 'no band'} by name"]
    more = len(ours) - len(kept)
    how += [f"{more} more from the mean of {', '.join(theirs)}"] if more or not dropped else []
    how += [f"{', '.join(dropped)} dropped, which the net has not"] if dropped and kept else []
    report.adapted[name] = ", ".join(how)
    return True


def _head(
    report: LoadReport, name: str, tensor: Tensor, given: Tensor, theirs: Sequence[str], ours: Sequence[str]
) -> bool:
    if given.shape[1:] != tensor.shape[1:]:
        report.fresh[name] = f"the source's is {_shape(given)}, not {_shape(tensor)}"
        return False
    if len(given) != len(theirs) or len(tensor) != len(ours):
        report.fresh[name] = f"{_UNNAMED} which classes the source's {len(given)} are"
        return False
    both = [label for label in ours if label in theirs]
    if not both:
        report.fresh[name] = "the source has none of these classes"
        return False
    tensor[[ours.index(label) for label in both]] = given[[theirs.index(label) for label in both]].to(tensor)
    if tuple(theirs) == tuple(ours):
        report.loaded.append(name)
    else:
        report.adapted[name] = f"{len(both)} of {len(ours)} classes by name, the others fresh"
    return True


def spread(kernel: Tensor, theirs: Sequence[str], ours: Sequence[str], *, exact: bool = False) -> Tensor:
    """A kernel for other bands: a band's own where it has one, else the mean of all; then scaled as a whole.

    The scale keeps the variance of the response, summed over filters, for standardised bands of which any two are
    correlated by ρ = `CORRELATION`. With W_c for the kernel of channel c, that is (1 − ρ) Σ|W_c|² + ρ |Σ W_c|².
    Same bands in another order: the same kernel in that order, and nothing is scaled.

    Args:
        kernel: (filters, len(theirs), h, w).
        theirs, ours: names of the bands, by any spelling.
        exact: where none of ours is new, nothing is scaled either: bands are normalised as they were for the kernel.

    Returns:
        (filters, len(ours), h, w), of the same type.
    """
    sources, targets = named(theirs), named(ours)
    mean = kernel.mean(1)
    channels = [kernel[:, sources.index(band)] if band in sources else mean for band in targets]
    found = torch.stack(channels, 1)
    if set(sources) == set(targets) or (exact and set(targets) <= set(sources)):
        return found
    return found * math.sqrt(_variance(kernel) / max(_variance(found), 1e-12))


def _variance(kernel: Tensor) -> float:
    wide = kernel.double()
    return float((1 - CORRELATION) * wide.square().sum() + CORRELATION * wide.sum(1).square().sum())


def named(bands: Sequence[str]) -> tuple[str, ...]:
    """Bands by Sentinel-2's names; what is none of its bands keeps its own."""
    return canonical_names(bands)


def _few(names: Sequence[str], most: int = 3) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "one number"
