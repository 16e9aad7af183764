"""Reads TensorBoard's event files, and sees that each record's checksums are right."""

from __future__ import annotations

from pathlib import Path

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.graph_pb2 import GraphDef
from tensorboardX.proto.node_def_pb2 import NodeDef
from tensorboardX.record_writer import masked_crc32c


def read_events(path: Path) -> list[Event]:
    """Records of a length (8 bytes), its checksum (4), an event, its checksum (4)."""
    data, place, found = path.read_bytes(), 0, []
    while place < len(data):
        length, event = data[place : place + 8], place + 12
        end = event + int.from_bytes(length, "little")
        for content, checksum in ((length, data[place + 8 : event]), (data[event:end], data[end : end + 4])):
            assert masked_crc32c(content) == int.from_bytes(checksum, "little")
        found.append(Event.FromString(data[event:end]))
        place = end + 4
    return found


def read_graph(path: Path) -> dict[str, NodeDef]:
    """Name to node of the one graph in a file."""
    version, event = read_events(path)
    assert version.file_version == "brain.Event:2"
    nodes = GraphDef.FromString(event.graph_def).node
    named = {node.name: node for node in nodes}
    assert len(named) == len(nodes), "a name is given twice"
    return named
