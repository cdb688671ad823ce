"""Attention, written as products and a softmax."""

from __future__ import annotations

import math

import torch

from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Tensor
from edgekit.ir import ops
from edgekit.ir.graph import Node


@emits(ops.Attention)
def attention(to: Emission, node: Node, op: ops.Attention) -> Tensor:
    """MatMul(Softmax(scale * q k^T + mask), v); a row in which nothing may be attended to gives zeros, as in torch."""
    q, k, v, mask = node.input(0), node.input(1), node.input(2), node.optional(3)
    scale = op.scale if op.scale is not None else 1.0 / math.sqrt(q.tensor_shape[-1])
    dims = list(range(k.type.rank))
    scores = to.add(
        "MatMul",
        to.add("Mul", to.read(q), to.scalar(scale)),
        to.transposed(k, [*dims[:-2], dims[-1], dims[-2]]),
    )
    if op.causal:
        scores = to.add("Add", scores, _causal_mask(to, q.tensor_shape[-2], k.tensor_shape[-2]))
    lowest = to.scalar(-math.inf)
    if mask is not None:
        if mask.type.dtype == torch.bool:
            scores = to.add("Where", to.read(mask), scores, lowest)
        else:
            scores = to.add("Add", scores, to.read(mask, torch.float32))
    weights = to.add("Softmax", scores, axis=-1)
    if mask is not None and _may_block_a_row(mask.data):
        blocked = to.add("Equal", to.add("ReduceMax", scores, to.ints([-1]), keepdims=1), lowest)
        weights = to.add("Where", blocked, to.scalar(0.0), weights)
    return to.add("MatMul", weights, to.read(v))


def _causal_mask(to: Emission, rows: int, columns: int) -> Tensor:
    """0 on and below the diagonal, minus infinity above; made when the file is loaded, so that it takes no bytes there."""
    full = to.add("ConstantOfShape", to.ints([rows, columns]), value=torch.tensor([-math.inf]))
    return to.add("Trilu", full, to.scalar(1, torch.int64), upper=1)


def _may_block_a_row(mask: torch.Tensor | None) -> bool:
    """The mask is computed, or leaves a row without any position."""
    if mask is None:
        return True
    allowed = mask if mask.dtype == torch.bool else mask > -math.inf
    return not bool(allowed.any(dim=-1).all())
