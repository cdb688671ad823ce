"""Normalisation."""

from __future__ import annotations

import torch

from edgekit.export.onnx.dims import reshape
from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Tensor
from edgekit.ir import ops
from edgekit.ir.graph import Node, Value


def _or_constant(to: Emission, value: Value | None, shape: tuple[int, ...], number: float) -> Tensor:
    """A parameter, or a constant where the source has none but the operator wants one."""
    return to.shared(torch.full(shape, number)) if value is None else to.read(value)


@emits(ops.BatchNorm)
def batch_norm(to: Emission, node: Node, op: ops.BatchNorm) -> Tensor:
    """BatchNormalization with the running statistics: one that no convolution could take up."""
    mean = node.input(3)
    weight = _or_constant(to, node.inputs[1], mean.tensor_shape, 1.0)
    bias = _or_constant(to, node.inputs[2], mean.tensor_shape, 0.0)
    return to.add(
        "BatchNormalization", to.read(node.input(0)), weight, bias, to.read(mean), to.read(node.input(4)), epsilon=float(op.eps)
    )


@emits(ops.LayerNorm)
def layer_norm(to: Emission, node: Node, op: ops.LayerNorm) -> Tensor:
    """LayerNormalization over the last dimensions."""
    x = node.input(0)
    weight = _or_constant(to, node.optional(1), x.tensor_shape[x.type.rank - op.axes :], 1.0)
    bias = node.optional(2)
    return to.add(
        "LayerNormalization",
        to.read(x),
        weight,
        None if bias is None else to.read(bias),
        axis=-op.axes,
        epsilon=float(op.eps),
    )


@emits(ops.RmsNorm)
def rms_norm(to: Emission, node: Node, op: ops.RmsNorm) -> Tensor:
    """x / Sqrt(mean(x^2) + eps) * weight, in the form that ONNX Runtime recognises (the operator came with opset 23)."""
    x = to.read(node.input(0))
    axes = to.ints(range(-op.axes, 0))
    mean = to.add("ReduceMean", to.add("Pow", x, to.scalar(2.0)), axes, keepdims=1)
    result = to.add("Div", x, to.add("Sqrt", to.add("Add", mean, to.scalar(op.eps))))
    weight = node.optional(1)
    return result if weight is None else to.add("Mul", result, to.read(weight))


@emits(ops.GroupNorm)
def group_norm(to: Emission, node: Node, op: ops.GroupNorm) -> Tensor:
    """InstanceNormalization with each group as one channel, then weight and bias per channel.

    The operator GroupNormalization takes them per group before opset 21, which torch's can't be written as.
    """
    x = node.input(0)
    channels = x.tensor_shape[1]
    size = x.type.numel() // (x.tensor_shape[0] * op.groups)
    groups = (x.shape[0], op.groups, size)
    grouped = reshape(to, to.read(x), x.shape, groups)
    ones, zeros = to.shared(torch.ones(op.groups)), to.shared(torch.zeros(op.groups))
    result = reshape(to, to.add("InstanceNormalization", grouped, ones, zeros, epsilon=float(op.eps)), groups, x.shape)
    column = (channels, *[1] * (x.type.rank - 2))
    if (weight := node.optional(1)) is not None:
        result = to.add("Mul", result, to.reshaped(weight, column))
    if (bias := node.optional(2)) is not None:
        result = to.add("Add", result, to.reshaped(bias, column))
    return result


@emits(ops.InstanceNorm)
def instance_norm(to: Emission, node: Node, op: ops.InstanceNorm) -> Tensor:
    """InstanceNormalization."""
    x = node.input(0)
    channels = (x.tensor_shape[1],)
    weight = _or_constant(to, node.optional(1), channels, 1.0)
    bias = _or_constant(to, node.optional(2), channels, 0.0)
    return to.add("InstanceNormalization", to.read(x), weight, bias, epsilon=float(op.eps))
