"""Elementwise functions, arithmetic, comparisons and selection."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import torch

from edgekit.frontend.hyperbolic import acosh, asinh, atanh
from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.element_types import TORCH, type_name
from edgekit.frontend.onnx.rows import Row
from edgekit.frontend.onnx.sizes import Sizes
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.ops import Op


def _function(operator: str, op: Op) -> Callable[..., Result]:
    """A lowering of a function of each element."""

    @lowers(operator)
    def lower(ctx: Lowering, x: Value) -> Result:
        return ctx.add(op, x)

    return lower


_MATH: tuple[tuple[str, Op], ...] = (
    ("Exp", ops.Exp()), ("Log", ops.Log()), ("Sqrt", ops.Sqrt()), ("Abs", ops.Abs()), ("Neg", ops.Neg()), ("Sign", ops.Sign()),
    ("Floor", ops.Floor()), ("Ceil", ops.Ceil()), ("Round", ops.Round()), ("Sin", ops.Sin()), ("Cos", ops.Cos()),
    ("Erf", ops.Erf()), ("Not", ops.LogicalNot()),
)  # fmt: skip
for _operator, _op in _MATH:
    _function(_operator, _op)


def _binary(operator: str, op: Op) -> Callable[..., Result]:
    """A lowering of a function of two tensors; opset 6 may say on which axis the second one stands."""

    @lowers(operator)
    def lower(ctx: Lowering, a: Value, b: Value, *, axis: int | None = None, broadcast: int = 0) -> Result:
        return ctx.add(op, a, _placed(ctx, a, b, axis) if broadcast else b)

    return lower


def _placed(ctx: Lowering, a: Value, b: Value, axis: int | None) -> Value:
    """b with dimensions of size 1 behind it, so that its first one meets a's ``axis``."""
    if axis is None or not b.type.rank:
        return b
    behind = a.type.rank - ctx.axis(axis, a.type.rank) - b.type.rank
    return ctx.reshape(b, (*b.shape, *(1,) * behind))


_OF_TWO: tuple[tuple[str, Op], ...] = (
    ("Add", ops.Add()), ("Sub", ops.Sub()), ("Mul", ops.Mul()), ("Equal", ops.Equal()), ("Less", ops.Less()),
    ("LessOrEqual", ops.LessEqual()), ("Greater", ops.Greater()), ("GreaterOrEqual", ops.GreaterEqual()),
    ("And", ops.LogicalAnd()), ("Or", ops.LogicalOr()), ("Xor", ops.NotEqual()),
)  # fmt: skip
for _operator, _op in _OF_TWO:
    _binary(_operator, _op)


@lowers("Div")
def div(ctx: Lowering, a: Value, b: Value, *, axis: int | None = None, broadcast: int = 0) -> Result:
    """Integers are divided towards zero: sign(a) sign(b) floor(|a| / |b|)."""
    b = _placed(ctx, a, b, axis) if broadcast else b
    if a.type.is_float:
        return ctx.add(ops.Div(), a, b)
    if a.type.dtype == torch.uint8:
        return ctx.add(ops.FloorDiv(), a, b)
    sign = ctx.add(ops.Mul(), ctx.add(ops.Sign(), a), ctx.add(ops.Sign(), b))
    size = ctx.add(ops.FloorDiv(), ctx.add(ops.Abs(), a), ctx.add(ops.Abs(), b))
    return ctx.add(ops.Mul(), sign, size)


@lowers("Pow")
def power(ctx: Lowering, x: Value, y: Value, *, axis: int | None = None, broadcast: int = 0) -> Result:
    """Squares and roots have ops of their own; the result has the type of the base."""
    y = _placed(ctx, x, y, axis) if broadcast else y
    if y.is_constant and y.type.numel() == 1 and x.type.is_float and y.type.rank <= x.type.rank:
        exponent = float(y.tensor.reshape(()))
        plain: dict[float, Op] = {2.0: ops.Square(), 0.5: ops.Sqrt(), -0.5: ops.Rsqrt()}
        if exponent == 1.0:
            return x
        if exponent in plain:
            return ctx.add(plain[exponent], x)
    if x.type.dtype == y.type.dtype and x.type.is_float:
        return ctx.add(ops.Pow(), x, y)
    wide = torch.promote_types(torch.promote_types(x.type.dtype, y.type.dtype), torch.float32)
    return ctx.cast(ctx.add(ops.Pow(), ctx.cast(x, wide), ctx.cast(y, wide)), x.type.dtype)


@lowers("Mod")
def mod(ctx: Lowering, a: Value, b: Value, *, fmod: int = 0) -> Result:
    """The sign of the divisor, with ``fmod`` that of the dividend: a - trunc(a / b) * b."""
    if not fmod:
        ctx.need(not a.type.is_float, "of floats without fmod=1")
        return ctx.add(ops.Remainder(), a, b)
    size = ctx.add(ops.Remainder(), ctx.add(ops.Abs(), a), ctx.add(ops.Abs(), b))
    return ctx.add(ops.Mul(), ctx.add(ops.Sign(), a), size)


@lowers("Max")
def largest(ctx: Lowering, *data: Value) -> Result:
    """The largest of any number of tensors."""
    return reduce(lambda a, b: ctx.add(ops.Maximum(), a, b), data)


@lowers("Min")
def smallest(ctx: Lowering, *data: Value) -> Result:
    """The smallest of any number of tensors."""
    return reduce(lambda a, b: ctx.add(ops.Minimum(), a, b), data)


@lowers("Sum")
def total(ctx: Lowering, *data: Value) -> Result:
    """The sum of any number of tensors."""
    return reduce(lambda a, b: ctx.add(ops.Add(), a, b), data)


@lowers("Mean")
def mean(ctx: Lowering, *data: Value) -> Result:
    """The mean of any number of tensors."""
    return ctx.mul(reduce(lambda a, b: ctx.add(ops.Add(), a, b), data), 1 / len(data))


@lowers("Where")
def where(ctx: Lowering, condition: Value, x: Value, y: Value) -> Result:
    """x where the condition holds, else y."""
    return ctx.add(ops.Where(), condition, x, y)


@lowers("Reciprocal")
def reciprocal(ctx: Lowering, x: Value) -> Result:
    """1 / x; of a square root, one op."""
    if x.producer is not None and isinstance(x.producer.op, ops.Sqrt):
        return ctx.add(ops.Rsqrt(), x.producer.input(0))
    return ctx.add(ops.Div(), ctx.scalar(1.0, x.type.dtype), x)


@lowers("Tan")
def tan(ctx: Lowering, x: Value) -> Result:
    """sin / cos"""
    return ctx.add(ops.Div(), ctx.add(ops.Sin(), x), ctx.add(ops.Cos(), x))


@lowers("Sinh")
def sinh(ctx: Lowering, x: Value) -> Result:
    """(e^x - e^-x) / 2"""
    return ctx.mul(ctx.add(ops.Sub(), *_exponentials(ctx, x)), 0.5)


@lowers("Cosh")
def cosh(ctx: Lowering, x: Value) -> Result:
    """(e^x + e^-x) / 2"""
    return ctx.mul(ctx.add(ops.Add(), *_exponentials(ctx, x)), 0.5)


def _exponentials(ctx: Lowering, x: Value) -> tuple[Value, Value]:
    return ctx.add(ops.Exp(), x), ctx.add(ops.Exp(), ctx.add(ops.Neg(), x))


lowers("Asinh")(asinh)
lowers("Acosh")(acosh)
lowers("Atanh")(atanh)


@lowers("IsNaN")
def is_nan(ctx: Lowering, x: Value) -> Result:
    """NaN alone differs from itself."""
    return ctx.add(ops.NotEqual(), x, x)


@lowers("IsInf")
def is_inf(ctx: Lowering, x: Value, *, detect_negative: int = 1, detect_positive: int = 1) -> Result:
    """Equal to an infinity of a wanted sign."""
    y = x
    if not (detect_negative and detect_positive):
        ctx.need(bool(detect_negative or detect_positive), "looks for no infinity")
    else:
        y = ctx.add(ops.Abs(), x)
    bound = math.inf if detect_positive else -math.inf
    return ctx.add(ops.Equal(), y, ctx.scalar(bound, x.type.dtype))


@lowers("Cast")
def cast(ctx: Lowering, x: Value, *, to: int, saturate: int = 1, round_mode: str = "up") -> Result:
    """To another element type, as C does it: floats are cut towards zero."""
    ctx.need(to in TORCH, f"makes {type_name(to)}", "use float32, float16, int8, uint8, int16, int32, int64 or bool")
    return ctx.cast(x, TORCH[to])


@lowers("CastLike")
def cast_like(ctx: Lowering, x: Value, target: Operand, *, saturate: int = 1, round_mode: str = "up") -> Result:
    """To the element type of another tensor."""
    return ctx.cast(x, target.dtype if isinstance(target, Sizes) else target.type.dtype)


@lowers("Identity")
def identity(ctx: Lowering, x: Operand | Row) -> Result:
    """The same."""
    return x
