"""Write composite ops as the simple ones that an integer or small runtime has."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes.base import Rewrite, require_unquantized

#: Added to a score it leaves nothing of it after softmax in float32; infinity less infinity would be no number.
_BLOCKED = -1e9


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
        known = _constant_bias(node.op, scores, mask)
        if known is not None:
            scores = add(ops.Add(), scores, graph.constant(known, f"{node.name}.mask"), suffix="masked")
        if mask is not None and (mask.data is None or mask.is_trainable):
            low = graph.constant(torch.tensor(_BLOCKED), f"{node.name}.blocked")
            if mask.type.dtype == torch.bool:
                scores = add(ops.Where(), mask, scores, low, suffix="chosen")
            else:  # infinity less infinity is not a number
                scores = add(ops.Maximum(), add(ops.Add(), scores, mask, suffix="biased"), low, suffix="bounded")
        weights = add(ops.Softmax(-1), scores, suffix="weights")
        if mask is not None and may_block_a_row(mask.data):
            largest = add(ops.Amax((scores.type.rank - 1,), keepdim=True), scores, suffix="largest")
            blocked = add(ops.Less(), largest, graph.constant(torch.tensor(-5e8), f"{node.name}.bound"), suffix="blocked")
            zero = graph.constant(torch.tensor(0.0), f"{node.name}.zero")
            weights = add(ops.Where(), blocked, zero, weights, suffix="open")
        graph.replace(node.output, graph.add(ops.Matmul(), weights, v, where=node.where, before=node))


def _constant_bias(op: ops.Attention, scores: Value, mask: Value | None) -> torch.Tensor | None:
    """What causality and a constant mask add to the scores; None where there is neither. Nothing of it is infinite."""
    size = scores.tensor_shape[-2:]
    causal = torch.where(torch.ones(size, dtype=torch.bool).tril(), 0.0, _BLOCKED) if op.causal else None
    if mask is None or mask.data is None or mask.is_trainable:
        return causal
    data = mask.data.detach()
    given = torch.where(data, 0.0, _BLOCKED) if data.dtype == torch.bool else data.clamp(min=_BLOCKED)
    return given if causal is None else torch.clamp(given + causal, min=_BLOCKED)


def may_block_a_row(mask: torch.Tensor | None) -> bool:
    """The mask is computed, or leaves a row without any position."""
    if mask is None:
        return True
    allowed = mask if mask.dtype == torch.bool else mask > -math.inf
    return not bool(allowed.any(dim=-1).all())
