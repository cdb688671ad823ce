"""Pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from edgekit.frontend.torch.context import Lowering
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.ops import Op

aten = torch.ops.aten


@lowers(aten.max_pool1d.default, aten.max_pool2d.default)
def max_pool(
    ctx: Lowering,
    self: Value,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Result:
    """Over the last one or two dimensions."""
    count = 1 if ctx.node.target is aten.max_pool1d.default else 2
    cls = ops.MaxPool1d if count == 1 else ops.MaxPool2d
    kernel = _each(kernel_size, count)
    op = cls(
        kernel=kernel,
        stride=_each(stride or kernel, count),
        padding=_each(padding, count),
        dilation=_each(dilation, count),
        ceil_mode=ceil_mode,
    )
    return _batched(ctx, self, count, lambda x: ctx.add(op, x))


@lowers(aten.max_pool1d_with_indices.default, aten.max_pool2d_with_indices.default)
def max_pool_with_indices(
    ctx: Lowering,
    self: Value,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Result:
    """The values; the indices have no form in the graph."""
    values = max_pool(ctx, self, kernel_size, stride, padding, dilation, ceil_mode)
    assert isinstance(values, Value)
    return values, None


@lowers(aten.avg_pool1d.default)
def avg_pool1d(
    ctx: Lowering,
    self: Value,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Result:
    """Over the last dimension."""
    op = ops.AvgPool1d(
        kernel=tuple(kernel_size),
        stride=tuple(stride or kernel_size),
        padding=tuple(padding),
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )
    return _batched(ctx, self, 1, lambda x: ctx.add(op, x))


@lowers(aten.avg_pool2d.default)
def avg_pool2d(
    ctx: Lowering,
    self: Value,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Result:
    """Over the last two dimensions."""
    kernel = _each(kernel_size, 2)
    op = ops.AvgPool2d(
        kernel=kernel,
        stride=_each(stride or kernel, 2),
        padding=_each(padding, 2),
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor=divisor_override,
    )
    return _batched(ctx, self, 2, lambda x: ctx.add(op, x))


@lowers(aten.avg_pool3d.default)
def avg_pool3d(
    ctx: Lowering,
    self: Value,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Result:
    """Only over the first of three dimensions, as local response normalisation does over the channels."""
    kernel, pad = _each(kernel_size, 3), _each(padding, 3)
    moves = _each(stride or kernel, 3)
    ctx.need(
        kernel[1:] == moves[1:] == (1, 1) and pad[1:] == (0, 0) and self.type.rank == 5,
        "pools three dimensions",
        "only 1-D and 2-D pools are supported",
    )
    flat = ctx.reshape(self, (*self.shape[:3], ctx.sizes_product(self.shape[3:])))
    op = ops.AvgPool2d((kernel[0], 1), (moves[0], 1), (pad[0], 0), ceil_mode, count_include_pad, divisor_override)
    return ctx.reshape(ctx.add(op, flat), ctx.result.shape)


@lowers(aten.adaptive_avg_pool1d.default, aten.adaptive_avg_pool2d.default, aten._adaptive_avg_pool2d.default)
def adaptive_avg_pool(ctx: Lowering, self: Value, output_size: Sequence[int]) -> Result:
    """A mean for size 1, a plain pool where the windows are alike and equally far apart, else the adaptive op."""
    return _adaptive(ctx, self, output_size, maximum=False)


@lowers(aten.adaptive_max_pool1d.default, aten.adaptive_max_pool2d.default)
def adaptive_max_pool(ctx: Lowering, self: Value, output_size: Sequence[int]) -> Result:
    """Like ``adaptive_avg_pool``; the indices have no form in the graph."""
    return _adaptive(ctx, self, output_size, maximum=True), None


def _adaptive(ctx: Lowering, x: Value, output_size: Sequence[int], *, maximum: bool) -> Value:
    count = len(output_size)
    size, sides = tuple(output_size), x.tensor_shape[-count:]
    axes = tuple(range(x.type.rank - count, x.type.rank))
    if size == (1,) * count:
        return ctx.add(ops.Amax(axes=axes, keepdim=True) if maximum else ops.Mean(axes=axes, keepdim=True), x)
    windows = [even_windows(side, out) for side, out in zip(sides, size, strict=True)]
    if None not in windows:
        kernel, stride = zip(*(pair for pair in windows if pair is not None), strict=True)
        op = _max(kernel, stride) if maximum else _average(kernel, stride)
        return _batched(ctx, x, count, lambda y: ctx.add(op, y))
    cls = ops.AdaptiveMaxPool2d if maximum else ops.AdaptiveAvgPool2d
    if count == 2:
        return _batched(ctx, x, 2, lambda y: ctx.add(cls(size=(size[0], size[1])), y))
    flat = ctx.reshape(x, (*x.shape[:-1], 1, x.shape[-1]))  # one dimension is two of which one is 1
    out = _batched(ctx, flat, 2, lambda y: ctx.add(cls(size=(1, size[0])), y))
    return ctx.reshape(out, (*out.shape[:-2], out.shape[-1]))


def even_windows(size: int, out: int) -> tuple[int, int] | None:
    """Kernel and stride of an adaptive pool's windows, or None where they are not alike or not equally far apart.

    Window i is [floor(i * size / out), ceil((i + 1) * size / out)) (torch's AdaptiveAveragePooling.cpp). With a remainder of 1
    windows of one more than the stride overlap by one.
    """
    stride, remainder = divmod(size, out)
    return (stride + remainder, stride) if stride and remainder <= 1 else None


def _max(kernel: tuple[int, ...], stride: tuple[int, ...]) -> Op:
    cls = ops.MaxPool1d if len(kernel) == 1 else ops.MaxPool2d
    return cls(kernel=kernel, stride=stride, padding=(0,) * len(kernel), dilation=(1,) * len(kernel))


def _average(kernel: tuple[int, ...], stride: tuple[int, ...]) -> Op:
    cls = ops.AvgPool1d if len(kernel) == 1 else ops.AvgPool2d
    return cls(kernel=kernel, stride=stride, padding=(0,) * len(kernel))


def _batched(ctx: Lowering, x: Value, count: int, pool: Callable[[Value], Value]) -> Value:
    """Pools of x (N, C, *spatial); torch takes a single sample without a batch dimension as well."""
    if x.type.rank == count + 2:
        return pool(x)
    ctx.need(x.type.rank == count + 1, f"pools {count} dimensions of {x.type}")
    out = pool(ctx.reshape(x, (1, *x.shape)))
    return ctx.reshape(out, out.shape[1:])


def _each(setting: Sequence[int], count: int) -> tuple[int, ...]:
    """A setting per spatial dimension; one number stands for all of them."""
    return tuple(setting) * count if len(setting) == 1 else tuple(setting)
