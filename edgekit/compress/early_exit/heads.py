"""The classifiers of exits, in the graph's own ops: layers of a head's own, average pooling and a linear layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from edgekit.compress.early_exit.copying import copied
from edgekit.compress.early_exit.head import Head
from edgekit.compress.early_exit.layout import channels_first, features_axis
from edgekit.compress.early_exit.trunk import new_weight, strided
from edgekit.errors import Unsupported
from edgekit.ir import Graph, Value, ops
from edgekit.ir.types import N


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
        deep = deepened(graph, taken(graph, value, head, name), head, name, source or graph, generator)
        features = pooled(graph, deep, head, name)
        found.append(classifier(graph, features, classes, name, generator))
    return found


def taken(graph: Graph, value: Value, head: Head, name: str) -> Value:
    """What a head takes of a place: feature maps as (N, C, H, W), except where copied layers want them as they are."""
    turns = value.type.rank == 4 and not head.copy and (head.convolves or head.pool > 1)
    return channels_first(graph, value, name) if turns else value


def pooled(graph: Graph, value: Value, head: Head, name: str) -> Value:
    """What the linear layer of a head reads, (N, features), where no convolution comes before.

    Raises:
        Unsupported: a grid on a sequence, or one finer than the feature map.
    """
    if value.type.rank == 2:
        return value
    if value.type.rank == 3 and head.pool != 1:
        raise Unsupported(
            f"a grid of {head.pool} x {head.pool} on '{value.name}', a sequence", where="head", hint="pool = 1: all steps"
        )
    if head.pool == 1:
        features = features_axis(value)
        over = tuple(axis for axis in range(1, value.type.rank) if axis != features)
        return graph.add(ops.Mean(over, False), value, name=f"{name}.pool")
    value = channels_first(graph, value, name)
    height, width = value.tensor_shape[2:]
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
    if value.type.rank == 3 and features_axis(value) == 2:
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
