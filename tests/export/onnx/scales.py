"""Quantisation for tests: min-max, equal scales where elements only move, fixed ones where kernels have them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.ir import Graph, ops
from edgekit.ir.graph import Node, Value
from edgekit.ir.quant import QuantParams

_FIXED = {ops.Softmax: (1 / 256, -128), ops.Sigmoid: (1 / 256, -128), ops.Tanh: (1 / 128, 0)}
_MOVES = (
    ops.Reshape, ops.Permute, ops.Concat, ops.Split, ops.Slice, ops.Expand, ops.Tile, ops.Pad, ops.Flip, ops.Roll, ops.Gather,
    ops.Resize, ops.PixelShuffle, ops.PixelUnshuffle, ops.MaxPool1d, ops.MaxPool2d, ops.AvgPool1d, ops.AvgPool2d,
)  # fmt: skip
_WEIGHTED = (ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear)


def quantize(graph: Graph, calibration: Sequence[Sequence[torch.Tensor]]) -> Graph:
    """Sets ``quant`` on every float value of the graph; returns the graph."""
    seen: dict[int, list[torch.Tensor]] = {}
    module = graph.module().eval()
    with torch.no_grad():
        for inputs in calibration:
            module.run(list(inputs), lambda value, tensor: seen.setdefault(id(value), []).append(tensor))
    for value in (*graph.inputs, *(v for node in graph.nodes for v in node.outputs)):
        if value.type.is_float and value.quant is None:
            value.quant = activation_params(torch.cat([t.flatten() for t in seen[id(value)]]))
    for node in reversed(graph.nodes):  # what moves hands its scale up, to all that it reads
        if isinstance(node.op, _MOVES):
            for value in (*node.inputs, *node.outputs):
                if value is not None and value.type.is_float:
                    value.quant = node.output.quant
    for node in graph.nodes:
        if type(node.op) in _FIXED:
            scale, zero = _FIXED[type(node.op)]
            node.output.quant = QuantParams("int8", (scale,), (zero,))
        if isinstance(node.op, _MOVES):
            for value in node.outputs:
                value.quant = node.input(0).quant
    for node in graph.nodes:
        _constants(node)
    return graph


def activation_params(data: torch.Tensor) -> QuantParams:
    """int8 over the range of the data, zero included."""
    low, high = min(float(data.min()), 0.0), max(float(data.max()), 0.0)
    scale = max(high - low, 1e-6) / 255
    return QuantParams("int8", (scale,), (max(-128, min(127, round(-128 - low / scale))),))


def weight_params(data: torch.Tensor, axis: int | None) -> QuantParams:
    """int8, symmetric, per channel along an axis."""
    largest = data.abs().amax(dim=[d for d in range(data.dim()) if d != axis]) if axis is not None else data.abs().amax()[None]
    scale = tuple((largest.clamp(min=1e-6) / 127).tolist())
    return QuantParams("int8", scale, (0,) * len(scale), axis, narrow=True)


def _constants(node: Node) -> None:
    constants = [value for value in node.inputs if value is not None and value.is_constant and value.type.is_float]
    if not isinstance(node.op, _WEIGHTED):
        for value in constants:
            value.quant = activation_params(value.tensor)
        return
    axis = 1 if isinstance(node.op, ops.ConvTranspose1d | ops.ConvTranspose2d) else 0
    weight: Value = node.input(1)
    weight.quant = weight_params(weight.tensor.detach(), axis)
    x = node.input(0).quant
    if (bias := node.optional(2)) is not None and x is not None:
        scale = tuple(x.scale[0] * s for s in weight.quant.scale)
        if len(scale) != bias.type.numel():  # a grouped transposed convolution shares scales between groups
            scale = scale * (bias.type.numel() // len(scale))
        bias.quant = QuantParams("int32", scale, (0,) * len(scale), 0)
