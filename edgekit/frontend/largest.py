"""The few largest elements along a dimension."""

from __future__ import annotations

import math

import torch

from edgekit.frontend.lowering import GraphLowering
from edgekit.ir import Value, ops

#: Elements that are taken at most: each takes four ops.
MOST_TAKEN = 16


def few_largest(ctx: GraphLowering, x: Value, count: int, axis: int, *, largest: bool = True) -> tuple[Value, Value]:
    """Values and indices, the largest first (or the smallest); of equal ones the first in x is the first.

    Each is taken out before the next is looked for: neither TFLite's nor the graph's ops sort.

    Raises:
        Unsupported: more than ``MOST_TAKEN``, more than there are, of integers, or along the batch.
    """
    size = x.shape[axis]
    ctx.need(isinstance(size, int), "compares samples of the batch")
    assert isinstance(size, int)
    ctx.need(0 < count <= min(size, MOST_TAKEN), f"takes {count} of {size} elements", "take some of them behind the model")
    ctx.need(x.type.is_float, "of integers", "cast to float32 first")
    y = x if largest else ctx.add(ops.Neg(), x)
    line = tuple(size if each == axis else 1 for each in range(x.type.rank))
    places = ctx.constant(torch.arange(size, device=ctx.device).reshape(line), "places")
    taken = ctx.scalar(-math.inf, x.type.dtype)
    values, indices = [], []
    for turn in range(count):
        index = ctx.add(ops.Argmax(axis=axis, keepdim=True), y)
        values.append(ctx.add(ops.Amax(axes=(axis,), keepdim=True), y))
        indices.append(index)
        if turn < count - 1:
            y = ctx.add(ops.Where(), ctx.add(ops.Equal(), places, index), taken, y)
    found = values[0] if count == 1 else ctx.add(ops.Concat(axis=axis), *values)
    where = indices[0] if count == 1 else ctx.add(ops.Concat(axis=axis), *indices)
    return found if largest else ctx.add(ops.Neg(), found), where
