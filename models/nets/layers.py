"""What a net of the zoo is made of: modules with output shapes, parameters and multiply-adds, without its weights.

Flows in: a model's name, bands, a patch size, a number of classes. Flows out: a `Summary` of rows in the order in
which modules run. The net is built on torch's meta device: shapes are worked out, nothing is computed or kept, so even
vgg19 takes a second.

Multiply-adds are those of convolutions, matrix products and attention, counted by `torch.utils.flop_counter` (which
counts two operations each); sums, activations, norms and pooling are not in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.nets.build import ReflectanceNet, assemble, plan
from models.nets.catalog import MODELS
from models.nets.recipe import Recipe

Operations = dict[str, dict[Any, int]]
"""Path of a module, from the net's own name on, to kind of operation to how many of it."""


@dataclass(frozen=True)
class Row:
    """One module.

    Args:
        name: its path in the backbone.
        kind: its class.
        output: shape of what it gives for one patch, without the batch.
        parameters, multiply_adds: of it and what lies in it.
        depth: 1 for those directly in the backbone.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    depth: int


@dataclass(frozen=True)
class Summary:
    """A net on bands and patches: `rows` are all its modules that run and do something, containers before what is in
    them."""

    name: str
    what: str
    recipe: Recipe
    bands: tuple[str, ...]
    size: int
    classes: int
    rows: tuple[Row, ...]
    parameters: int
    multiply_adds: int

    @property
    def padding(self) -> str:
        """What happens to a patch's edges, in words."""
        return self.recipe.describe(self.size)

    def down_to(self, depth: int) -> list[Row]:
        """Rows no deeper than `depth`."""
        return [row for row in self.rows if row.depth <= depth]

    def as_dict(self, depth: int) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "model": self.name,
            "what": self.what,
            "timm": self.recipe.timm,
            "bands": list(self.bands),
            "image_size": self.size,
            "classes": self.classes,
            "padding": self.padding,
            "built_for": self.recipe.model_dump(exclude_none=True),
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "layers": [asdict(row) for row in self.down_to(depth)],
        }


def summarise(name: str, bands: Sequence[str], size: int, classes: int) -> Summary:
    """Work out a net's summary.

    Raises:
        SettingsError: neither the zoo nor timm has such a model, or it cannot be built so.
    """
    recipe = plan(name, size)
    with torch.device("meta"):
        mean, std = [0.0] * len(bands), [1.0] * len(bands)
        net = assemble(name, recipe, mean=mean, std=std, num_classes=classes, bands=bands).eval()
        shapes, operations = _run(net, torch.empty(1, len(bands), size, size))
    rows = [_row(net.backbone, path, shape, operations) for path, shape in shapes.items()]
    rows = [row for row in rows if row.kind != "Identity"]
    return Summary(
        name=name,
        what=MODELS[name].what if name in MODELS else "by timm",
        recipe=recipe,
        bands=tuple(bands),
        size=size,
        classes=classes,
        rows=tuple(rows),
        parameters=parameter_count(net),
        multiply_adds=_multiply_adds(operations, ""),
    )


def overview(summary: Summary) -> dict[str, Any]:
    """What is said of the whole net, for reading."""
    return {
        "model": summary.name,
        "what": summary.what,
        "timm": summary.recipe.timm or "none, our own",
        "patches": f"{len(summary.bands)} bands, {summary.size} × {summary.size} px",
        "padding": summary.padding,
        "parameters": f"{summary.parameters:,}",
        "multiply-adds": f"{summary.multiply_adds:,} a patch",
    }


def layer_rows(summary: Summary, depth: int) -> list[dict[str, Any]]:
    """A row a module, for reading; what lies in another is set in."""
    return [
        {
            "layer": "  " * (row.depth - 1) + row.name,
            "kind": row.kind,
            "output": " × ".join(map(str, row.output)),
            "params": f"{row.parameters:,}",
            "multiply-adds": f"{row.multiply_adds:,}",
        }
        for row in summary.down_to(depth)
    ]


def _run(net: ReflectanceNet, images: Tensor) -> tuple[dict[str, tuple[int, ...]], Operations]:
    """Path in the backbone to output shape, of what runs, in the order in which it begins; and operations by path."""
    shapes: dict[str, tuple[int, ...]] = {}

    def begin(path: str, *_: Any) -> None:
        shapes.setdefault(path, ())

    def end(path: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple | list) else output
        shapes[path] = tuple(first.shape[1:]) if isinstance(first, Tensor) else ()

    hooks = []
    for path, module in net.backbone.named_modules():
        if path:
            hooks += [module.register_forward_pre_hook(partial(begin, path))]
            hooks += [module.register_forward_hook(partial(end, path))]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(images)
    for hook in hooks:
        hook.remove()
    return shapes, counter.get_flop_counts()


def _row(backbone: nn.Module, path: str, output: tuple[int, ...], operations: Operations) -> Row:
    module = backbone.get_submodule(path)
    return Row(
        name=path,
        kind=type(module).__name__,
        output=output,
        parameters=parameter_count(module),
        multiply_adds=_multiply_adds(operations, f".backbone.{path}"),
        depth=path.count(".") + 1,
    )


def parameter_count(module: nn.Module) -> int:
    """Numbers that a net or a part of it has learnt, whether or not it goes on to."""
    return sum(each.numel() for each in module.parameters())


def _multiply_adds(operations: Operations, path: str) -> int:
    return sum(operations.get(f"{ReflectanceNet.__name__}{path}", {}).values()) // 2
