"""Reductions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from edgekit.frontend.largest import few_largest
from edgekit.frontend.product import product
from edgekit.frontend.torch.context import Lowering, Number, axes_of, axis_of
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.types import Batch

aten = torch.ops.aten
Axes = Sequence[int] | int | None


@lowers(aten.mean.dim, aten.mean.default)
def mean(ctx: Lowering, self: Value, dim: Axes = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Result:
    """Arithmetic mean."""
    x = ctx.cast(self, ctx.result.dtype)
    return x if not self.type.rank else ctx.add(ops.Mean(axes=axes_of(dim, self.type.rank), keepdim=keepdim), x)


@lowers(aten.sum.dim_IntList, aten.sum.default)
def sum_(ctx: Lowering, self: Value, dim: Axes = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Result:
    """Sum; integers and bool add up to int64."""
    x = ctx.cast(self, ctx.result.dtype)
    return x if not self.type.rank else ctx.add(ops.Sum(axes=axes_of(dim, self.type.rank), keepdim=keepdim), x)


@lowers(aten.amax.default)
def amax(ctx: Lowering, self: Value, dim: Axes = None, keepdim: bool = False) -> Result:
    """Largest element."""
    return ctx.add(ops.Amax(axes=axes_of(dim, self.type.rank), keepdim=keepdim), self)


@lowers(aten.amin.default)
def amin(ctx: Lowering, self: Value, dim: Axes = None, keepdim: bool = False) -> Result:
    """Smallest element."""
    return ctx.add(ops.Amin(axes=axes_of(dim, self.type.rank), keepdim=keepdim), self)


@lowers(aten.max.default)
def max_all(ctx: Lowering, self: Value) -> Result:
    """Largest of all elements."""
    return amax(ctx, self)


@lowers(aten.min.default)
def min_all(ctx: Lowering, self: Value) -> Result:
    """Smallest of all elements."""
    return amin(ctx, self)


@lowers(aten.max.dim)
def max_dim(ctx: Lowering, self: Value, dim: int, keepdim: bool = False) -> Result:
    """Largest elements and where they are."""
    axis = axis_of(dim, self.type.rank)
    indices = ctx.add(ops.Argmax(axis=axis, keepdim=keepdim), self) if ctx.reads(1) else None
    return ctx.add(ops.Amax(axes=(axis,), keepdim=keepdim), self), indices


@lowers(aten.min.dim)
def min_dim(ctx: Lowering, self: Value, dim: int, keepdim: bool = False) -> Result:
    """Smallest elements and where they are."""
    axis = axis_of(dim, self.type.rank)
    indices = argmin(ctx, self, axis, keepdim) if ctx.reads(1) else None
    assert indices is None or isinstance(indices, Value)
    return ctx.add(ops.Amin(axes=(axis,), keepdim=keepdim), self), indices


@lowers(aten.argmax.default)
def argmax(ctx: Lowering, self: Value, dim: int | None = None, keepdim: bool = False) -> Result:
    """Index of the first largest element, of all elements without ``dim``."""
    if dim is None:
        ctx.need(not self.type.has_batch, "runs over the batch")
        flat = ctx.reshape(self, (self.type.numel(),))
        return ctx.reshape(ctx.add(ops.Argmax(axis=0), flat), ctx.result.shape)
    return ctx.add(ops.Argmax(axis=axis_of(dim, self.type.rank), keepdim=keepdim), self)


@lowers(aten.argmin.default)
def argmin(ctx: Lowering, self: Value, dim: int | None = None, keepdim: bool = False) -> Result:
    """Where the negative is largest."""
    ctx.need(self.type.dtype.is_floating_point, "of integers", "convert to float first")
    return argmax(ctx, ctx.add(ops.Neg(), self), dim, keepdim)


@lowers(aten.var.correction, aten.var.dim, aten.var.default)
def var(
    ctx: Lowering,
    self: Value,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> Result:
    """Mean of squared distances from the mean, times count / (count - correction)."""
    axes, freedom = _arguments(dim, unbiased, correction)
    return variance(ctx, self, axes, keepdim, freedom)


@lowers(aten.std.correction, aten.std.dim, aten.std.default)
def std(
    ctx: Lowering,
    self: Value,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> Result:
    """Root of the variance."""
    axes, freedom = _arguments(dim, unbiased, correction)
    return ctx.add(ops.Sqrt(), variance(ctx, self, axes, keepdim, freedom))


@lowers(aten.var_mean.correction, aten.var_mean.dim)
def var_mean(
    ctx: Lowering,
    self: Value,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> Result:
    """Variance and mean."""
    average = ctx.add(ops.Mean(axes=axes_of(dim, self.type.rank), keepdim=keepdim), self)
    return variance(ctx, self, dim, keepdim, _arguments(dim, unbiased, correction)[1]), average


def variance(ctx: Lowering, x: Value, dim: Axes, keepdim: bool, correction: Number) -> Value:
    """The variance as mean, squared difference and mean."""
    axes = axes_of(dim, x.type.rank)
    ctx.need(not any(isinstance(x.shape[a], Batch) for a in axes) or correction == 0, "runs over the batch")
    center = ctx.add(ops.Mean(axes=axes, keepdim=True), x)
    spread = ctx.add(ops.Mean(axes=axes, keepdim=keepdim), ctx.add(ops.SquaredDifference(), x, center))
    if correction == 0:
        return spread
    count = math.prod(x.tensor_shape[a] for a in axes)
    ctx.need(count > correction, "of a single element")
    return ctx.add(ops.Mul(), spread, ctx.scalar(count / (count - correction), x.type.dtype))


def _arguments(dim: Axes, unbiased: bool, correction: Number | None) -> tuple[Axes, Number]:
    """Axes, and the degrees of freedom taken off the count: 1 unless said otherwise. ``var(x, False)`` has no axes."""
    if isinstance(dim, bool):
        return None, int(dim)
    return dim, int(unbiased) if correction is None else correction


@lowers(aten.linalg_vector_norm.default)
def vector_norm(
    ctx: Lowering, self: Value, ord: Number = 2, dim: Axes = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Result:
    """(sum |x|^p)^(1/p)"""
    axes, x = axes_of(dim, self.type.rank), ctx.cast(self, ctx.result.dtype)
    if ord == 2:
        return ctx.add(ops.Sqrt(), ctx.add(ops.Sum(axes=axes, keepdim=keepdim), ctx.add(ops.Square(), x)))
    size = ctx.add(ops.Abs(), x)
    if ord == 1:
        return ctx.add(ops.Sum(axes=axes, keepdim=keepdim), size)
    if ord == math.inf:
        return ctx.add(ops.Amax(axes=axes, keepdim=keepdim), size)
    if ord == -math.inf:
        return ctx.add(ops.Amin(axes=axes, keepdim=keepdim), size)
    ctx.need(ord > 0, f"of order {ord}")
    powers = ctx.add(ops.Pow(), size, ctx.scalar(float(ord), x.type.dtype))
    return ctx.add(ops.Pow(), ctx.add(ops.Sum(axes=axes, keepdim=keepdim), powers), ctx.scalar(1.0 / ord, x.type.dtype))


@lowers(aten.norm.ScalarOpt_dim, aten.norm.Scalar, aten.norm.ScalarOpt_dim_dtype)
def norm(
    ctx: Lowering,
    self: Value,
    p: Number | None = 2,
    dim: Axes = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Result:
    """``torch.norm``"""
    return vector_norm(ctx, self, 2 if p is None else p, dim, keepdim)


@lowers(aten.logsumexp.default)
def logsumexp(ctx: Lowering, self: Value, dim: Axes, keepdim: bool = False) -> Result:
    """max + log(sum(exp(x - max))), which cannot overflow"""
    axes = axes_of(dim, self.type.rank)
    top = ctx.add(ops.Amax(axes=axes, keepdim=True), self)
    total = ctx.add(ops.Sum(axes=axes, keepdim=True), ctx.add(ops.Exp(), ctx.add(ops.Sub(), self, top)))
    return ctx.reshape(ctx.add(ops.Add(), ctx.add(ops.Log(), total), top), ctx.result.shape)


@lowers(aten.cumsum.default)
def cumsum(ctx: Lowering, self: Value, dim: int, *, dtype: torch.dtype | None = None) -> Result:
    """Running sum."""
    return ctx.add(ops.Cumsum(axis=axis_of(dim, self.type.rank)), ctx.cast(self, ctx.result.dtype))


@lowers(aten.prod.default, aten.prod.dim_int)
def prod(
    ctx: Lowering, self: Value, dim: int | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Result:
    """Product; integers and bool multiply in int64."""
    x = ctx.cast(self, ctx.result.dtype)
    for axis in axes_of(dim, self.type.rank):
        x = product(ctx, x, axis)
    return ctx.reshape(x, ctx.result.shape)


@lowers(aten.topk.default)
def topk(ctx: Lowering, self: Value, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Result:
    """The few largest elements and where they are."""
    return few_largest(ctx, self, k, axis_of(dim, self.type.rank), largest=largest)


@lowers(aten.any.default, aten.any.dim, aten.any.dims)
def any_(ctx: Lowering, self: Value, dim: Axes = None, keepdim: bool = False) -> Result:
    """The largest of zeros and ones is one."""
    return _over_truth(ctx, self, ops.Amax(axes=axes_of(dim, self.type.rank), keepdim=keepdim))


@lowers(aten.all.default, aten.all.dim, aten.all.dims)
def all_(ctx: Lowering, self: Value, dim: Axes = None, keepdim: bool = False) -> Result:
    """The smallest of zeros and ones is one."""
    return _over_truth(ctx, self, ops.Amin(axes=axes_of(dim, self.type.rank), keepdim=keepdim))


def _over_truth(ctx: Lowering, x: Value, op: ops.Amax | ops.Amin) -> Value:
    one = ctx.cast(x if x.type.dtype == torch.bool else ctx.add(ops.NotEqual(), x, ctx.scalar(0, x.type.dtype)), torch.float32)
    return ctx.add(ops.Greater(), ctx.add(op, one), ctx.scalar(0.5, torch.float32))
