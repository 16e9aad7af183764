"""The classes a dataset knows, by name: the 19 of BigEarthNet by default, any others a dataset brings.

Flows in: class names. Flows out: multi-hot vectors in one official order, and each class's colour and group.

The 19 classes and their make-up from CORINE Land Cover 2018 level-3 codes: Sumbul et al., "BigEarthNet-MM",
IEEE Geoscience and Remote Sensing Magazine 9(3), 2021, table 1. Order: alphabetical, as in the archive's own
model cards. Colours follow the CORINE legend where classes stay apart on a screen, and are shifted where not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import LabelError, nearest

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Label:
    """One class: its CORINE level-3 codes, its group (CORINE level 1) and its colour as `#rrggbb`."""

    name: str
    corine: tuple[int, ...]
    group: str
    colour: str


_FARM, _WOOD, _WET, _WATER, _BUILT = "Agriculture", "Forest and semi-natural", "Wetlands", "Water", "Artificial"

BIGEARTHNET_19: dict[str, Label] = {
    label.name: label
    for label in (
        Label("Agro-forestry areas", (244,), _FARM, "#c8a26a"),
        Label("Arable land", (211, 212, 213), _FARM, "#f2e27d"),
        Label("Beaches, dunes, sands", (331,), _WOOD, "#d9d2c0"),
        Label("Broad-leaved forest", (311,), _WOOD, "#5bb300"),
        Label("Coastal wetlands", (421, 422), _WET, "#9d9de0"),
        Label("Complex cultivation patterns", (242,), _FARM, "#e8c83a"),
        Label("Coniferous forest", (312,), _WOOD, "#006b2d"),
        Label("Industrial or commercial units", (121,), _BUILT, "#b53bc4"),
        Label("Inland waters", (511, 512), _WATER, "#39a9e6"),
        Label("Inland wetlands", (411, 412), _WET, "#7a78c8"),
        Label(
            "Land principally occupied by agriculture, with significant areas of natural vegetation",
            (243,),
            _FARM,
            "#cfb53b",
        ),
        Label("Marine waters", (521, 522, 523), _WATER, "#1c4fa0"),
        Label("Mixed forest", (313,), _WOOD, "#3f8f3a"),
        Label("Moors, heathland and sclerophyllous vegetation", (322, 323), _WOOD, "#a3b35a"),
        Label("Natural grassland and sparsely vegetated areas", (321, 333), _WOOD, "#b9d98a"),
        Label("Pastures", (231,), _FARM, "#d8e65a"),
        Label("Permanent crops", (221, 222, 223, 241), _FARM, "#e08a2e"),
        Label("Transitional woodland, shrub", (324,), _WOOD, "#88a860"),
        Label("Urban fabric", (111, 112), _BUILT, "#d7263d"),
    )
}

LABEL_NAMES: tuple[str, ...] = tuple(BIGEARTHNET_19)


def encode_labels(names: Iterable[str], known: Sequence[str] = LABEL_NAMES) -> NDArray[np.uint8]:
    """Multi-hot vector of shape (len(known),), uint8, of the given class names.

    Raises:
        LabelError: a name is not among `known`.
    """
    vector = np.zeros(len(known), dtype=np.uint8)
    index = {name: i for i, name in enumerate(known)}
    for name in names:
        if name not in index:
            raise LabelError(f'unknown class "{name}"', hint=nearest(str(name), known))
        vector[index[name]] = 1
    return vector


def encode_many(lists: pa.Array | pa.ChunkedArray, known: Sequence[str] = LABEL_NAMES) -> NDArray[np.uint8]:
    """Multi-hot matrix of shape (rows, len(known)), uint8, of an Arrow column of lists of class names.

    A row's names may come in any order and more than once; an empty list is a row of zeros.

    Raises:
        LabelError: the column does not hold lists of names, a list or a name is null, or a name is not among `known`.
    """
    import pyarrow as pa  # not at the top: most who know the classes never read a table
    import pyarrow.compute as pc

    kind = lists.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not (listed and _are_names(kind.value_type)):
        raise LabelError(f"labels are {kind}, not lists of names", hint="Store a list of class names a row.")
    if lists.null_count:
        raise LabelError(f"{lists.null_count} rows have no list of labels", hint="Label them or remove them.")
    vectors, done = np.zeros((len(lists), len(known)), dtype=np.uint8), 0
    for chunk in lists.chunks if isinstance(lists, pa.ChunkedArray) else [lists]:
        names = pc.list_flatten(chunk).cast(pa.large_string())
        places = pc.index_in(names, value_set=pa.array(known, names.type))
        if places.null_count:
            name = names.filter(places.is_null())[0].as_py()
            if name is None:
                raise LabelError("a class name is null", hint="Remove it from its row's list.")
            raise LabelError(f'unknown class "{name}"', hint=nearest(name, known))
        rows = done + pc.list_parent_indices(chunk).to_numpy(zero_copy_only=False)
        vectors[rows, places.to_numpy(zero_copy_only=False)] = 1
        done += len(chunk)
    return vectors


def _are_names(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def decode_labels(vector: NDArray[Any], known: Sequence[str] = LABEL_NAMES) -> tuple[str, ...]:
    """Class names that a multi-hot vector of shape (len(known),) marks, in the order of `known`.

    Raises:
        LabelError: the vector's length is not the number of classes.
    """
    if len(vector) != len(known):
        raise LabelError(f"{len(vector)} values for {len(known)} classes", hint="Use the vector's own label names.")
    return tuple(name for name, on in zip(known, vector, strict=True) if on)


def colour_of(name: str) -> str:
    """Colour of a class as `#rrggbb`; classes outside BigEarthNet's 19 get a steady one from their name."""
    if name in BIGEARTHNET_19:
        return BIGEARTHNET_19[name].colour
    hue = sum(name.encode()) * 47 % 360
    channels = (0.5 + 0.3 * np.cos(np.deg2rad(hue + shift)) for shift in (0, 240, 120))
    return "#" + "".join(f"{int(255 * value):02x}" for value in channels)
