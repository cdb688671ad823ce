"""Attention as one op."""

from __future__ import annotations

from math import sqrt

from edgekit.compress.prune.change import Change
from edgekit.compress.prune.coupling.context import Coupling
from edgekit.compress.prune.coupling.elementwise import joined_axes
from edgekit.compress.prune.coupling.table import couples, shrinks
from edgekit.ir import Node, ops
from edgekit.ir.ops import Op


@couples(ops.Attention)
def attention(node: Node, c: Coupling) -> None:
    """q (..., T, D), k (..., S, D), v (..., S, E): D of q and k go together, E passes, heads are leading axes, T and S stay."""
    q, k, v = node.input(0), node.input(1), node.input(2)
    for value in (q, k, v):
        c.fix(c.axis(value, -2), "positions of attention depend on each other")
    c.join(c.axis(q, -1), c.axis(k, -1))
    operands = [(value, value.type.rank - 2) for value in (q, k, v)]
    if (mask := node.optional(3)) is not None:
        c.fix_axes(mask, [axis for axis in (-1, -2) if mask.type.rank >= -axis], "positions of attention")
        if mask.type.rank > 2:
            operands.append((mask, mask.type.rank - 2))
    leading = joined_axes(operands, node.output.shape[:-2], c)
    c.label(node.output, [*leading, c.axis(q, -2), c.axis(v, -1)])


@shrinks(ops.Attention)
def same_scale(change: Change) -> Op:
    """The scale stays 1 / sqrt(D) of the D that the weights were trained with."""
    op, q = change.op, change.old.input(0)
    assert isinstance(op, ops.Attention)
    width = q.tensor_shape[-1]
    if op.scale is None and len(change.kept(q, q.type.rank - 1)) < width:
        return op.with_(scale=1.0 / sqrt(width))
    return op
