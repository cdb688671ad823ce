"""Normalisations by their definitions: TFLite has no operator for any of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgekit.export.tflite.legalize.base import Build, Lowering, Skip
from edgekit.ir import Node, Value, ops
from edgekit.ir.types import Dim


def standardized(build: Build, x: Value, axes: tuple[int, ...], eps: float) -> Value:
    """(x - mean) / sqrt(var + eps) over ``axes``, the variance biased."""
    mean = build(ops.Mean(axes, keepdim=True), x)
    centred = build(ops.Sub(), x, mean)
    variance = build(ops.Mean(axes, keepdim=True), build(ops.Square(), centred))
    return build(ops.Mul(), centred, build(ops.Rsqrt(), build(ops.Add(), variance, eps)))


def affine(build: Build, x: Value, weight: Value | None, bias: Value | None, shape: tuple[int, ...] | None = None) -> Value:
    """x * weight + bias, both brought to ``shape`` first."""
    for op, value in ((ops.Mul(), weight), (ops.Add(), bias)):
        if value is None:
            continue
        if shape is not None:
            value = _shaped(build, value, shape)
        x = build(op, x, value)
    return x


def _shaped(build: Build, value: Value, shape: tuple[int, ...]) -> Value:
    """A parameter under another shape, at once where it is a constant."""
    constant = value.is_constant and value.quant is None
    return build.tensor(value.tensor.reshape(shape)) if constant else build(ops.Reshape(shape), value)


@dataclass(frozen=True)
class LowerLayerNorm(Lowering):
    """Over the last dimensions."""

    kind = ops.LayerNorm

    def lower(self, build: Build, node: Node, op: ops.LayerNorm) -> Value:
        """Mean, variance, affine."""
        _refuse_integers(node)
        x = node.input(0)
        axes = tuple(range(x.type.rank - op.axes, x.type.rank))
        return affine(build, standardized(build, x, axes, op.eps), node.optional(1), node.optional(2))


@dataclass(frozen=True)
class LowerRmsNorm(Lowering):
    """x / sqrt(mean(x^2) + eps) * weight."""

    kind = ops.RmsNorm

    def lower(self, build: Build, node: Node, op: ops.RmsNorm) -> Value:
        """By its definition."""
        _refuse_integers(node)
        x = node.input(0)
        axes = tuple(range(x.type.rank - op.axes, x.type.rank))
        square = build(ops.Mean(axes, keepdim=True), build(ops.Square(), x))
        return affine(build, build(ops.Mul(), x, build(ops.Rsqrt(), build(ops.Add(), square, op.eps))), node.optional(1), None)


@dataclass(frozen=True)
class LowerInstanceNorm(Lowering):
    """Each channel of each sample over its positions."""

    kind = ops.InstanceNorm

    def lower(self, build: Build, node: Node, op: ops.InstanceNorm) -> Value:
        """Over the spatial dimensions."""
        _refuse_integers(node)
        x = node.input(0)
        shape = (-1, *[1] * (x.type.rank - 2))
        axes = tuple(range(2, x.type.rank))
        return affine(build, standardized(build, x, axes, op.eps), node.optional(1), node.optional(2), shape)


@dataclass(frozen=True)
class LowerGroupNorm(Lowering):
    """Each group of channels over its channels and positions.

    The mean of a group is the mean of its channels' means, so that only (N, C) numbers are ever divided into groups: an image
    stays as it stands.
    """

    kind = ops.GroupNorm

    def lower(self, build: Build, node: Node, op: ops.GroupNorm) -> Value:
        """Means over positions, then over the channels of a group; the weight goes into what each channel is scaled by."""
        _refuse_integers(node)
        x = node.input(0)
        batch, channels, rank = x.type.shape[0], x.type.shape[1], x.type.rank
        if not isinstance(channels, int):
            raise Skip("the number of channels depends on the batch")
        ones = (1,) * (rank - 2)
        divided: tuple[Dim, ...] = (batch, op.groups, channels // op.groups)

        def mean(value: Value) -> Value:
            value = build(ops.Mean(tuple(range(2, rank)), keepdim=True), value) if rank > 2 else value
            return build(ops.Mean((2,), keepdim=True), build(ops.Reshape(divided), value))

        def spread(value: Value, factor: Value) -> Value:
            return build(ops.Reshape((batch, channels, *ones)), build(ops.Mul(), value, factor))

        plain = build.tensor(torch.ones(channels // op.groups, dtype=x.type.dtype))
        centred = build(ops.Sub(), x, spread(mean(x), plain))
        factor = build(ops.Rsqrt(), build(ops.Add(), mean(build(ops.Square(), centred)), op.eps))
        weight = node.optional(1)
        weight = plain if weight is None else _shaped(build, weight, (op.groups, channels // op.groups))
        return affine(build, build(ops.Mul(), centred, spread(factor, weight)), None, node.optional(2), (-1, *ones))


@dataclass(frozen=True)
class LowerBatchNorm(Lowering):
    """A batch norm that could not be folded: x * s + t with s = weight / sqrt(var + eps), t = bias - mean * s."""

    kind = ops.BatchNorm

    def lower(self, build: Build, node: Node, op: ops.BatchNorm) -> Value:
        """One product and one sum per channel."""
        _refuse_integers(node)
        weight, bias, mean, var = (node.optional(index) for index in range(1, 5))
        if mean is None or var is None or not all(v is None or v.is_constant for v in (weight, bias, mean, var)):
            raise Skip("its parameters are computed")
        shape = (-1, *[1] * (node.input(0).type.rank - 2))
        scale = torch.rsqrt(var.tensor.detach().double() + op.eps)
        scale = scale if weight is None else scale * weight.tensor.detach().double()
        shift = -mean.tensor.detach().double() * scale
        shift = shift if bias is None else shift + bias.tensor.detach().double()
        scaled = build(ops.Mul(), node.input(0), build.tensor(scale.float().reshape(shape)))
        return build(ops.Add(), scaled, build.tensor(shift.float().reshape(shape)))


def _refuse_integers(node: Node) -> None:
    """Normalisation in integers is slower and loses 6 to 10 dB; the quantiser leaves it in float.

    Raises:
        Skip: the node is quantised.
    """
    if node.output.quant is not None:
        raise Skip("no integer form")
