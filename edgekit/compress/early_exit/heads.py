"""The classifiers of exits, in the graph's own ops: layers of a head's own, average pooling and a linear layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from edgekit.compress.early_exit.copying import copied
from edgekit.compress.early_exit.head import Head
from edgekit.compress.early_exit.trunk import new_weight, strided
from edgekit.errors import Unsupported
from edgekit.ir import Graph, Value, ops
from edgekit.ir.types import N

#: Ops that say along which axis the features of a sequence (N, ., .) stand.
_LAST = (ops.Linear, ops.Lstm, ops.Gru, ops.Rnn, ops.LayerNorm, ops.RmsNorm, ops.Attention, ops.Matmul)
_SECOND = (ops.Conv1d, ops.ConvTranspose1d, ops.MaxPool1d, ops.AvgPool1d, ops.BatchNorm, ops.GroupNorm, ops.InstanceNorm)


def prefix_for(graph: Graph) -> str:
    """What the parameters of new heads are called by: ``exits``, or another word where the network has such a module itself."""
    word = "exits"
    while any(name.split(".")[0] == word for name in graph.state):
        word = f"early_{word}"
    return word


def attach(
    graph: Graph, places: Sequence[Value], classes: int, heads: Sequence[Head], seed: int, source: Graph | None = None
) -> list[Value]:
    """Puts new heads at places of a graph; their logits. Parameters are called ``exits.0.weight`` and so on (`prefix_for`).

    Args:
        graph: gets the heads.
        places: values in it.
        classes: of the logits.
        heads: one for each place.
        seed: of their weights.
        source: the network whose layers heads copy; the graph itself by default.
    """
    generator = torch.Generator().manual_seed(seed)
    prefix = prefix_for(source or graph)
    found = []
    for number, (value, head) in enumerate(zip(places, heads, strict=True)):
        name = f"{prefix}.{number}"
        features = pooled(graph, deepened(graph, value, head, name, source or graph, generator), head, name)
        found.append(classifier(graph, features, classes, name, generator))
    return found


def pooled(graph: Graph, value: Value, head: Head, name: str) -> Value:
    """What the linear layer of a head reads, (N, features), where no convolution comes before.

    Raises:
        Unsupported: a grid on a sequence, or one finer than the feature map.
    """
    if value.type.rank == 2:
        return value
    if value.type.rank == 3:
        if head.pool != 1:
            raise Unsupported(
                f"a grid of {head.pool} x {head.pool} on '{value.name}', a sequence", where="head", hint="pool = 1: all steps"
            )
        return graph.add(ops.Mean((1 if features_last(value) else 2,), False), value, name=f"{name}.pool")
    height, width = value.tensor_shape[2:]
    if head.pool == 1:
        return graph.add(ops.Mean((2, 3), False), value, name=f"{name}.pool")
    if head.pool > min(height, width):
        raise Unsupported(
            f"a grid of {head.pool} x {head.pool} on '{value.name}' of {height} x {width}",
            where="head",
            hint=f"pool = {min(height, width)} or less",
        )
    strides = height // head.pool, width // head.pool
    windows = height - (head.pool - 1) * strides[0], width - (head.pool - 1) * strides[1]  # they overlap where pool divides not
    grid = graph.add(ops.AvgPool2d(windows, strides, (0, 0)), value, name=f"{name}.pool")
    return graph.add(ops.Reshape((N, value.tensor_shape[1] * head.pool**2)), grid, name=f"{name}.flat")


def deepened(graph: Graph, value: Value, head: Head, name: str, source: Graph, generator: torch.Generator) -> Value:
    """What a head pools: what its copies of the source's layers, its stages or its convolution make of the value."""
    value = copied(graph, value, source, head.copy, f"{name}.copy")
    return convolved(graph, strided(graph, value, head, name, generator), head, name, generator)


def convolved(graph: Graph, value: Value, head: Head, name: str, generator: torch.Generator) -> Value:
    """The head's convolution and ReLU; the value itself where it has none (or copies)."""
    if not head.channels or value.type.rank == 2:
        return value
    if value.type.rank == 3 and features_last(value):
        raise Unsupported(
            f"a convolution in the head at '{value.name}', a sequence of features", where="head", hint="channels = 0"
        )
    sizes, inner = value.tensor_shape[2:], value.tensor_shape[1]
    weight = new_weight(graph, (head.channels, inner, *[3] * len(sizes)), f"{name}.conv.weight", generator)
    bias = graph.add_state(f"{name}.conv.bias", nn.Parameter(torch.zeros(head.channels)))
    around = ((1, 1),) * len(sizes)
    strides = tuple(2 if size > 2 else 1 for size in sizes)
    op = ops.Conv2d(padding=around, stride=strides) if len(sizes) == 2 else ops.Conv1d(padding=around, stride=strides)
    return graph.add(ops.Relu(), graph.add(op, value, weight, bias, name=f"{name}.conv"), name=f"{name}.relu")


def classifier(graph: Graph, features: Value, classes: int, name: str, generator: torch.Generator) -> Value:
    """The logits (N, classes) of a linear layer with new weights in ``name.weight`` and ``name.bias``."""
    weight = new_weight(graph, (classes, features.tensor_shape[1]), f"{name}.weight", generator)
    bias = graph.add_state(f"{name}.bias", nn.Parameter(torch.zeros(classes)))
    return graph.add(ops.Linear(), features, weight, bias, name=name)


def features_last(value: Value) -> bool:
    """Whether a sequence (N, ., .) has its features along the last axis: by the nearest op before or behind it that says so."""
    seen: Value | None = value
    while seen is not None and seen.producer is not None:
        op = seen.producer.op
        if isinstance(op, _LAST):
            return True
        if isinstance(op, _SECOND):
            return False
        if isinstance(op, ops.Permute | ops.Reshape):
            break
        seen = next((v for v in seen.producer.inputs if v is not None and not v.is_constant), None)
    return _are_read_last(value)


def _are_read_last(value: Value) -> bool:
    """The same by what reads it first, through ops that keep the shape."""
    waiting, met = [value], {id(value)}
    while waiting:
        here = waiting.pop(0)
        for reader in here.users:
            if isinstance(reader.op, (*_LAST, *_SECOND)):
                return isinstance(reader.op, _LAST)
            if reader.output.type.shape == here.type.shape and id(reader.output) not in met:
                met.add(id(reader.output))
                waiting.append(reader.output)
    return False
