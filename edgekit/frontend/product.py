"""The product of all elements along a dimension."""

from __future__ import annotations

from edgekit.frontend.lowering import GraphLowering
from edgekit.ir import Value, ops

#: Elements that are multiplied at most: each takes an op.
MOST_MULTIPLIED = 64


def product(ctx: GraphLowering, x: Value, axis: int) -> Value:
    """Slice by slice, in a tree; the dimension stays, with size 1. The graph has no op for it, and networks multiply few.

    Raises:
        Unsupported: more than ``MOST_MULTIPLIED`` elements, or along the batch.
    """
    size = x.shape[axis]
    ctx.need(isinstance(size, int), "multiplies samples of the batch")
    assert isinstance(size, int)
    ctx.need(size <= MOST_MULTIPLIED, f"multiplies {size} elements", "write it as the exponential of a sum of logarithms")
    if size == 0:
        return ctx.filled(tuple(1 if each == axis else d for each, d in enumerate(x.shape)), 1, x.type.dtype)
    parts = [ctx.slice(x, axis, index, index + 1) for index in range(size)]
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        parts = [ctx.add(ops.Mul(), p, q) for p, q in pairs] + parts[len(parts) & ~1 :]
    return parts[0]
