"""Layers of a head's own: convolutions that halve the feature map, and depthwise separable blocks behind each."""

from __future__ import annotations

import math

import torch
from torch import nn

from edgekit.compress.early_exit.head import Head
from edgekit.errors import Unsupported
from edgekit.ir import Graph, Value, ops


def new_weight(graph: Graph, shape: tuple[int, ...], name: str, generator: torch.Generator) -> Value:
    """He's normal start for convolutions, variance 2 / fan-in; next to nothing for the last layer: no class is preferred."""
    gain = 2.0 if len(shape) > 2 else 0.01
    data = torch.randn(shape, generator=generator) * math.sqrt(gain / math.prod(shape[1:]))
    return graph.add_state(name, nn.Parameter(data))


def strided(graph: Graph, value: Value, head: Head, name: str, generator: torch.Generator) -> Value:
    """What a head's ``stages`` make of a feature map; the value itself without stages.

    A stage is a 3x3 convolution of stride 2 (of 1 along an axis of two or less), then ``blocks`` times
    relu(x + pointwise(relu(depthwise(x)))), a depthwise separable convolution (arXiv:1704.04861) with a way around it, all
    with batch norms: a ninth to an eighth of the cost of a 3x3 convolution each.

    Raises:
        Unsupported: the value is no feature map.
    """
    if not head.stages:
        return value
    if value.type.rank != 4:
        raise Unsupported(
            f"stages in the head at '{value.name}', {value.type}", where="head", hint="stages are for feature maps (N, C, H, W)"
        )
    for number, channels in enumerate(head.stages):
        stage = f"{name}.stage_{number}"
        strides = tuple(2 if size > 2 else 1 for size in value.tensor_shape[2:])
        value = _relu(graph, _normed(graph, value, channels, 3, strides, 1, f"{stage}.conv", generator))
        for block in range(head.blocks):
            value = _separable(graph, value, f"{stage}.block_{block}", generator)
    return value


def _separable(graph: Graph, value: Value, name: str, generator: torch.Generator) -> Value:
    channels = value.tensor_shape[1]
    inner = _relu(graph, _normed(graph, value, channels, 3, (1, 1), channels, f"{name}.depthwise", generator))
    inner = _normed(graph, inner, channels, 1, (1, 1), 1, f"{name}.pointwise", generator)
    return _relu(graph, graph.add(ops.Add(), value, inner, name=f"{name}.sum"))


def _relu(graph: Graph, value: Value) -> Value:
    return graph.add(ops.Relu(), value, name=f"{value.name}.relu")


def _normed(
    graph: Graph,
    value: Value,
    channels: int,
    kernel: int,
    strides: tuple[int, ...],
    groups: int,
    name: str,
    generator: torch.Generator,
) -> Value:
    """A convolution and a batch norm, both new."""
    shape = (channels, value.tensor_shape[1] // groups, kernel, kernel)
    weight = new_weight(graph, shape, f"{name}.weight", generator)
    around = ((kernel // 2, kernel // 2),) * 2
    value = graph.add(ops.Conv2d(padding=around, stride=strides, groups=groups), value, weight, name=name)
    ones, zeros = torch.ones(channels), torch.zeros(channels)
    parts = (
        graph.add_state(f"{name}.norm.weight", nn.Parameter(ones)),
        graph.add_state(f"{name}.norm.bias", nn.Parameter(zeros)),
        graph.add_state(f"{name}.norm.running_mean", zeros.clone()),
        graph.add_state(f"{name}.norm.running_var", ones.clone()),
    )
    return graph.add(ops.BatchNorm(), value, *parts, name=f"{name}.norm")
