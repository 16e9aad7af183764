"""A net's graph for TensorBoard: what is called in which module, on what, and the shapes that come of it.

    out/
      tensorboard_graphs/events.out.tfevents.net    `tensorboard --logdir out/tensorboard_graphs`, page Graphs

Flows in: a net and a patch size. Flows out: an event file; the same net gives the same bytes.

The net is run once, on one patch of zeros, and each call of torch that gives a tensor is a node. (The writers of torch
and tensorboardX need the package of TensorBoard itself, and a net that `torch.jit` can trace.)
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from tensorboardX.proto.attr_value_pb2 import AttrValue
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.graph_pb2 import GraphDef
from tensorboardX.proto.node_def_pb2 import NodeDef
from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboardX.proto.versions_pb2 import VersionDef
from tensorboardX.record_writer import masked_crc32c
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from models.nets.build import ReflectanceNet

FILE = "tensorboard_graphs/events.out.tfevents.net"
INPUT, OUTPUT = "patches", "logits"

_CONSTANT = "Const"  # drawn small, beside what takes it
_VERSION = "brain.Event:2"  # of the format; begins every event file
_PRODUCER = 22  # version of the graph's format, as torch's own writer says it


def graph_file(net: ReflectanceNet, size: int) -> bytes:
    """The event file of a net on patches of `size` px; the net's mode stays as it was.

    Raises:
        SettingsError: the net is built for patches of another size.
    """
    graph = GraphDef(node=nodes_of(net, size), versions=VersionDef(producer=_PRODUCER))
    events = (Event(file_version=_VERSION), Event(graph_def=graph.SerializeToString(deterministic=True)))
    return b"".join(_record(event.SerializeToString(deterministic=True)) for event in events)


def nodes_of(net: ReflectanceNet, size: int) -> list[NodeDef]:
    """The nodes in the order in which they run, between `patches` and `logits`.

    A node's name is its module's path with the class of each module, such as
    `ReflectanceNet/LandNet[backbone]/Sequential[head]/linear`.

    Raises:
        SettingsError: the net is built for patches of another size.
    """
    patches = torch.zeros(1, net.mean.shape[1], size, size, device=net.mean.device)
    calls = _Calls(net)
    calls.add(INPUT, "Placeholder", [], [patches])
    training = net.training
    try:
        with torch.inference_mode(), calls.in_modules(), calls:
            logits = net.eval()(patches)
    finally:
        net.train(training)
    calls.add(OUTPUT, "Identity", [logits], [])
    return calls.nodes


class _Calls(TorchFunctionMode):
    """Writes down what torch is asked for while it is entered.

    Tensors are known by identity. All are held until the end, so that none takes the place of another.
    """

    def __init__(self, net: ReflectanceNet) -> None:
        super().__init__()
        self.nodes: list[NodeDef] = []
        self._net = net
        self._scopes = [""]
        self._names: Counter[str] = Counter()
        self._outputs: dict[int, str] = {}
        self._held: list[Tensor] = []
        modules = dict(net.named_modules())
        self._paths = {name: _path(name, modules) for name in modules}
        weights = [*net.named_parameters(), *net.named_buffers()]
        self._weights = {id(tensor): name for name, tensor in weights}

    def __torch_function__(
        self, call: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        found = call(*args, **kwargs)
        outputs = list(_tensors([found]))
        name = (resolve_name(call) or call.__name__).removesuffix(".__get__").rpartition(".")[2].strip("_")
        if name == "setitem":
            outputs = [args[0]]  # written into, and returns nothing
        if outputs:
            self.add(f"{self._scopes[-1]}{name}", name, list(_tensors([args, list(kwargs.values())])), outputs)
        return found

    def add(self, name: str, kind: str, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """One node. What it gives is its own from here on, also where it was written in place."""
        sources = [self._source(tensor) for tensor in inputs]
        number = self._names[name]
        self._names[name] += 1
        name = f"{name}_{number}" if number else name
        self.nodes.append(NodeDef(name=name, op=kind, input=sources, attr=_shapes(outputs)))
        for place, tensor in enumerate(outputs):
            self._outputs[id(tensor)] = f"{name}:{place}" if place else name
        self._held += outputs

    def _source(self, tensor: Tensor) -> str:
        """Name of what gives a tensor; weights, and what was made elsewhere, become nodes when they are first used."""
        if id(tensor) not in self._outputs:
            module, _, name = self._weights.get(id(tensor), "").rpartition(".")
            scope = f"{self._paths[module]}/" if name else self._scopes[-1]
            self.add(f"{scope}{name or 'constant'}", _CONSTANT, [], [tensor])
        return self._outputs[id(tensor)]

    @contextmanager
    def in_modules(self) -> Iterator[None]:
        """Know in which module a call is made, for the length of a block."""
        hooks = []
        for name, module in self._net.named_modules():
            hooks += [module.register_forward_pre_hook(partial(self._enter, self._paths[name]))]
            hooks += [module.register_forward_hook(self._leave, always_call=True)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, path: str, *_: Any) -> None:
        self._scopes.append(f"{path}/")

    def _leave(self, *_: Any) -> None:
        self._scopes.pop()


def _path(name: str, modules: Mapping[str, Any]) -> str:
    """`layer1.0` of a ResNet as `ReflectanceNet/ResNet[backbone]/Sequential[layer1]/BasicBlock[0]`."""
    parts = name.split(".") if name else []
    steps = [".".join(parts[: end + 1]) for end in range(len(parts))]
    inner = [f"{type(modules[step]).__name__}[{part}]" for step, part in zip(steps, parts, strict=True)]
    return "/".join([type(modules[""]).__name__, *inner])


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _shapes(tensors: Sequence[Tensor]) -> dict[str, AttrValue]:
    """What TensorBoard reads the sizes on its edges from."""
    found = [TensorShapeProto(dim=[TensorShapeProto.Dim(size=count) for count in tensor.shape]) for tensor in tensors]
    return {"_output_shapes": AttrValue(list=AttrValue.ListValue(shape=found))} if found else {}


def _record(data: bytes) -> bytes:
    """Length, its checksum, the bytes, their checksum: as event files are written."""
    size = struct.pack("<Q", len(data))
    return size + struct.pack("<I", masked_crc32c(size)) + data + struct.pack("<I", masked_crc32c(data))
