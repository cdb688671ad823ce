"""Copies of a graph: a flat record of it, and the graph made from such a record.

Values, nodes and users refer to each other in circles, so generic deepcopy and pickle would recurse once per node; the
record is flat.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from edgekit.formats.stream_record import StreamRecord
from edgekit.ir.graph import Graph, Node, Value
from edgekit.ir.ops.base import Op
from edgekit.ir.quant import QuantParams
from edgekit.ir.signature import Signature
from edgekit.ir.types import TensorType, Where


@dataclass
class FlatGraph:
    """A graph as lists: values by index, nodes as (op, input indices or None, output indices, where)."""

    name: str
    values: list[tuple[str, TensorType, torch.Tensor | None, QuantParams | None]]
    nodes: list[tuple[Op, tuple[int | None, ...], tuple[int, ...], tuple[Where, ...]]]
    inputs: list[int]
    outputs: list[int]
    state: dict[str, int]
    transient: set[str] = field(default_factory=set)
    signature: Signature | None = None
    history: tuple[Any, ...] = ()
    notes: list[str] = field(default_factory=list)
    stream: StreamRecord | None = None


def flatten(graph: Graph) -> FlatGraph:
    """The record of a graph; tensors are shared."""
    values = list(graph.values())
    index = {id(v): i for i, v in enumerate(values)}
    return FlatGraph(
        graph.name,
        [(v.name, v.type, v.data, v.quant) for v in values],
        [
            (
                n.op,
                tuple(None if v is None else index[id(v)] for v in n.inputs),
                tuple(index[id(v)] for v in n.outputs),
                n.where,
            )
            for n in graph.nodes
        ],
        [index[id(v)] for v in graph.inputs],
        [index[id(v)] for v in graph.outputs],
        {name: index[id(v)] for name, v in graph.state.items()},
        set(graph.transient),
        graph.signature,
        graph.history,
        list(graph.notes),
        graph.stream,
    )


def unflatten(flat: FlatGraph) -> Graph:
    """The graph of a record; tensors are shared with it."""
    graph = Graph(flat.name)
    values = [Value(*fields) for fields in flat.values]
    graph._names = {v.name for v in values}
    graph.inputs = [values[i] for i in flat.inputs]
    graph.outputs = [values[i] for i in flat.outputs]
    graph.state = {name: values[i] for name, i in flat.state.items()}
    graph.transient = set(flat.transient)
    graph.signature, graph.history, graph.notes = flat.signature, flat.history, list(flat.notes)
    graph.stream = flat.stream
    for op, inputs, outputs, where in flat.nodes:
        node = Node(op, [None if i is None else values[i] for i in inputs], [values[i] for i in outputs], where)
        for output in node.outputs:
            output.producer = node
        graph._attach(node)
        graph.nodes.append(node)
    return graph


def clone(graph: Graph, tensor: Callable[[torch.Tensor], torch.Tensor]) -> Graph:
    """A graph of its own whose constants are ``tensor(data)``."""
    flat = flatten(graph)
    flat.values = [(name, type, None if data is None else tensor(data), quant) for name, type, data, quant in flat.values]
    return unflatten(flat)


def deep_clone(graph: Graph, memo: dict[int, Any]) -> Graph:
    """``copy.deepcopy`` of a graph: tensors are copied once each, through the same memo as the module around it."""
    return clone(graph, lambda data: copy.deepcopy(data, memo))
