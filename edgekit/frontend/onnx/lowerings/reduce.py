"""Reductions, cumulative sums, arguments of extremes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from edgekit.frontend.largest import few_largest
from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.frontend.product import product
from edgekit.ir import Value, ops


def _over(
    ctx: Lowering,
    x: Value,
    axes: Operand | Sequence[int] | None,
    keepdims: int,
    noop: int,
    reduction: Callable[[Value, tuple[int, ...]], Value],
) -> Value:
    """A reduction over the axes that a node names: all of them without any, or none with ``noop_with_empty_axes``."""
    found = ctx.axes(axes, x.type.rank)
    if found is None and (noop or not x.type.rank):
        return reduction(x, ())
    found = tuple(range(x.type.rank)) if found is None else found
    if x.type.has_batch:
        for axis in found:
            ctx.fixed(x, axis)
    return reduction(x, found)


def _cast_back(ctx: Lowering, x: Value, dtype: torch.dtype) -> Value:
    """torch sums integers in int64; ONNX in their own type."""
    return ctx.cast(x, dtype)


def _sum(ctx: Lowering, x: Value, axes: tuple[int, ...], keepdims: int) -> Value:
    return _cast_back(ctx, ctx.add(ops.Sum(axes=axes, keepdim=bool(keepdims)), x), x.type.dtype) if axes else x


@lowers("ReduceSum")
def reduce_sum(
    ctx: Lowering, data: Value, axes: Operand | Sequence[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Result:
    """Sum."""
    return _over(ctx, data, axes, keepdims, noop_with_empty_axes, lambda x, a: _sum(ctx, x, a, keepdims))


@lowers("ReduceMean")
def reduce_mean(
    ctx: Lowering, data: Value, axes: Operand | Sequence[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Result:
    """Arithmetic mean."""
    ctx.need(data.type.is_float, f"of {data.type}", "cast to float32 first")

    def mean(x: Value, a: tuple[int, ...]) -> Value:
        return ctx.add(ops.Mean(axes=a, keepdim=bool(keepdims)), x) if a else x

    return _over(ctx, data, axes, keepdims, noop_with_empty_axes, mean)


@lowers("ReduceMax")
def reduce_max(
    ctx: Lowering, data: Value, axes: Operand | Sequence[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Result:
    """Largest element."""
    return _extreme(ctx, data, axes, keepdims, noop_with_empty_axes, ops.Amax)


@lowers("ReduceMin")
def reduce_min(
    ctx: Lowering, data: Value, axes: Operand | Sequence[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Result:
    """Smallest element."""
    return _extreme(ctx, data, axes, keepdims, noop_with_empty_axes, ops.Amin)


def _extreme(
    ctx: Lowering,
    data: Value,
    axes: Operand | Sequence[int] | None,
    keepdims: int,
    noop: int,
    op: type[ops.Amax] | type[ops.Amin],
) -> Value:
    def extreme(x: Value, a: tuple[int, ...]) -> Value:
        if not a:
            return x
        ctx.need(all(x.shape[axis] != 0 for axis in a), f"of nothing: {x.type}")
        truth = x.type.dtype == torch.bool
        y = ctx.add(op(axes=a, keepdim=bool(keepdims)), ctx.cast(x, torch.int32) if truth else x)
        return ctx.cast(y, torch.bool) if truth else y

    return _over(ctx, data, axes, keepdims, noop, extreme)


@lowers("ReduceL1")
def reduce_l1(
    ctx: Lowering, data: Value, axes: Operand | Sequence[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Result:
    """Sum of sizes."""
    return _over(ctx, data, axes, keepdims, noop_with_empty_axes, lambda x, a: _sum(ctx, ctx.add(ops.Abs(), x), a, keepdims))


@lowers("ReduceL2")
def reduce_l2(
    ctx: Lowering, data: Value, axes: Operand | Sequence[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Result:
    """Root of the sum of squares."""

    def norm(x: Value, a: tuple[int, ...]) -> Value:
        ctx.need(x.type.is_float, f"of {x.type}", "cast to float32 first")
        return ctx.add(ops.Sqrt(), _sum(ctx, ctx.add(ops.Square(), x), a, keepdims)) if a else ctx.add(ops.Abs(), x)

    return _over(ctx, data, axes, keepdims, noop_with_empty_axes, norm)


@lowers("ReduceSumSquare")
def reduce_sum_square(
    ctx: Lowering, data: Value, axes: Operand | Sequence[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Result:
    """Sum of squares."""
    return _over(ctx, data, axes, keepdims, noop_with_empty_axes, lambda x, a: _sum(ctx, ctx.add(ops.Square(), x), a, keepdims))


@lowers("ReduceLogSum")
def reduce_log_sum(
    ctx: Lowering, data: Value, axes: Operand | Sequence[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Result:
    """Logarithm of the sum."""
    return _over(ctx, data, axes, keepdims, noop_with_empty_axes, lambda x, a: ctx.add(ops.Log(), _sum(ctx, x, a, keepdims)))


@lowers("ReduceLogSumExp")
def reduce_log_sum_exp(
    ctx: Lowering, data: Value, axes: Operand | Sequence[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Result:
    """max + log(sum(exp(x - max))), which cannot overflow."""

    def logarithm(x: Value, a: tuple[int, ...]) -> Value:
        if not a:
            return x
        ctx.need(all(x.shape[axis] != 0 for axis in a), f"of nothing: {x.type}")
        top = ctx.add(ops.Amax(axes=a, keepdim=True), x)
        sums = ctx.add(ops.Sum(axes=a, keepdim=True), ctx.add(ops.Exp(), ctx.add(ops.Sub(), x, top)))
        y = ctx.add(ops.Add(), ctx.add(ops.Log(), sums), top)
        return y if keepdims else ctx.reshape(y, [d for axis, d in enumerate(y.shape) if axis not in a])

    return _over(ctx, data, axes, keepdims, noop_with_empty_axes, logarithm)


@lowers("ReduceProd")
def reduce_prod(
    ctx: Lowering, data: Value, axes: Operand | Sequence[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Result:
    """Product, one dimension after the other."""

    def over_axes(x: Value, a: tuple[int, ...]) -> Value:
        for axis in a:
            x = product(ctx, x, axis)
        return x if keepdims else ctx.reshape(x, [d for axis, d in enumerate(x.shape) if axis not in a])

    return _over(ctx, data, axes, keepdims, noop_with_empty_axes, over_axes)


@lowers("ArgMax")
def arg_max(ctx: Lowering, data: Value, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Result:
    """Index of the first or the last largest element."""
    return _arg(ctx, data, axis, keepdims, select_last_index)


@lowers("ArgMin")
def arg_min(ctx: Lowering, data: Value, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Result:
    """Where the negative is largest."""
    ctx.need(data.type.is_float, "of integers", "cast to float32 first")
    return _arg(ctx, ctx.add(ops.Neg(), data), axis, keepdims, select_last_index)


def _arg(ctx: Lowering, x: Value, axis: int, keepdims: int, last: int) -> Value:
    at = ctx.axis(axis, x.type.rank)
    size = ctx.fixed(x, at)
    if not last:
        return ctx.add(ops.Argmax(axis=at, keepdim=bool(keepdims)), x)
    index = ctx.add(ops.Argmax(axis=at, keepdim=bool(keepdims)), ctx.add(ops.Flip(axes=(at,)), x))
    return ctx.add(ops.Sub(), ctx.scalar(size - 1, torch.int64), index)


@lowers("CumSum")
def cum_sum(ctx: Lowering, x: Value, axis: Operand, *, exclusive: int = 0, reverse: int = 0) -> Result:
    """From the beginning or the end; ``exclusive`` leaves the element itself out."""
    (at,) = ctx.ints(axis, "axis") or [0]
    at = ctx.axis(at, x.type.rank)
    size = ctx.fixed(x, at)
    y = ctx.add(ops.Flip(axes=(at,)), x) if reverse else x
    if exclusive:
        pads = tuple((1, 0) if each == at else (0, 0) for each in range(x.type.rank))
        y = ctx.slice(ctx.add(ops.Pad(pads=pads), y), at, 0, size)
    y = _cast_back(ctx, ctx.add(ops.Cumsum(axis=at), y), x.type.dtype)
    return ctx.add(ops.Flip(axes=(at,)), y) if reverse else y


@lowers("TopK")
def top_k(
    ctx: Lowering,
    x: Value,
    k: Operand | int | None = None,
    *,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,
) -> Result:
    """The few largest, or smallest, in order."""
    (count,) = ctx.ints(1 if k is None else k, "k")
    return few_largest(ctx, x, count, ctx.axis(axis, x.type.rank), largest=bool(largest))
