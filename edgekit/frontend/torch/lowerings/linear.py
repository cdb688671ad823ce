"""Linear layers and matrix products."""

from __future__ import annotations

import torch

from edgekit.frontend.torch.context import Lowering
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops

aten = torch.ops.aten


@lowers(aten.linear.default)
def linear(ctx: Lowering, input: Value, weight: Value, bias: Value | None = None) -> Result:
    """x times the transposed weight, plus bias."""
    if weight.type.rank == 1:
        column = ctx.add(ops.Linear(), input, ctx.reshape(weight, (1, *weight.shape)), bias)
        return ctx.reshape(column, column.shape[:-1])
    return ctx.add(ops.Linear(), input, weight, bias)


@lowers(aten.matmul.default, aten.mm.default, aten.bmm.default, aten.mv.default, aten.dot.default)
def matmul(ctx: Lowering, self: Value, other: Value) -> Result:
    """``torch.matmul``; vectors become matrices for the product."""
    a = self if self.type.rank > 1 else ctx.reshape(self, (1, *self.shape))
    b = other if other.type.rank > 1 else ctx.reshape(other, (*other.shape, 1))
    return ctx.reshape(ctx.add(ops.Matmul(), a, b), ctx.result.shape)


@lowers(aten.addmm.default, aten.baddbmm.default, aten.addmv.default)
def addmm(ctx: Lowering, self: Value, mat1: Value, mat2: Value, *, beta: float = 1, alpha: float = 1) -> Result:
    """``beta * self + alpha * (mat1 @ mat2)``; a linear layer where that is what it is."""
    if mat2.is_constant and mat2.type.rank == 2 and self.type.rank == 1 and beta == 1 and alpha == 1:
        return ctx.add(ops.Linear(), mat1, ctx.permute(mat2, (1, 0)), self)
    product = matmul(ctx, mat1, mat2)
    assert isinstance(product, Value)
    return ctx.add(ops.Add(), _times(ctx, self, beta), _times(ctx, product, alpha))


@lowers(aten.bilinear.default)
def bilinear(ctx: Lowering, input1: Value, input2: Value, weight: Value, bias: Value | None = None) -> Result:
    """x1^T W_o x2 for each output o: x2 through all rows of all W_o at once, then the sum of products with x1."""
    out, left, right = weight.shape
    rows = ctx.add(ops.Linear(), input2, ctx.reshape(weight, (ctx.sizes_product((out, left)), right)), None)
    rows = ctx.reshape(rows, (*rows.shape[:-1], out, left))
    products = ctx.add(ops.Mul(), rows, ctx.reshape(input1, (*input1.shape[:-1], 1, left)))
    total = ctx.add(ops.Sum(axes=(products.type.rank - 1,)), products)
    return total if bias is None else ctx.add(ops.Add(), total, bias)


@lowers(aten.outer.default)
def outer(ctx: Lowering, self: Value, vec2: Value) -> Result:
    """A column times a row."""
    return ctx.add(ops.Mul(), ctx.reshape(self, (*self.shape, 1)), ctx.reshape(vec2, (1, *vec2.shape)))


def _times(ctx: Lowering, x: Value, factor: float) -> Value:
    return x if factor == 1 else ctx.add(ops.Mul(), x, ctx.scalar(factor, x.type.dtype))
