"""What every exporter writes into an artifact about the source's call: where samples are stacked and how outputs are nested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.formats.io_metadata import Structure
from edgekit.ir.graph import Graph, Value
from edgekit.ir.types import Batch


@dataclass(frozen=True)
class _Slot:
    """Stands for an output while the source's structure is rebuilt around it."""

    index: int


def batch_axis(value: Value) -> int | None:
    """The axis along which samples are stacked, None for a value that belongs to no sample."""
    return next((axis for axis, dim in enumerate(value.type.shape) if isinstance(dim, Batch)), None)


def output_structure(graph: Graph, count: int | None = None) -> Structure:
    """How the source nests its outputs, with places in ``graph.outputs`` (of which the file has the first ``count``) as leaves.

    A structure that the record can't hold (an object of the user's own class, a number among the tensors) becomes a flat tuple.
    """
    count = len(graph.outputs) if count is None else count
    flat: Structure = 0 if count == 1 else tuple(range(count))
    if graph.signature is None:
        return flat
    try:
        return _structure(graph.signature.unflatten([_Slot(index) for index in range(len(graph.outputs))]))
    except TypeError:
        return flat


def _structure(node: Any) -> Structure:
    if isinstance(node, _Slot):
        return node.index
    if node is None:
        return None
    if isinstance(node, dict) and all(isinstance(key, str) for key in node):
        return {key: _structure(item) for key, item in node.items()}
    if isinstance(node, list):
        return [_structure(item) for item in node]
    if isinstance(node, tuple):
        return tuple(_structure(item) for item in node)
    raise TypeError(f"no structure for {type(node).__name__}")
