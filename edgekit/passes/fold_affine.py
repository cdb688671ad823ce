"""Fold a product or sum with per-channel constants into the convolution or linear layer before it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes.base import Rewrite, Skip, require_unquantized, sole_producer, succeed
from edgekit.passes.fold_batch_norm import fold_affine
from edgekit.passes.fuse_activation import activation_of, with_activation

_WEIGHTED = (ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear)


def per_channel(constant: Value, rank: int, axis: int, channels: int) -> torch.Tensor | None:
    """The constant as one float64 number per channel along ``axis`` of a value of this rank, or None if it varies elsewhere."""
    shape = (1,) * (rank - constant.type.rank) + tuple(constant.tensor.shape)
    if len(shape) != rank or any(size != 1 for i, size in enumerate(shape) if i != axis):
        return None
    return constant.tensor.detach().double().reshape(-1).expand(channels)


@dataclass(frozen=True)
class FoldAffine(Rewrite):
    """Fold ``mul``, ``div``, ``add`` and ``sub`` with a per-channel constant into the layer that feeds them.

    Given::   %y = conv2d(%x, @w, @b)
              %z = mul(%y, @s)
    Result::  %z = conv2d(%x, @w * s, @b * s)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        if not isinstance(node.op, ops.Mul | ops.Div | ops.Add | ops.Sub):
            return False
        a, b = node.input(0), node.input(1)
        if b.is_constant:
            return a.producer is not None and isinstance(a.producer.op, _WEIGHTED)
        return (
            a.is_constant
            and not isinstance(node.op, ops.Div)
            and b.producer is not None
            and isinstance(b.producer.op, _WEIGHTED)
        )

    def rewrite(self, graph: Graph, node: Node) -> None:
        index = 0 if node.input(1).is_constant else 1
        constant = node.input(1 - index)
        producer = sole_producer(graph, node, *_WEIGHTED, index=index)
        assert producer is not None
        require_unquantized(constant)
        y = producer.output
        axis = y.type.rank - 1 if isinstance(producer.op, ops.Linear) else 1
        channels = y.shape[axis]
        factor = per_channel(constant, y.type.rank, axis, channels) if node.output.type == y.type else None
        if factor is None:
            raise Skip(f"@{constant.name} is not one number per channel")
        one, zero = torch.ones_like(factor), torch.zeros_like(factor)
        if isinstance(node.op, ops.Mul):
            scale, offset = factor, zero
        elif isinstance(node.op, ops.Div):
            scale, offset = 1.0 / factor, zero
        elif isinstance(node.op, ops.Add):
            scale, offset = one, factor
        else:
            scale, offset = (one, -factor) if index == 0 else (-one, factor)
        fold_affine(graph, producer, scale, offset)
        if (activation := activation_of(node.op)) != "none":
            graph.set_op(producer, with_activation(producer.op, activation))
        succeed(graph, node.output, y)
