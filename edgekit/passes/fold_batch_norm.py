"""Fold batch normalisation into the convolution or linear layer that feeds it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgekit.ir import Graph, Node, ops
from edgekit.passes.base import Rewrite, Skip, require_unquantized, sole_producer, succeed
from edgekit.passes.constants import require_private, rewrite_constant, set_bias

_WEIGHTED = (ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear)


def channel_affine(norm: Node) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and offset (C,), in float64, of an inference-time batch norm.

    Raises:
        Skip: one of its parameters is computed, or quantised.
    """
    assert isinstance(norm.op, ops.BatchNorm)
    for value in norm.inputs[1:5]:
        if value is not None and not value.is_constant:
            raise Skip(f"%{value.name} is computed, not constant")
        require_unquantized(value)
    mean, var = norm.input(3).tensor.detach().double(), norm.input(4).tensor.detach().double()
    weight, bias = norm.optional(1), norm.optional(2)
    scale = torch.rsqrt(var + norm.op.eps)
    if weight is not None:
        scale = scale * weight.tensor.detach().double()
    offset = -mean * scale
    if bias is not None:
        offset = offset + bias.tensor.detach().double()
    return scale, offset


def scale_output_channels(node: Node, scale: torch.Tensor) -> torch.Tensor:
    """The weight of a convolution or linear node whose output channels are multiplied by ``scale`` (O,)."""
    weight = node.input(1).tensor.detach().double()
    if isinstance(node.op, ops.ConvTranspose1d | ops.ConvTranspose2d):
        groups, inner = node.op.groups, weight.shape[1]
        grouped = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        grouped = grouped * scale.reshape(groups, 1, inner, *[1] * (weight.dim() - 2))
        return grouped.reshape(weight.shape)
    return weight * scale.reshape(-1, *[1] * (weight.dim() - 1))


def fold_affine(graph: Graph, node: Node, scale: torch.Tensor, offset: torch.Tensor) -> None:
    """Changes weight and bias (float64 arithmetic) so that the node computes ``scale * y + offset`` per output channel.

    Raises:
        Skip: weight or bias is shared, computed or quantised, an activation stands between, or a float can't hold the result.
    """
    if getattr(node.op, "activation", "none") != "none":
        raise Skip("an activation stands between")
    weight, bias = node.input(1), node.optional(2)
    require_private(graph, weight, node)
    if bias is not None:
        require_private(graph, bias, node)
    old = 0.0 if bias is None else bias.tensor.detach().double()
    new_weight, new_bias = scale_output_channels(node, scale), old * scale + offset
    if not all(bool(torch.isfinite(t.to(weight.tensor.dtype)).all()) for t in (new_weight, new_bias)):
        raise Skip("the product is too large for the weight's type, or not a number")
    rewrite_constant(weight, new_weight)
    set_bias(graph, node, new_bias)


@dataclass(frozen=True)
class FoldBatchNorm(Rewrite):
    """Fold an inference-time ``batch_norm`` into the weights of the convolution or linear layer that feeds it.

    Given::   %y = conv2d(%x, @w, @b)
              %z = batch_norm(%y, @gamma, @beta, @mean, @var, eps)
    Result::  %z = conv2d(%x, @w * s, (@b - @mean) * s + @beta)      # s = gamma / sqrt(var + eps)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.BatchNorm)

    def rewrite(self, graph: Graph, node: Node) -> None:
        producer = sole_producer(graph, node, *_WEIGHTED)
        if producer is None:
            raise Skip("no convolution or linear layer feeds it")
        if isinstance(producer.op, ops.Linear) and node.input(0).type.rank != 2:
            raise Skip("the channels of the norm are not the features of the linear layer")
        fold_affine(graph, producer, *channel_affine(node))
        succeed(graph, node.output, producer.output)


@dataclass(frozen=True)
class LowerBatchNorm(Rewrite):
    """Write a batch norm that nothing could absorb as one product and one sum per channel.

    Given::   %z = batch_norm(%y, @gamma, @beta, @mean, @var, eps)
    Result::  %m = mul(%y, @s)
              %z = add(%m, @beta - @mean * s)                        # s = gamma / sqrt(var + eps)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.BatchNorm)

    def rewrite(self, graph: Graph, node: Node) -> None:
        require_unquantized(node.output)
        x = node.input(0)
        shape = (-1, *[1] * (x.type.rank - 2))
        scale, offset = (t.reshape(shape).to(x.type.dtype) for t in channel_affine(node))
        name = node.name
        product = graph.add(
            ops.Mul(), x, graph.constant(scale, f"{name}.scale"), name=f"{name}_scaled", where=node.where, before=node
        )
        total = graph.add(ops.Add(), product, graph.constant(offset, f"{name}.offset"), where=node.where, before=node)
        graph.replace(node.output, total)
