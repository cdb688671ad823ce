"""Functions of one tensor's elements, bounds and element types."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from edgekit.frontend.hyperbolic import acosh, asinh, atanh
from edgekit.frontend.torch.context import Lowering, Number
from edgekit.frontend.torch.lowerings.arithmetic import binary, truncate
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.ops import Op

aten = torch.ops.aten


def _function(overload: torch._ops.OpOverload, *sequence: Op) -> Callable[..., Result]:
    """A lowering to ops in a row, in the element type of the result (integers become float where torch does so)."""

    @lowers(overload)
    def lower(ctx: Lowering, self: Value) -> Result:
        x = ctx.cast(self, ctx.result.dtype)
        for op in sequence:
            x = ctx.add(op, x)
        return x

    return lower


exp = _function(aten.exp.default, ops.Exp())
log = _function(aten.log.default, ops.Log())
sqrt = _function(aten.sqrt.default, ops.Sqrt())
rsqrt = _function(aten.rsqrt.default, ops.Rsqrt())
square = _function(aten.square.default, ops.Square())
absolute = _function(aten.abs.default, ops.Abs())
neg = _function(aten.neg.default, ops.Neg())
sign = _function(aten.sign.default, ops.Sign())
floor = _function(aten.floor.default, ops.Floor())
ceil = _function(aten.ceil.default, ops.Ceil())
round_ = _function(aten.round.default, ops.Round())
sin = _function(aten.sin.default, ops.Sin())
cos = _function(aten.cos.default, ops.Cos())
erf = _function(aten.erf.default, ops.Erf())


@lowers(aten.reciprocal.default)
def reciprocal(ctx: Lowering, self: Value) -> Result:
    """1 / x"""
    return binary(ctx, ops.Div(), 1, self)


@lowers(aten.log2.default)
def log2(ctx: Lowering, self: Value) -> Result:
    """log(x) / log(2)"""
    return binary(ctx, ops.Mul(), ctx.add(ops.Log(), ctx.cast(self, ctx.result.dtype)), 1 / math.log(2))


@lowers(aten.log10.default)
def log10(ctx: Lowering, self: Value) -> Result:
    """log(x) / log(10)"""
    return binary(ctx, ops.Mul(), ctx.add(ops.Log(), ctx.cast(self, ctx.result.dtype)), 1 / math.log(10))


@lowers(aten.log1p.default)
def log1p(ctx: Lowering, self: Value) -> Result:
    """log(1 + x); the extra digits of a fused log1p near zero are lost"""
    return ctx.add(ops.Log(), binary(ctx, ops.Add(), self, 1))


@lowers(aten.expm1.default)
def expm1(ctx: Lowering, self: Value) -> Result:
    """exp(x) - 1; the extra digits of a fused expm1 near zero are lost"""
    return binary(ctx, ops.Sub(), ctx.add(ops.Exp(), ctx.cast(self, ctx.result.dtype)), 1)


@lowers(aten.exp2.default)
def exp2(ctx: Lowering, self: Value) -> Result:
    """2 ** x"""
    return binary(ctx, ops.Pow(), 2, self)


@lowers(aten.erfc.default)
def erfc(ctx: Lowering, self: Value) -> Result:
    """1 - erf(x)"""
    return binary(ctx, ops.Sub(), 1, ctx.add(ops.Erf(), ctx.cast(self, ctx.result.dtype)))


@lowers(aten.sinh.default, aten.cosh.default)
def sinh(ctx: Lowering, self: Value) -> Result:
    """(exp(x) - exp(-x)) / 2, for the cosine with a plus"""
    x = ctx.cast(self, ctx.result.dtype)
    op = ops.Sub() if ctx.node.target is aten.sinh.default else ops.Add()
    return binary(ctx, ops.Mul(), ctx.add(op, ctx.add(ops.Exp(), x), ctx.add(ops.Exp(), ctx.add(ops.Neg(), x))), 0.5)


@lowers(aten.logit.default)
def logit(ctx: Lowering, self: Value, eps: float | None = None) -> Result:
    """log(x / (1 - x)), x kept ``eps`` away from 0 and 1"""
    x = ctx.cast(self, ctx.result.dtype)
    x = x if eps is None else ctx.add(ops.Clamp(low=eps, high=1 - eps), x)
    return ctx.add(ops.Log(), ctx.add(ops.Div(), x, binary(ctx, ops.Sub(), 1, x)))


@lowers(aten.tan.default)
def tan(ctx: Lowering, self: Value) -> Result:
    """sin(x) / cos(x)"""
    x = ctx.cast(self, ctx.result.dtype)
    return ctx.add(ops.Div(), ctx.add(ops.Sin(), x), ctx.add(ops.Cos(), x))


def _inverse_hyperbolic(overload: torch._ops.OpOverload, function: Callable[[Lowering, Value], Value]) -> None:
    @lowers(overload)
    def lower(ctx: Lowering, self: Value) -> Result:
        """By logarithms."""
        return function(ctx, ctx.cast(self, ctx.result.dtype))


_inverse_hyperbolic(aten.asinh.default, asinh)
_inverse_hyperbolic(aten.acosh.default, acosh)
_inverse_hyperbolic(aten.atanh.default, atanh)


@lowers(aten.nan_to_num.default)
def nan_to_num(
    ctx: Lowering, self: Value, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Result:
    """Numbers in place of what is none: 0, and the type's largest and smallest."""
    if not self.type.is_float:
        return self
    dtype, limits = self.type.dtype, torch.finfo(self.type.dtype)
    number = ctx.add(ops.Where(), ctx.add(ops.NotEqual(), self, self), ctx.scalar(nan or 0.0, dtype), self)
    ends = {math.inf: limits.max if posinf is None else posinf, -math.inf: limits.min if neginf is None else neginf}
    for infinity, value in ends.items():
        found = ctx.add(ops.Equal(), number, ctx.scalar(infinity, dtype))
        number = ctx.add(ops.Where(), found, ctx.scalar(value, dtype), number)
    return number


@lowers(aten.trunc.default, aten.fix.default)
def trunc(ctx: Lowering, self: Value) -> Result:
    """Rounded towards zero."""
    return truncate(ctx, self)


@lowers(aten.clamp.default, aten.clip.default)
def clamp(ctx: Lowering, self: Value, min: Number | None = None, max: Number | None = None) -> Result:
    """Bounds that are numbers."""
    x = ctx.cast(self, ctx.result.dtype)
    if not x.type.is_float:
        x = x if min is None else binary(ctx, ops.Maximum(), x, min)
        return x if max is None else binary(ctx, ops.Minimum(), x, max)
    if (min, max) == (0, None):
        return ctx.add(ops.Relu(), x)
    if (min, max) == (0, 6):
        return ctx.add(ops.Relu6(), x)
    return ctx.add(ops.Clamp(low=None if min is None else float(min), high=None if max is None else float(max)), x)


@lowers(aten.clamp_min.default)
def clamp_min(ctx: Lowering, self: Value, min: Number) -> Result:
    """A lower bound."""
    return clamp(ctx, self, min)


@lowers(aten.clamp_max.default)
def clamp_max(ctx: Lowering, self: Value, max: Number) -> Result:
    """An upper bound."""
    return clamp(ctx, self, None, max)


@lowers(aten.clamp.Tensor, aten.clip.Tensor)
def clamp_tensor(ctx: Lowering, self: Value, min: Value | None = None, max: Value | None = None) -> Result:
    """Bounds that are tensors; the upper one wins."""
    x = ctx.cast(self, ctx.result.dtype)
    if min is not None:
        x = binary(ctx, ops.Maximum(), x, min)
    return x if max is None else binary(ctx, ops.Minimum(), x, max)


@lowers(aten.clamp_min.Tensor)
def clamp_min_tensor(ctx: Lowering, self: Value, min: Value) -> Result:
    """A lower bound per element."""
    return binary(ctx, ops.Maximum(), self, min)


@lowers(aten.clamp_max.Tensor)
def clamp_max_tensor(ctx: Lowering, self: Value, max: Value) -> Result:
    """An upper bound per element."""
    return binary(ctx, ops.Minimum(), self, max)


@lowers(
    aten.to.dtype,
    aten.to.dtype_layout,
    aten.to.device,
    aten.to.other,
    aten._to_copy.default,
    aten.type_as.default,
)
def to(ctx: Lowering, self: Value, *arguments: object, **options: object) -> Result:
    """Only the element type means something in the graph; devices and layouts are the tracing machine's."""
    return ctx.cast(self, ctx.result.dtype)
