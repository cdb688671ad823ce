"""Distances between vectors."""

from __future__ import annotations

import torch

from edgekit.frontend.torch.context import Lowering, axis_of
from edgekit.frontend.torch.lowerings.reduce import vector_norm
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops

aten = torch.ops.aten


@lowers(aten.cosine_similarity.default)
def cosine_similarity(ctx: Lowering, x1: Value, x2: Value, dim: int = 1, eps: float = 1e-08) -> Result:
    """Sum of products over the product of the lengths, neither below ``eps``."""
    axes = (axis_of(dim, max(x1.type.rank, x2.type.rank)),)
    product = ctx.add(ops.Mul(), x1, x2)
    x1, x2 = (ctx.expand(x, product.shape) for x in (x1, x2))
    lengths = [_length(ctx, x, axes, eps) for x in (x1, x2)]
    return ctx.add(ops.Div(), ctx.add(ops.Sum(axes=axes), product), ctx.add(ops.Mul(), *lengths))


@lowers(aten.dist.default)
def dist(ctx: Lowering, self: Value, other: Value, p: float = 2) -> Result:
    """The norm of the difference."""
    return vector_norm(ctx, ctx.add(ops.Sub(), self, other), p)


@lowers(aten.cdist.default)
def cdist(ctx: Lowering, x1: Value, x2: Value, p: float = 2.0, compute_mode: int | None = None) -> Result:
    """The norms of the differences of all rows of one (..., P, M) and all rows of the other (..., R, M), as (..., P, R)."""
    rows = ctx.reshape(x1, (*x1.shape[:-1], 1, x1.shape[-1]))
    columns = ctx.reshape(x2, (*x2.shape[:-2], 1, *x2.shape[-2:]))
    return vector_norm(ctx, ctx.add(ops.Sub(), rows, columns), p, -1)


def _length(ctx: Lowering, x: Value, axes: tuple[int, ...], eps: float) -> Value:
    squares = ctx.add(ops.Sum(axes=axes), ctx.add(ops.Square(), x))
    return ctx.add(ops.Sqrt(), ctx.add(ops.Maximum(), squares, ctx.scalar(eps * eps, x.type.dtype)))
