"""Inverse hyperbolic functions by logarithms."""

from __future__ import annotations

from edgekit.frontend.lowering import GraphLowering
from edgekit.ir import Value, ops


def asinh(ctx: GraphLowering, x: Value) -> Value:
    """sign(x) log(|x| + sqrt(x^2 + 1))"""
    size = ctx.add(ops.Abs(), x)
    root = ctx.add(ops.Sqrt(), ctx.add(ops.Add(), ctx.add(ops.Square(), x), ctx.scalar(1.0, x.type.dtype)))
    return ctx.add(ops.Mul(), ctx.add(ops.Sign(), x), ctx.add(ops.Log(), ctx.add(ops.Add(), size, root)))


def acosh(ctx: GraphLowering, x: Value) -> Value:
    """log(x + sqrt(x^2 - 1))"""
    root = ctx.add(ops.Sqrt(), ctx.add(ops.Sub(), ctx.add(ops.Square(), x), ctx.scalar(1.0, x.type.dtype)))
    return ctx.add(ops.Log(), ctx.add(ops.Add(), x, root))


def atanh(ctx: GraphLowering, x: Value) -> Value:
    """log((1 + x) / (1 - x)) / 2"""
    one = ctx.scalar(1.0, x.type.dtype)
    ratio = ctx.add(ops.Div(), ctx.add(ops.Add(), one, x), ctx.add(ops.Sub(), one, x))
    return ctx.add(ops.Mul(), ctx.add(ops.Log(), ratio), ctx.scalar(0.5, x.type.dtype))
