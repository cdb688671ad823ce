"""Elementwise arithmetic with broadcasting, between tensors and numbers."""

from __future__ import annotations

import torch

from edgekit.frontend.torch.context import Lowering, Number
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.ops import Op

aten = torch.ops.aten


def binary(ctx: Lowering, op: Op, a: Value | Number, b: Value | Number) -> Value:
    """An op of two operands in the element type of the traced result."""
    dtype = ctx.result.dtype
    return ctx.add(op, ctx.operand(a, dtype), ctx.operand(b, dtype))


@lowers(aten.add.Tensor, aten.add.Scalar)
def add(ctx: Lowering, self: Value, other: Value | Number, alpha: Number = 1) -> Result:
    """a + alpha * b"""
    return binary(ctx, ops.Add(), self, _times(ctx, other, alpha))


@lowers(aten.sub.Tensor, aten.sub.Scalar)
def sub(ctx: Lowering, self: Value, other: Value | Number, alpha: Number = 1) -> Result:
    """a - alpha * b"""
    return binary(ctx, ops.Sub(), self, _times(ctx, other, alpha))


@lowers(aten.rsub.Tensor, aten.rsub.Scalar)
def rsub(ctx: Lowering, self: Value, other: Value | Number, alpha: Number = 1) -> Result:
    """b - alpha * a"""
    return binary(ctx, ops.Sub(), other, _times(ctx, self, alpha))


@lowers(aten.mul.Tensor, aten.mul.Scalar)
def mul(ctx: Lowering, self: Value, other: Value | Number) -> Result:
    """a * b"""
    return binary(ctx, ops.Mul(), self, other)


@lowers(aten.div.Tensor, aten.div.Scalar, aten.true_divide.Tensor)
def div(ctx: Lowering, self: Value, other: Value | Number) -> Result:
    """a / b, in float for integers too"""
    return binary(ctx, ops.Div(), self, other)


@lowers(aten.div.Tensor_mode, aten.div.Scalar_mode)
def div_mode(ctx: Lowering, self: Value, other: Value | Number, *, rounding_mode: str | None) -> Result:
    """Rounded down, towards zero, or not at all."""
    if rounding_mode is None:
        return div(ctx, self, other)
    if rounding_mode == "floor":
        return floor_divide(ctx, self, other)
    ctx.need(ctx.result.is_float, "rounds integers towards zero", "use rounding_mode='floor'")
    return truncate(ctx, binary(ctx, ops.Div(), self, other))


@lowers(aten.floor_divide.default, aten.floor_divide.Scalar)
def floor_divide(ctx: Lowering, self: Value, other: Value | Number) -> Result:
    """The quotient rounded down."""
    return binary(ctx, ops.FloorDiv(), self, other)


@lowers(aten.remainder.Tensor, aten.remainder.Scalar)
def remainder(ctx: Lowering, self: Value, other: Value | Number) -> Result:
    """The remainder with the sign of the divisor."""
    return binary(ctx, ops.Remainder(), self, other)


@lowers(aten.fmod.Tensor, aten.fmod.Scalar)
def fmod(ctx: Lowering, self: Value, other: Value | Number) -> Result:
    """a - truncate(a / b) * b, the sign of a"""
    ctx.need(ctx.result.is_float, "of integers", "use torch.remainder")
    quotient = truncate(ctx, binary(ctx, ops.Div(), self, other))
    return binary(ctx, ops.Sub(), self, binary(ctx, ops.Mul(), quotient, other))


@lowers(aten.hypot.default)
def hypot(ctx: Lowering, self: Value, other: Value) -> Result:
    """sqrt(a^2 + b^2)"""
    return ctx.add(ops.Sqrt(), ctx.add(ops.Add(), ctx.add(ops.Square(), self), ctx.add(ops.Square(), other)))


@lowers(aten.maximum.default, aten.max.other)
def maximum(ctx: Lowering, self: Value, other: Value) -> Result:
    """The larger of two."""
    return binary(ctx, ops.Maximum(), self, other)


@lowers(aten.minimum.default, aten.min.other)
def minimum(ctx: Lowering, self: Value, other: Value) -> Result:
    """The smaller of two."""
    return binary(ctx, ops.Minimum(), self, other)


@lowers(aten.pow.Tensor_Scalar)
def pow_scalar(ctx: Lowering, self: Value, exponent: Number) -> Result:
    """Squares and roots have ops of their own."""
    x = ctx.cast(self, ctx.result.dtype)
    plain: dict[float, Op] = {2: ops.Square(), 0.5: ops.Sqrt(), -0.5: ops.Rsqrt()}
    if exponent == 1:
        return x
    if exponent in plain:
        return ctx.add(plain[exponent], x)
    return binary(ctx, ops.Pow(), x, exponent)


@lowers(aten.pow.Tensor_Tensor, aten.pow.Scalar)
def pow_tensor(ctx: Lowering, self: Value | Number, exponent: Value) -> Result:
    """a ** b"""
    return binary(ctx, ops.Pow(), self, exponent)


@lowers(aten.addcmul.default)
def addcmul(ctx: Lowering, self: Value, tensor1: Value, tensor2: Value, *, value: Number = 1) -> Result:
    """a + value * b * c"""
    return binary(ctx, ops.Add(), self, _times(ctx, binary(ctx, ops.Mul(), tensor1, tensor2), value))


@lowers(aten.addcdiv.default)
def addcdiv(ctx: Lowering, self: Value, tensor1: Value, tensor2: Value, *, value: Number = 1) -> Result:
    """a + value * b / c"""
    return binary(ctx, ops.Add(), self, _times(ctx, binary(ctx, ops.Div(), tensor1, tensor2), value))


@lowers(aten.lerp.Scalar, aten.lerp.Tensor)
def lerp(ctx: Lowering, self: Value, end: Value, weight: Value | Number) -> Result:
    """a + weight * (b - a)"""
    return binary(ctx, ops.Add(), self, binary(ctx, ops.Mul(), binary(ctx, ops.Sub(), end, self), weight))


def truncate(ctx: Lowering, x: Value) -> Value:
    """Rounded towards zero: sign(x) * floor(|x|)."""
    return ctx.add(ops.Mul(), ctx.add(ops.Sign(), x), ctx.add(ops.Floor(), ctx.add(ops.Abs(), x)))


def _times(ctx: Lowering, x: Value | Number, factor: Number) -> Value | Number:
    if factor == 1:
        return x
    return binary(ctx, ops.Mul(), x, factor) if isinstance(x, Value) else x * factor
