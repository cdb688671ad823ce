"""Comparisons, logic and selection."""

from __future__ import annotations

import torch

from edgekit.frontend.torch.context import Lowering, Number
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.ops import Op

aten = torch.ops.aten


def _compare(op: Op, *overloads: torch._ops.OpOverload) -> None:
    @lowers(*overloads)
    def lower(ctx: Lowering, self: Value, other: Value | Number) -> Result:
        """Both operands in the type that torch would compare in."""
        dtype = torch.result_type(*ctx.traced(0, 1))
        return ctx.add(op, ctx.operand(self, dtype), ctx.operand(other, dtype))


_compare(ops.Equal(), aten.eq.Tensor, aten.eq.Scalar)
_compare(ops.NotEqual(), aten.ne.Tensor, aten.ne.Scalar)
_compare(ops.Less(), aten.lt.Tensor, aten.lt.Scalar)
_compare(ops.LessEqual(), aten.le.Tensor, aten.le.Scalar)
_compare(ops.Greater(), aten.gt.Tensor, aten.gt.Scalar)
_compare(ops.GreaterEqual(), aten.ge.Tensor, aten.ge.Scalar)


@lowers(aten.isnan.default)
def isnan(ctx: Lowering, self: Value) -> Result:
    """Only a NaN differs from itself."""
    return ctx.add(ops.NotEqual(), self, self)


@lowers(aten.logical_not.default)
def logical_not(ctx: Lowering, self: Value) -> Result:
    """Numbers are true where they are not zero."""
    return ctx.add(ops.LogicalNot(), truth(ctx, self))


@lowers(aten.bitwise_not.default)
def bitwise_not(ctx: Lowering, self: Value) -> Result:
    """Of bool."""
    ctx.need(self.type.dtype == torch.bool, "works on the bits of integers", "only bool is supported")
    return ctx.add(ops.LogicalNot(), self)


@lowers(aten.logical_and.default)
def logical_and(ctx: Lowering, self: Value, other: Value) -> Result:
    """Numbers are true where they are not zero."""
    return ctx.add(ops.LogicalAnd(), truth(ctx, self), truth(ctx, other))


@lowers(aten.logical_or.default)
def logical_or(ctx: Lowering, self: Value, other: Value) -> Result:
    """Numbers are true where they are not zero."""
    return ctx.add(ops.LogicalOr(), truth(ctx, self), truth(ctx, other))


@lowers(aten.logical_xor.default)
def logical_xor(ctx: Lowering, self: Value, other: Value) -> Result:
    """Two truths that differ."""
    return ctx.add(ops.NotEqual(), truth(ctx, self), truth(ctx, other))


@lowers(aten.bitwise_and.Tensor, aten.bitwise_or.Tensor, aten.bitwise_xor.Tensor)
def bitwise(ctx: Lowering, self: Value, other: Value) -> Result:
    """Of bool."""
    ctx.need(ctx.result.dtype == torch.bool, "works on the bits of integers", "only bool is supported")
    op: dict[object, Op] = {
        aten.bitwise_and.Tensor: ops.LogicalAnd(),
        aten.bitwise_or.Tensor: ops.LogicalOr(),
        aten.bitwise_xor.Tensor: ops.NotEqual(),
    }
    return ctx.add(op[ctx.node.target], self, other)


@lowers(aten.where.self, aten.where.ScalarOther, aten.where.ScalarSelf, aten.where.Scalar)
def where(ctx: Lowering, condition: Value, self: Value | Number, other: Value | Number) -> Result:
    """a where the condition holds, else b."""
    dtype = ctx.result.dtype
    return ctx.add(ops.Where(), truth(ctx, condition), ctx.operand(self, dtype), ctx.operand(other, dtype))


@lowers(aten.masked_fill.Scalar, aten.masked_fill.Tensor)
def masked_fill(ctx: Lowering, self: Value, mask: Value, value: Value | Number) -> Result:
    """value where the mask holds, else x."""
    return ctx.add(ops.Where(), mask, ctx.operand(value, self.type.dtype), self)


def truth(ctx: Lowering, x: Value) -> Value:
    """x as bool: true where it is not zero."""
    if x.type.dtype == torch.bool:
        return x
    return ctx.add(ops.NotEqual(), x, ctx.scalar(0, x.type.dtype))


@lowers(aten.tril.default, aten.triu.default)
def triangle(ctx: Lowering, self: Value, diagonal: int = 0) -> Result:
    """The lower or upper triangle of the last two dimensions, zero elsewhere."""
    rows, columns = self.shape[-2:]
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise ctx.refused("a triangle over the batch")
    cut = torch.tril if ctx.node.target is aten.tril.default else torch.triu
    inside = ctx.constant(cut(torch.ones(rows, columns, dtype=torch.bool, device=ctx.device), diagonal), "triangle")
    return ctx.add(ops.Where(), inside, self, ctx.scalar(0, self.type.dtype))


@lowers(aten.isinf.default)
def isinf(ctx: Lowering, self: Value) -> Result:
    """Infinite in either direction."""
    return ctx.add(ops.Equal(), ctx.add(ops.Abs(), self), ctx.scalar(float("inf"), self.type.dtype))


@lowers(aten.heaviside.default)
def heaviside(ctx: Lowering, self: Value, values: Value) -> Result:
    """0 below zero, 1 above, ``values`` at zero."""
    zero = ctx.scalar(0, self.type.dtype)
    step = ctx.cast(ctx.add(ops.Greater(), self, zero), ctx.result.dtype)
    return ctx.add(ops.Where(), ctx.add(ops.Equal(), self, zero), ctx.cast(values, ctx.result.dtype), step)
