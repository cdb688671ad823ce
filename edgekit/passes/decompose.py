"""Write composite ops as the simple ones that an integer or small runtime has."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes.base import Rewrite, require_unquantized


@dataclass(frozen=True)
class DecomposeAttention(Rewrite):
    """Write attention as two products and a softmax.

    Given::   %y = attention(%q, %k, %v)
    Result::  %s = mul(%q, @scale)
              %a = matmul(%s, %k, transpose_b=True)
              %p = softmax(%a)
              %y = matmul(%p, %v)

    A row in which nothing may be attended to gives zeros, as in torch.
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Attention)

    def rewrite(self, graph: Graph, node: Node) -> None:
        assert isinstance(node.op, ops.Attention)
        require_unquantized(node.output)
        q, k, v, mask = node.input(0), node.input(1), node.input(2), node.optional(3)

        def add(op: ops.Op, *inputs: Value, suffix: str) -> Value:
            return graph.add(op, *inputs, name=f"{node.name}.{suffix}", where=node.where, before=node)

        scale = node.op.scale if node.op.scale is not None else 1.0 / math.sqrt(q.tensor_shape[-1])
        if scale != 1.0:
            q = add(ops.Mul(), q, graph.constant(torch.tensor(scale), f"{node.name}.scale"), suffix="scaled")
        scores = add(ops.Matmul(transpose_b=True), q, k, suffix="scores")
        if node.op.causal:
            size = scores.tensor_shape[-2:]
            allowed = torch.ones(size, dtype=torch.bool).tril()
            scores = add(ops.Add(), scores, self._bias(graph, node, allowed), suffix="causal")
        if mask is not None:
            if mask.type.dtype == torch.bool:
                low = graph.constant(torch.tensor(-1e9), f"{node.name}.blocked")
                scores = add(ops.Where(), mask, scores, low, suffix="masked")
            else:
                scores = add(ops.Add(), scores, mask, suffix="masked")
                if mask.data is None or bool(torch.isinf(mask.data).any()):  # infinity less infinity is not a number
                    low = graph.constant(torch.tensor(-1e9), f"{node.name}.lowest")
                    scores = add(ops.Maximum(), scores, low, suffix="bounded")
        weights = add(ops.Softmax(-1), scores, suffix="weights")
        if mask is not None and may_block_a_row(mask.data):
            largest = add(ops.Amax((scores.type.rank - 1,), keepdim=True), scores, suffix="largest")
            blocked = add(ops.Less(), largest, graph.constant(torch.tensor(-5e8), f"{node.name}.bound"), suffix="blocked")
            zero = graph.constant(torch.tensor(0.0), f"{node.name}.zero")
            weights = add(ops.Where(), blocked, zero, weights, suffix="open")
        graph.replace(node.output, graph.add(ops.Matmul(), weights, v, where=node.where, before=node))

    @staticmethod
    def _bias(graph: Graph, node: Node, allowed: torch.Tensor) -> Value:
        """0 where attention is allowed, else a number that leaves nothing after softmax in float32."""
        return graph.constant(torch.where(allowed, 0.0, -1e9), f"{node.name}.mask")


def may_block_a_row(mask: torch.Tensor | None) -> bool:
    """The mask is computed, or leaves a row without any position."""
    if mask is None:
        return True
    allowed = mask if mask.dtype == torch.bool else mask > -math.inf
    return not bool(allowed.any(dim=-1).all())
